# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns absorbed in each phase, and the mass thickness that they are absorbed in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary, Estimate, Factor, FactorTable
from mlatem.model.factor_table import UNITS
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.physics.mass_thickness import (
    mass_per_count,
    mass_thickness_of_phases,
    relative_mass_thickness,
)
from mlatem.physics.own_columns import own_columns, phase_composition, phase_mass_thickness
from mlatem.settings import Edxs

ENERGY = np.arange(40, 1000) * 0.01
ELEMENTS = ("O", "Mg", "Fe")
PHASES = ({"O": 0.5, "Mg": 0.5}, {"O": 0.1, "Fe": 0.9})
MEAN = {"O": 0.3, "Mg": 0.25, "Fe": 0.45}
MEAN_THICKNESS = 8e-4


def calibration(mass_thickness=MEAN_THICKNESS, origin="user"):
    given = {"sigma": None, "origin": "default"}
    return Calibration(
        energy_offset_kev=Estimate(0.0, **given),
        energy_gain=Estimate(0.0, **given),
        noise_ev=Estimate(50.0, **given),
        fano=Estimate(0.118, **given),
        beam_energy_kev=Estimate(200.0, **given),
        take_off_angle_deg=Estimate(20.0, **given),
        mass_thickness_kg_m2=Estimate(mass_thickness, None, origin),
        composition=MEAN,
        elements=ELEMENTS,
        system_elements=(),
        first_channel=0,
        stop_channel=ENERGY.size,
        deviance_per_dof=1.0,
    )


def coefficients(dictionary):
    rows = np.zeros((2, dictionary.n_columns))
    for row, composition in zip(rows, PHASES, strict=True):
        row[:3] = [composition.get(element, 0.0) for element in ELEMENTS]
    return rows


def columns_in(own, rows, abundance):
    """Columns of the phases with all lines as tabulated; regions of one pixel each."""
    parts = own(rows, abundance, np.ones(len(abundance), np.int64))
    return parts.columns(np.zeros(parts.n_factors))


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return dictionary_on_axis(ENERGY, calibration(), Edxs())


def test_columns_are_those_of_a_film_of_the_phase(dictionary):
    known = calibration()
    own = own_columns(dictionary, known, Edxs())
    # Equal areas of equal mass: every phase has the mean mass thickness.
    rows = coefficients(dictionary)
    abundance = np.diag(1.0 / mass_per_count(dictionary, rows))
    columns = columns_in(own, rows, abundance)
    for phase, composition in enumerate(PHASES):
        film = dictionary_on_axis(ENERGY, replace(known, composition=composition), Edxs())
        np.testing.assert_allclose(columns[phase], film.columns, rtol=1e-9)
    # Iron's L lines are absorbed more strongly than its K lines: the shape differs.
    iron = columns[:, 2] / columns[:, 2].sum(axis=1, keepdims=True)
    assert np.abs(iron[0] - iron[1]).sum() > 0.02


def test_without_a_thickness_there_is_nothing_to_absorb(dictionary):
    assert own_columns(dictionary, calibration(0.0, "default"), Edxs()) is None


def fitted(**others):
    """A calibration that found Fe L3 at 0.8, and L2 at 1.1 without telling what was known of it."""
    factors = {"Fe L3": Estimate(0.8, 0.05, "file"), "Fe L2": Estimate(1.1, 0.1, "file")}
    return replace(calibration(**others), line_factors=factors, line_factor_prior={"Fe L3": 0.4})


def test_fitted_factors_are_free_again_and_start_from_the_tables():
    known = fitted()
    dictionary = dictionary_on_axis(ENERGY, known, Edxs())
    rows = coefficients(dictionary)
    abundance = np.diag(1.0 / mass_per_count(dictionary, rows))
    parts = own_columns(dictionary, known, Edxs())(rows, abundance, np.ones(2, np.int64))
    assert parts.names == ("Fe L3",)
    np.testing.assert_allclose(parts.log_covariance, [[0.16]])
    for factor in (1.0, 0.8, 0.5):
        now = {**known.line_factors, "Fe L3": Estimate(factor, None, "file")}
        for phase, composition in enumerate(PHASES):
            film = replace(known, composition=composition, line_factors=now)
            np.testing.assert_allclose(
                parts.columns(np.log([factor]))[phase],
                dictionary_on_axis(ENERGY, film, Edxs()).columns,
                rtol=1e-6,
                atol=1e-9 * dictionary.columns.max(),
            )


