# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of spectrum images."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

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


def test_an_elevation_of_the_user_stands_above_a_take_off_angle_of_the_file():
    known = {
        "beam_energy_kev": Value(200.0, "file"),
        "take_off_angle_deg": Value(22.3, "file"),
        "elevation_deg": Value(18.0, "user"),
    }
    calibration = mlatem.calibrate(image(total=1000, acquisition=known), list(TRUTH))
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


@pytest.mark.parametrize(
    ("film", "message"),
    [
        ({"thickness_nm": -50.0, "density_g_cm3": 5.0}, "thickness_nm is -50: expected"),
        ({"thickness_nm": -50.0, "density_g_cm3": -5.0}, "thickness_nm is -50: expected"),
        ({"thickness_nm": 50.0, "density_g_cm3": -5.0}, "density_g_cm3 is -5: expected"),
        ({"thickness_nm": 50.0, "density_g_cm3": 0.0}, "density_g_cm3 is 0: expected"),
    ],
)
def test_a_film_that_cannot_be_is_refused(film, message):
    with pytest.raises(InputError, match=message):
        mlatem.calibrate(image(), list(TRUTH), **film)


def test_a_missing_beam_energy_says_where_to_give_it():
    with pytest.raises(InputError, match="column beam_energy_kev"):
        mlatem.calibrate(image(acquisition={}), list(TRUTH))


def test_a_map_without_counts_is_refused():
    with pytest.raises(InputError, match="no counts"):
        mlatem.calibrate(image(total=0), list(TRUTH))


def test_a_single_spectrum_is_calibrated_as_a_map_of_one_pixel():
    si = image()
    counts = si.counts.sum(axis=(0, 1))
    data = xr.Dataset({"counts": ("energy", counts)}, coords={"energy": ENERGY})
    alone = mlatem.calibrate(data, list(TRUTH), beam_energy_kev=200.0)
    whole = mlatem.calibrate(si, list(TRUTH))
    assert alone.energy_offset_kev == whole.energy_offset_kev
    assert mlatem.edxs_dictionary(data, alone).channels == alone.window


def test_the_record_holds_the_spectrum_and_what_is_known_of_the_axis():
    si = image()
    calibration = mlatem.calibrate(si, list(TRUTH))
    np.testing.assert_array_equal(calibration.spectrum, si.counts.sum(axis=(0, 1)))
    assert -1 < calibration.offset_gain_correlation < 0
    assert calibration.resolution_ev.sigma < 2.0


def two_detectors(*, shifts_ev=(-12.0, 12.0), seed=5):
    """Sum spectra of detectors whose axes differ, and the map that they make up."""
    window = slice(40, 1200)
    spectra = np.zeros((2, ENERGY.size))
    for row, shift in zip(spectra, shifts_ev, strict=True):
        dictionary = edxs_dictionary(
            ENERGY[window] + 1e-3 * shift, elements=list(TRUTH), beam_energy_kev=200.0
        )
        lines = np.array([*TRUTH.values()]) @ dictionary.columns[:3]
        background = dictionary.columns[3:].sum(axis=0)
        row[window] = 0.8 * lines / lines.sum() + 0.2 * background / background.sum()
    counts = np.random.default_rng(seed).poisson(3e5 * spectra)
    return xr.DataArray(counts, dims=("detector", "energy"), coords={"detector": ["A", "B"]})


def test_detectors_get_axes_of_their_own_and_the_sum_fits_better():
    spectra = two_detectors()
    data = xr.Dataset(
        {"counts": ("energy", spectra.values.sum(axis=0)), "detector_spectra": spectra},
        coords={"energy": ENERGY},
    )
    found = mlatem.calibrate(data, list(TRUTH), beam_energy_kev=200.0)
    assert [detector.name for detector in found.detectors] == ["A", "B"]
    for detector, shift in zip(found.detectors, (-0.012, 0.012), strict=True):
        offset = detector.energy_offset_kev
        assert abs(offset.value - shift) < 5 * offset.sigma
        assert abs(detector.noise_ev.value - 50.0) < 5 * detector.noise_ev.sigma
    pooled = mlatem.calibrate(
        data,
        list(TRUTH),
        beam_energy_kev=200.0,
        settings=settings.Calibrate(per_detector=False),
    )
    assert pooled.detectors == ()
    assert found.deviance_per_dof < pooled.deviance_per_dof


def test_spectra_of_detectors_on_another_axis_are_refused():
    spectra = two_detectors().isel(energy=slice(0, 100))
    with pytest.raises(InputError, match="100 channels, the map 1200"):
        mlatem.calibrate(image(), list(TRUTH), detector_spectra=spectra)
