# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that describe a detector."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import mlatem
from mlatem.errors import InputError, ReadError
from mlatem.io.detector_tables import described_detector, read_detector_file, with_detector_file
from mlatem.model import EfficiencyTable, Layer
from mlatem.physics.detector import efficiency
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.settings import Detector, Edxs


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "detector.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


@pytest.fixture
def aluminium_per_iron():
    """Of a calibration of counts that a detector of equal efficiency has measured."""
    energy = 0.2 + 0.01 * np.arange(1200)
    columns = edxs_dictionary(energy, elements=["Al", "Fe"], beam_energy_kev=200.0).columns
    parts = columns / columns.sum(axis=1, keepdims=True)
    mean = 1e5 * parts[:2].sum(axis=0) + 1e4 * parts[2:].sum(axis=0)
    counts = np.random.default_rng(0).poisson(mean)
    data = xr.Dataset({"counts": ("energy", counts)}, coords={"energy": energy})

    def ratio(edxs):
        found = mlatem.calibrate(
            data, ["Al", "Fe"], system_elements=[], beam_energy_kev=200.0, edxs=edxs
        )
        return found.composition["Al"] / found.composition["Fe"]

    return ratio


def test_a_row_for_each_layer(write):
    path = write(
        "# silicon nitride window on a grid\n"
        "material,thickness_nm,density_g_cm3,open_area\n"
        "Si3N4,40,3.17,\n"
        "\n"
        "Al, 30, 2.70, 0\n"
        "Si,15000,2.329,0.78\n"
    )
    assert read_detector_file(path) == (
        Layer("Si3N4", 40.0, 3.17),
        Layer("Al", 30.0, 2.70),
        Layer("Si", 15000.0, 2.329, 0.78),
    )


def test_a_row_for_each_energy(write):
    path = write("energy_keV,efficiency\n0.2,0.1\n1.0,0.5\n")
    assert read_detector_file(path) == EfficiencyTable((0.2, 1.0), (0.1, 0.5))


def test_settings_keep_all_else(write):
    path = write("energy_keV,efficiency\n0.2,0.1\n1.0,0.5\n")
    edxs = Edxs(n_background=7, detector=Detector(efficiency_file=path, noise_ev=41.0))
    read = with_detector_file(edxs)
    assert (read.n_background, read.detector.noise_ev) == (7, 41.0)
    assert with_detector_file(read) == read
    assert with_detector_file(None) == Edxs()


def test_a_file_that_was_not_read_is_not_passed_over(write):
    path = write("energy_keV,efficiency\n0.2,0.1\n1.0,0.5\n")
    with pytest.raises(InputError, match=r"detector\.csv has not been read"):
        efficiency(1.0, Detector(efficiency_file=path))


def test_a_calibration_reads_the_file_and_its_changes(write, aluminium_per_iron):
    table = "energy_keV,efficiency\n0.1,{low}\n3,{low}\n6,0.5\n20,0.5\n"
    edxs = Edxs(detector=Detector(efficiency_file=write(table.format(low=0.5))))
    even = aluminium_per_iron(edxs)
    write(table.format(low=0.25))
    assert aluminium_per_iron(edxs) / even == pytest.approx(2.0, rel=0.02)


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
        described_detector(Detector(efficiency_file=str(tmp_path / "no.csv")))
