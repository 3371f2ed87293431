# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of spectrum images."""

from __future__ import annotations

import numpy as np
import pytest

import mlatem
from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.physics.dictionary import edxs_dictionary

SHAPE = (6, 8)
ENERGY = -0.2 + 0.01 * np.arange(1200)
TRUTH = {"O": 0.6, "Ti": 0.2, "Sr": 0.2}


def image(*, total=3e5, mass_thickness=0.0, acquisition=None, seed=0):
    window = slice(40, 1200)
    dictionary = edxs_dictionary(
        ENERGY[window],
        elements=list(TRUTH),
        beam_energy_kev=200.0,
        mass_thickness_kg_m2=mass_thickness,
        composition=TRUTH,
        take_off_angle_deg=22.0,
    )
    lines = np.array([*TRUTH.values()]) @ dictionary.columns[:3]
    background = dictionary.columns[3:].sum(axis=0)
    expected = np.zeros(ENERGY.size)
    expected[window] = 0.8 * lines / lines.sum() + 0.2 * background / background.sum()
    mean = np.broadcast_to(total / np.prod(SHAPE) * expected, (*SHAPE, ENERGY.size))
    counts = np.random.default_rng(seed).poisson(mean).astype(np.uint16)
    known = {"beam_energy_kev": Value(200.0, "file")} if acquisition is None else acquisition
    return SpectrumImage(
        counts=counts,
        energy=ENERGY,
        y_nm=np.arange(SHAPE[0], dtype=float),
        x_nm=np.arange(SHAPE[1], dtype=float),
        acquisition=Acquisition(known),
        name="titanate",
    )


def test_mean_composition_of_a_thin_specimen():
    calibration = mlatem.calibrate(image(), list(TRUTH))
    for element, share in TRUTH.items():
        assert calibration.composition[element] == pytest.approx(share, abs=0.02)
    assert calibration.mass_thickness_kg_m2.value == 0
    assert calibration.deviance_per_dof == pytest.approx(1.0, abs=0.25)
    assert any("absorption in the specimen left out" in d.choice for d in calibration.decisions)


def test_absorption_and_composition_are_iterated():
    thick = image(mass_thickness=1e-3)
    without = mlatem.calibrate(thick, list(TRUTH))
    corrected = mlatem.calibrate(thick, list(TRUTH), thickness_nm=200, density_g_cm3=5)
    assert corrected.mass_thickness_kg_m2.value == pytest.approx(1e-3)
    assert corrected.mass_thickness_kg_m2.origin == "user"
    assert without.composition["O"] < 0.5
    assert corrected.composition["O"] == pytest.approx(0.6, abs=0.02)


def test_density_is_estimated_where_it_is_not_given():
    calibration = mlatem.calibrate(image(), list(TRUTH), thickness_nm=100)
    assert calibration.mass_thickness_kg_m2.origin == "default"
    assert 2e-4 < calibration.mass_thickness_kg_m2.value < 8e-4


def test_the_window_starts_where_told_and_ends_above_the_lines():
    calibration = mlatem.calibrate(image(), list(TRUTH))
    assert ENERGY[calibration.first_channel] >= 0.35
    assert ENERGY[calibration.first_channel - 1] < 0.35
    narrow = settings.Edxs(energy_min_kev=0.5, energy_max_kev=6.0)
    calibration = mlatem.calibrate(image(), list(TRUTH), edxs=narrow)
    assert ENERGY[calibration.stop_channel - 1] <= 6.0


def test_the_dictionary_knows_its_channels():
    si = image()
    calibration = mlatem.calibrate(si, list(TRUTH))
    dictionary = mlatem.edxs_dictionary(si, calibration)
    assert dictionary.channels == calibration.window
    np.testing.assert_allclose(dictionary.energy, calibration.corrected(ENERGY)[calibration.window])


def test_the_default_system_element_makes_way_for_the_specimen():
    calibration = mlatem.calibrate(image(), [*TRUTH, "Cu"])
    assert calibration.system_elements == ()
    assert mlatem.calibrate(image(), list(TRUTH)).system_elements == ("Cu",)


def test_values_of_the_user_take_precedence_over_the_file():
    calibration = mlatem.calibrate(image(), list(TRUTH), beam_energy_kev=300.0)
    assert calibration.beam_energy_kev.value == 300.0
    assert calibration.beam_energy_kev.origin == "user"


def test_the_stated_resolution_sets_the_noise():
    known = {
        "beam_energy_kev": Value(200.0, "file"),
        "energy_resolution_ev": Value(130.0, "file"),
        "elevation_deg": Value(18.0, "file"),
    }
    si = image(total=1000, acquisition=known)
    calibration = mlatem.calibrate(si, list(TRUTH))
    assert calibration.noise_ev.origin == "file"
    # 130^2 = noise^2 + 8 ln2 * 0.118 * 3.66 * 5898.8
    assert calibration.noise_ev.value == pytest.approx(52.7, abs=0.2)
    assert calibration.take_off_angle_deg.value == 18.0


@pytest.mark.parametrize(
    ("elements", "options", "named"),
    [
        (["O", "Xx"], {}, "Xx"),
        (["O", "O"], {}, "listed twice"),
        (["O", "Ti"], {"system_elements": ["Ti"]}, "Ti"),
    ],
)
def test_bad_elements_are_named(elements, options, named):
    with pytest.raises(InputError, match=named):
        mlatem.calibrate(image(), elements, **options)


def test_a_missing_beam_energy_says_where_to_give_it():
    with pytest.raises(InputError, match="column beam_energy_kev"):
        mlatem.calibrate(image(acquisition={}), list(TRUTH))


def test_a_map_without_counts_is_refused():
    with pytest.raises(InputError, match="no counts"):
        mlatem.calibrate(image(total=0), list(TRUTH))
