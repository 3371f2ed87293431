# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors that the user describes in a file."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib

from mlatem.errors import ReadError
from mlatem.physics.detector import efficiency
from mlatem.physics.detector_file import parse_formula, read_detector_file
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.settings import Detector


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "detector.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


def test_layers_of_a_file(write):
    path = write(
        "# silicon nitride window on a grid\n"
        "material,thickness_nm,density_g_cm3,open_area\n"
        "Si3N4,40,3.17,\n"
        "\n"
        "Al, 30, 2.70, 0\n"
        "Si,15000,2.329,0.78\n"
    )
    energy = 0.525
    nitride = xraylib.CS_Total_CP("Si3N4", energy) * 3.17 * 40e-7
    aluminium = xraylib.CS_Total(13, energy) * 2.70 * 30e-7
    grid = 0.78 + 0.22 * np.exp(-xraylib.CS_Total(14, energy) * 2.329 * 15000e-7)
    expected = np.exp(-nitride - aluminium) * grid
    found = efficiency(energy, Detector(efficiency_file=path))
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_active_silicon_of_a_layer_file_is_that_of_the_settings(write):
    path = write("material,thickness_nm,density_g_cm3\nAl,0,2.7\n")
    thin = efficiency(17.48, Detector(efficiency_file=path, active_silicon_mm=0.45))
    assert thin == pytest.approx(1 - np.exp(-xraylib.CS_Photo(14, 17.48) * 2.329 * 0.045))


def test_a_table_is_the_whole_efficiency(write):
    path = write("energy_keV,efficiency\n0.2,0.1\n1.0,0.5\n10,0.9\n20,0.4\n")
    energy = [0.05, 0.15, 0.6, 15.0, 30.0]
    found = efficiency(energy, Detector(efficiency_file=path))
    np.testing.assert_allclose(found, [0.0, 0.1, 0.3, 0.65, 0.4])


def test_a_file_that_changes_is_read_again(write):
    path = write("energy_keV,efficiency\n0.1,0.5\n20,0.5\n")
    energy = np.arange(0.4, 10, 0.01)
    keywords = {
        "elements": ["Fe"],
        "beam_energy_kev": 200,
        "detector": Detector(efficiency_file=path),
    }
    before = edxs_dictionary(energy, **keywords).columns
    write("energy_keV,efficiency\n0.1,0.1\n5,0.1\n20,0.5\n")
    after = edxs_dictionary(energy, **keywords).columns
    assert after[0].sum() < 0.5 * before[0].sum()
    assert np.abs(after[1:] - before[1:]).max() > 1e-4 * before[1:].max()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("material,thickness_nm,density_g_cm3\n", "no rows"),
        ("layer,nm\nAl,30\n", "has the columns layer, nm.*Give the columns material"),
        ("material,thickness_nm,density_g_cm3\nAl,30,2.7\nKapton,300,1.4\n", "line 3.*'Kapton'"),
        ("material,thickness_nm,density_g_cm3\nAl,-30,2.7\n", "line 2: thickness_nm is '-30'"),
        ("material,thickness_nm,density_g_cm3\nAl,inf,2.7\n", "line 2: thickness_nm is infinite"),
        ("material,thickness_nm,density_g_cm3\nAl,30\n", "line 2: density_g_cm3 is ''"),
        ("material,thickness_nm,density_g_cm3\nAl,30,0\n", "density_g_cm3 is 0"),
        (
            "material,thickness_nm,density_g_cm3,open_area\nSi,300,2.3,77\n",
            "open_area is '77'.*0 to 1",
        ),
        ("energy_keV,efficiency\n1,0.5\n1,0.6\n", "line 3: energy_keV 1 does not lie above"),
        ("energy_keV,efficiency\n1,50\n", "line 2: efficiency is '50'.*0 to 1"),
        ("energy_keV,efficiency\n1,0\n2,0\n", "efficiency is 0 at all"),
    ],
)
def test_a_bad_file_is_named_with_row_and_mend(write, text, words):
    path = write(text)
    with pytest.raises(ReadError, match=words) as caught:
        read_detector_file(path)
    assert path in str(caught.value)


def test_a_missing_file_names_the_setting(tmp_path):
    with pytest.raises(ReadError, match=r"cannot be read.*edxs\.detector\.efficiency_file"):
        efficiency(1.0, Detector(efficiency_file=str(tmp_path / "no.csv")))


def test_formulas():
    assert parse_formula("C22H10N2O5") == {"C": 22, "H": 10, "N": 2, "O": 5}
    assert parse_formula("Fe0.5Ni0.5Fe1") == {"Fe": 1.5, "Ni": 0.5}


def test_ap33_is_close_to_the_manufacturers_table(test_data):
    path = test_data / "atomic" / "AP3_3.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    table = np.loadtxt(path, delimiter=",", comments="//").T
    detector = Detector(window="ap33", dead_layer_nm=0, aluminium_nm=0)
    # Polyimide stands for the film, whose composition the maker does not tell.
    for energy_kev, tolerance in {
        **dict.fromkeys((0.277, 0.392), 0.13),
        **dict.fromkeys((0.525, 0.677, 1.041, 1.254, 1.487, 1.740), 0.05),
    }.items():
        expected = np.interp(1e3 * energy_kev, *table)
        assert efficiency(energy_kev, detector) == pytest.approx(expected, rel=tolerance)
