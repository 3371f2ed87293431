# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns absorbed in each phase, and the mass thickness that they are absorbed in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary, Estimate
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


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return dictionary_on_axis(ENERGY, calibration(), Edxs())


def test_columns_are_those_of_a_film_of_the_phase(dictionary):
    known = calibration()
    own = own_columns(dictionary, known, Edxs())
    # Equal areas of equal mass: every phase has the mean mass thickness.
    rows = coefficients(dictionary)
    abundance = np.diag(1.0 / mass_per_count(dictionary, rows))
    columns = own(rows, abundance, np.ones(2, np.int64))
    for phase, composition in enumerate(PHASES):
        film = dictionary_on_axis(ENERGY, replace(known, composition=composition), Edxs())
        np.testing.assert_allclose(columns[phase], film.columns, rtol=1e-9)
    # Iron's L lines are absorbed more strongly than its K lines: the shape differs.
    iron = columns[:, 2] / columns[:, 2].sum(axis=1, keepdims=True)
    assert np.abs(iron[0] - iron[1]).sum() > 0.02


def test_without_a_thickness_there_is_nothing_to_absorb(dictionary):
    assert own_columns(dictionary, calibration(0.0, "default"), Edxs()) is None


def test_unknown_columns_stay(dictionary):
    own = own_columns(dictionary, calibration(), Edxs())
    names = (*dictionary.names[:-1], "pile-up")
    named = replace(dictionary, names=names)
    rows = coefficients(dictionary)
    changed = own_columns(named, calibration(), Edxs())(rows, np.eye(2), np.ones(2, np.int64))
    np.testing.assert_array_equal(changed[:, -1], dictionary.columns[[-1, -1]])
    same = own(rows, np.eye(2), np.ones(2, np.int64))
    np.testing.assert_array_equal(changed[:, :-1], same[:, :-1])


def test_a_phase_of_background_only_keeps_the_mean_columns(dictionary):
    rows = coefficients(dictionary)
    rows[1] = 0.0
    rows[1, -1] = 1.0
    columns = own_columns(dictionary, calibration(), Edxs())(rows, np.eye(2), np.ones(2, np.int64))
    np.testing.assert_array_equal(columns[1], dictionary.columns)
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