def test_without_a_thickness_factors_are_fitted_on_common_columns():
    known = fitted(mass_thickness=0.0, origin="default")
    dictionary = dictionary_on_axis(ENERGY, known, Edxs())
    rows = coefficients(dictionary)
    parts = own_columns(dictionary, known, Edxs())(rows, np.eye(2), np.ones(2, np.int64))
    columns = parts.columns(np.log([0.8]))
    np.testing.assert_allclose(columns, np.stack([dictionary.columns] * 2), rtol=1e-9)


def test_families_of_a_table_of_factors_keep_what_it_says():
    row = Factor(
        element="Fe",
        line="L",
        kind="k",
        value=2.0,
        sigma=0.1,
        beam_energy_kev=200.0,
        unit=UNITS["k"],
        reference_element="Mg",
        reference_line="K",
    )
    known = replace(fitted(), factor_table=FactorTable((row,), "mine"))
    dictionary = dictionary_on_axis(ENERGY, known, Edxs())
    own = own_columns(dictionary, known, Edxs())
    parts = own(coefficients(dictionary), np.eye(2), np.ones(2, np.int64))
    assert parts.names == ()


def test_unknown_columns_stay(dictionary):
    own = own_columns(dictionary, calibration(), Edxs())
    names = (*dictionary.names[:-1], "pile-up")
    named = replace(dictionary, names=names)
    rows = coefficients(dictionary)
    changed = columns_in(own_columns(named, calibration(), Edxs()), rows, np.eye(2))
    np.testing.assert_array_equal(changed[:, -1], dictionary.columns[[-1, -1]])
    same = columns_in(own, rows, np.eye(2))
    np.testing.assert_array_equal(changed[:, :-1], same[:, :-1])


def test_a_phase_of_background_only_keeps_the_mean_columns(dictionary):
    rows = coefficients(dictionary)
    rows[1] = 0.0
    rows[1, -1] = 1.0
    columns = columns_in(own_columns(dictionary, calibration(), Edxs()), rows, np.eye(2))
    np.testing.assert_allclose(columns[1], dictionary.columns, rtol=1e-9)
    assert phase_composition(dictionary, rows[1]) == {}


def test_a_dictionary_of_other_elements_is_refused(dictionary):
    other = replace(calibration(), elements=("O", "Ni"))
    with pytest.raises(InputError, match="no column of Ni"):
        own_columns(dictionary, other, Edxs())


def test_relative_mass_thickness_leaves_holes_out():
    mass = np.array([0.0, 0.01, 2.0, 4.0, 6.0])
    relative = relative_mass_thickness(mass, np.ones(5, np.int64))
    np.testing.assert_allclose(relative, mass / 4.0)
    pooled = relative_mass_thickness(np.array([0.01, 12.0]), np.array([2, 3]))
    assert pooled[1] == pytest.approx(1.0)
    np.testing.assert_array_equal(relative_mass_thickness(np.zeros(2), np.ones(2, np.int64)), 1.0)


def test_mass_thickness_of_a_phase_is_the_one_where_it_is():
    # A thin half of the first phase and a thick one of the second, which overlap nowhere.
    mass = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    relative = mass_thickness_of_phases(mass, np.ones(4, np.int64))
    np.testing.assert_allclose(relative, [0.5, 1.5])
    absent = mass_thickness_of_phases(mass * [1, 0], np.ones(4, np.int64))
    np.testing.assert_allclose(absent, [1.0, 1.0])


def test_without_counts_the_density_tells_the_mass_thickness(dictionary):
    rows = coefficients(dictionary)
    places = np.eye(2), np.ones(2, np.int64)
    estimated = phase_mass_thickness(
        dictionary, rows, *places, calibration(origin="default"), from_counts=False
    )
    given = phase_mass_thickness(dictionary, rows, *places, calibration(), from_counts=False)
    assert estimated[0] < MEAN_THICKNESS < estimated[1]
    np.testing.assert_array_equal(given, MEAN_THICKNESS)
