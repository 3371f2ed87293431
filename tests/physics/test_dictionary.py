# SPDX-License-Identifier: GPL-3.0-or-later
"""The EDXS dictionary."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib

from mlatem import settings
from mlatem.errors import InputError, ReadError
from mlatem.model import Calibration, Estimate
from mlatem.physics.absorption import self_absorption_factor
from mlatem.physics.detector import efficiency
from mlatem.physics.dictionary import dictionary_from_calibration, edxs_dictionary
from mlatem.physics.lines import emission_lines
from mlatem.settings import Detector, Edxs

ENERGY = 0.01 * np.arange(2048)


def build(energy=ENERGY, **changes):
    keywords = {"elements": ("Fe", "O"), "beam_energy_kev": 200.0, **changes}
    return edxs_dictionary(energy, **keywords)


def column(dictionary, name):
    return dictionary.columns[dictionary.names.index(name)]


def test_names_kinds_and_elements():
    dictionary = build(elements=("Fe", "Pt"), system_elements=("Cu",), n_background=4)
    assert dictionary.names == (
        "Fe",
        "Pt",
        "Cu K (system)",
        "Cu L (system)",
        "continuum 1",
        "continuum 2",
        "continuum 3",
        "continuum 4",
    )
    assert dictionary.kinds == ("line",) * 2 + ("system",) * 2 + ("background",) * 4
    assert dictionary.elements == ("Fe", "Pt", "Cu", "Cu", "", "", "", "")
    assert dictionary.quantified.tolist() == [True] * 2 + [False] * 6


@pytest.mark.parametrize("width_kev", [0.0025, 0.005, 0.01, 0.02, 0.04])
def test_binning_conserves_the_intensity_of_lines(width_kev):
    energy = np.arange(0.0, 12.0, width_kev)
    lines = emission_lines("Fe", 200)
    expected = (lines.cross_section_barn * efficiency(lines.energy_kev, Detector())).sum()
    # The wings of the natural width end 2 keV from a line.
    assert column(build(energy), "Fe").sum() == pytest.approx(expected, rel=5e-4)


def test_centre_and_width_of_a_line():
    energy = 0.005 * np.arange(1000)
    gaussian = Detector(tail_depth_nm=0)
    oxygen = column(build(energy, noise_ev=60.0, fano=0.12, detector=gaussian), "O")
    mean = (oxygen * energy).sum() / oxygen.sum()
    deviation = np.sqrt((oxygen * (energy - mean) ** 2).sum() / oxygen.sum())
    fwhm_ev = np.sqrt(60.0**2 + 8 * np.log(2) * 0.12 * 3.66 * 524.9)
    assert mean == pytest.approx(0.5249, abs=1e-4)
    sheppard = 5.0**2 / 12  # variance that the width of a channel adds
    expected = np.sqrt((fwhm_ev / 2.3548) ** 2 + sheppard)
    assert 1e3 * deviation == pytest.approx(expected, rel=1e-3)


def test_a_coarse_axis_is_the_sum_of_a_fine_one():
    fine = build(0.005 * np.arange(4000))
    coarse = build(0.0025 + 0.01 * np.arange(2000))
    np.testing.assert_allclose(
        column(coarse, "Fe"), column(fine, "Fe").reshape(-1, 2).sum(axis=1), atol=1e-3
    )


def test_absorption_weakens_soft_lines_of_the_specimen_only():
    film = {"composition": {"Fe": 0.4, "O": 0.6}, "mass_thickness_kg_m2": 5e-4}
    thin = build(system_elements=("Si",))
    thick = build(system_elements=("Si",), take_off_angle_deg=18.0, **film)
    escaping = self_absorption_factor(
        film["composition"], 0.5249, mass_thickness_kg_m2=5e-4, take_off_angle_deg=18.0
    )
    ratio = column(thick, "O").sum() / column(thin, "O").sum()
    assert ratio == pytest.approx(float(escaping), rel=1e-3)
    again = build(system_elements=("Si",), take_off_angle_deg=18.0)
    np.testing.assert_array_equal(column(thick, "Si K (system)"), column(again, "Si K (system)"))


def test_the_grid_absorbs_its_own_lines():
    thin = build(system_elements=("Cu",), system_thickness_um=0.0)
    thick = build(system_elements=("Cu",), system_thickness_um=5.0, take_off_angle_deg=20.0)
    factor = column(thick, "Cu K (system)") / np.maximum(column(thin, "Cu K (system)"), 1e-30)
    for line_kev in (8.046, 8.905):
        depth = 5e-6 * 8960.0 / np.sin(np.radians(20.0)) * 0.1 * xraylib.CS_Total(29, line_kev)
        expected = -np.expm1(-depth) / depth
        assert factor[round(100 * line_kev)] == pytest.approx(expected, rel=2e-3)


def test_without_a_composition_the_elements_share_equally():
    film = {"mass_thickness_kg_m2": 5e-4}
    one = build(composition={"Fe": 0.5, "O": 0.5}, **film)
    np.testing.assert_allclose(build(**film).columns, one.columns)


@pytest.mark.parametrize(
    ("element", "window", "expected"),
    [
        ("O", (0.35, 20), 0.25),
        ("Si", (0.35, 20), 0.10),
        ("Fe", (0.35, 20), 0.04),
        ("Fe", (0.35, 3), 0.40),
        ("Zr", (0.35, 10), 0.10),
        ("Ba", (0.9, 20), 0.20),
        ("Pt", (0.35, 20), 0.50),
        ("Pt", (5, 20), 0.20),
    ],
)
def test_prior_sigma_is_that_of_the_dominant_family(element, window, expected):
    energy = np.arange(*window, 0.01)
    assert build(energy, elements=(element,)).factor_sigma[0] == expected


def test_order_of_elements_changes_nothing_but_the_order():
    one, two = build(elements=("Fe", "O", "Pt")), build(elements=("Pt", "Fe", "O"))
    for name in ("Fe", "O", "Pt"):
        np.testing.assert_array_equal(column(one, name), column(two, name))


def test_negative_energies_of_a_file_are_no_obstacle():
    dictionary = build(-0.2 + 0.01 * np.arange(2048))
    assert np.isfinite(dictionary.columns).all()


def test_the_strobe_peak_of_a_wide_axis_meets_no_column():
    energy = -0.5 + 0.005 * np.arange(2000)
    dictionary = build(energy, elements=("Fe", "O", "B"), system_elements=("Cu",))
    strobe = np.abs(energy) < 0.02
    part = dictionary.columns[:, strobe].sum(axis=1) / dictionary.columns.sum(axis=1)
    # Of B, whose line lies at 0.18 keV, the tail reaches there.
    assert part.max() < 2e-3


def test_a_system_element_outside_the_window_is_left_out():
    energy = np.arange(0.35, 3.0, 0.01)
    names = build(energy, system_elements=("Cu", "C")).names
    assert "Cu L (system)" in names
    assert not [name for name in names if name.startswith(("Cu K", "C "))]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"elements": ("Fe", "Qq")}, "Qq"),
        ({"elements": ("Fe", "Fe")}, "twice"),
        ({"elements": ("Fe", "He")}, "He emits no X-ray"),
        ({"elements": ("Fe",), "system_elements": ("Fe",)}, "both"),
        ({"beam_energy_kev": None}, "beam energy is missing"),
        ({"beam_energy_kev": 200_000.0}, "not V"),
        ({"mass_thickness_kg_m2": -1.0}, "thickness"),
        ({"take_off_angle_deg": -3.0}, "take-off"),
        ({"noise_ev": -50.0}, "noise of -50.0 eV"),
        ({"noise_ev": np.nan}, "noise of nan eV"),
        ({"fano": 0.0}, "Fano factor of 0.0"),
        ({"detector": Detector(efficiency_file="no.csv")}, "no.csv"),
        ({"energy": ENERGY[::-1]}, "does not increase"),
        ({"energy": [[1.0, 2.0]]}, "shape"),
        ({"energy": [np.nan, 1.0]}, "finite"),
        ({"composition": {"Fe": -1.0}, "mass_thickness_kg_m2": 1e-4}, "composition"),
    ],
)
def test_bad_input_is_named_with_its_mend(changes, words):
    with pytest.raises((InputError, ReadError), match=words):
        build(**changes)


def test_an_element_without_a_line_in_the_window_is_named_with_its_lines():
    with pytest.raises(InputError, match=r"C has no usable line.*K 0\.277.*energy_min_kev"):
        build(np.arange(0.35, 20, 0.01), elements=("Fe", "C"))


def test_dictionary_from_a_calibration():
    def estimate(value):
        return Estimate(value, None, "user")

    calibration = Calibration(
        energy_offset_kev=estimate(0.004),
        energy_gain=estimate(1e-3),
        noise_ev=estimate(48.0),
        fano=estimate(0.115),
        beam_energy_kev=estimate(300.0),
        take_off_angle_deg=estimate(18.0),
        mass_thickness_kg_m2=estimate(2e-4),
        composition={"Fe": 0.4, "O": 0.6},
        elements=("Fe", "O"),
        system_elements=("Cu",),
        first_channel=35,
        stop_channel=1500,
        deviance_per_dof=1.0,
    )
    edxs = Edxs(n_background=5, detector=settings.Detector(window="polymer"))
    got = dictionary_from_calibration(ENERGY, calibration, edxs)
    expected = edxs_dictionary(
        (ENERGY * 1.001 + 0.004)[35:1500],
        elements=("Fe", "O"),
        system_elements=("Cu",),
        beam_energy_kev=300,
        noise_ev=48,
        fano=0.115,
        detector=edxs.detector,
        n_background=5,
        take_off_angle_deg=18,
        mass_thickness_kg_m2=2e-4,
        composition={"Fe": 0.4, "O": 0.6},
    )
    assert got.names == expected.names
    np.testing.assert_array_equal(got.energy, expected.energy)
    np.testing.assert_array_equal(got.columns, expected.columns)
    with pytest.raises(InputError, match="channel 1500"):
        dictionary_from_calibration(ENERGY[:1000], calibration, edxs)
