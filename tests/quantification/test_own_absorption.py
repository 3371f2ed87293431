# SPDX-License-Identifier: GPL-3.0-or-later
"""Correction for the absorption of a phase in itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.model import Calibration, Estimate, Factorization
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.quantification.absorption import own_absorption
from mlatem.quantification.edxs import quantify
from mlatem.quantification.maps import pixel_maps
from mlatem.settings import Edxs

ENERGY = np.arange(40, 1000) * 0.01
ELEMENTS = ("O", "Mg", "Fe")
PHASES = ({"O": 0.5, "Mg": 0.5}, {"O": 0.1, "Fe": 0.9})
MEAN = {"O": 0.3, "Mg": 0.25, "Fe": 0.45}
MEAN_THICKNESS = 8e-4


def columns(composition, mass_thickness):
    return edxs_dictionary(
        ENERGY,
        elements=ELEMENTS,
        beam_energy_kev=200.0,
        noise_ev=50.0,
        fano=0.118,
        take_off_angle_deg=20.0,
        mass_thickness_kg_m2=mass_thickness,
        composition=composition,
    )


def calibration(mass_thickness, origin):
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


def absorbed_phases():
    """Two phases that absorb themselves, fitted with the columns of their mean."""
    mean = columns(MEAN, MEAN_THICKNESS)
    coefficient = np.zeros((2, mean.n_columns))
    for phase, composition in enumerate(PHASES):
        own = columns(composition, MEAN_THICKNESS)
        for i, element in enumerate(ELEMENTS):
            ratio = own.columns[i].sum() / mean.columns[i].sum()
            coefficient[phase, i] = composition.get(element, 0.0) * ratio
    coefficient /= (coefficient @ mean.columns).sum(axis=1, keepdims=True)
    m = mean.n_columns
    abundance = np.zeros((1, 2, 2), np.float32)
    abundance[0, 0, 0] = abundance[0, 1, 1] = 1e4
    return Factorization(
        dictionary=mean,
        coefficient=coefficient,
        coefficient_covariance=np.tile(1e-12 * np.eye(m), (2, 1, 1)),
        abundance=abundance,
        abundance_covariance=np.tile(1e4 * np.eye(2, dtype=np.float32), (1, 2, 1, 1)),
        deviance=np.ones((1, 2), np.float32),
        dominant_counts=np.zeros((2, ENERGY.size)),
        dominant_abundance=np.eye(2),
        loss=np.zeros(1),
        y_nm=np.zeros(1),
        x_nm=np.arange(2.0),
    )


def test_compositions_come_back_when_every_phase_absorbs_itself():
    result = absorbed_phases()
    factors = own_absorption(result, calibration(MEAN_THICKNESS, "user"), Edxs())
    assert abs(quantify(result).pivot().loc[1, "O"] - 50) > 3
    table = quantify(result, absorption=factors).pivot()
    for phase, composition in enumerate(PHASES, start=1):
        for element in ELEMENTS:
            expected = 100 * composition.get(element, 0.0)
            assert table.loc[phase, element] == pytest.approx(expected, abs=0.1)


def test_pixels_follow_their_phase():
    result = absorbed_phases()
    factors = own_absorption(result, calibration(MEAN_THICKNESS, "user"), Edxs())
    maps = pixel_maps(result, absorption=factors)
    np.testing.assert_allclose(maps.atomic_percent[0, 0], [50, 50, 0], atol=0.1)
    np.testing.assert_allclose(maps.atomic_percent[0, 1], [10, 0, 90], atol=0.1)


def test_nothing_changes_without_a_thickness():
    factors = own_absorption(absorbed_phases(), calibration(0.0, "default"), Edxs())
    np.testing.assert_array_equal(factors, 1.0)


def test_an_estimated_density_is_replaced_by_each_phases_own():
    result = absorbed_phases()
    given = own_absorption(result, calibration(MEAN_THICKNESS, "user"), Edxs())
    estimated = own_absorption(result, calibration(MEAN_THICKNESS, "default"), Edxs())
    # Iron is denser than the mean: it absorbs more, and more so than with the mean's density.
    assert estimated[1, 0] > given[1, 0]
    assert estimated[0, 0] < given[0, 0]


def test_columns_that_are_not_quantified_are_left_alone():
    result = absorbed_phases()
    factors = own_absorption(result, calibration(MEAN_THICKNESS, "user"), Edxs())
    np.testing.assert_array_equal(factors[:, ~result.dictionary.quantified], 1.0)


def test_a_phase_of_background_only_is_no_failure():
    result = absorbed_phases()
    coefficient = result.coefficient.copy()
    coefficient[1] = 0.0
    coefficient[1, -1] = 1.0
    result = replace(result, coefficient=coefficient)
    factors = own_absorption(result, calibration(MEAN_THICKNESS, "user"), Edxs())
    np.testing.assert_array_equal(factors[1], 1.0)
