# SPDX-License-Identifier: GPL-3.0-or-later
"""EELS maps of Velox files, hand-written."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.formats.velox_eels import eels_maps

COUNTS = np.random.default_rng(7).poisson(100.0, (3, 5, 16)).astype(np.uint16)
POSITIONS = [
    {"name": "y", "offset": 0.0, "scale": 2e-9, "units": "m"},
    {"name": "x", "offset": 0.0, "scale": 1e-9, "units": "m"},
]
RANGE = {"dispersion": 0.25, "offset": 480.0, "intensityOffset": -8.0, "intensityScale": 0.08}


def column(tree):
    return np.frombuffer(json.dumps(tree).encode() + b"\0", np.uint8)[:, None]


def write_eels(path, ranges, *, height=3):
    with h5py.File(path, "w") as file:
        for index, record in enumerate(ranges):
            group = file.create_group(f"Data/EelsSpectrumImage/{index}")
            group["Data"] = COUNTS.transpose(1, 2, 0)
            info = {"bincount": "16", "width": "5", "height": str(height)}
            text = h5py.string_dtype()
            group.create_dataset("Info", data=[json.dumps(info)], dtype=text)
            group["Metadata"] = column({"Optics": {"AccelerationVoltage": "80000"}})
            group["AcquisitionMetadata"] = column({"Data": record})
    return path


def test_ranges_come_by_energy_and_lazily(tmp_path):
    path = write_eels(tmp_path / "a.emd", [RANGE, {**RANGE, "offset": -2.0}])
    images, trees = eels_maps(path, (3, 5), POSITIONS, AxisOverrides(energy_scale_kev=9.0))
    assert [image.energy[0] for image in images] == [-2.0, 480.0]
    assert [tree["Range"]["offset"] for tree in trees] == [-2.0, 480.0]
    image = images[1]
    region = (slice(1, 3), slice(0, 2), slice(3, 9))
    np.testing.assert_array_equal(image.counts[region], COUNTS[region])
    np.testing.assert_allclose(image.energy, 480.0 + 0.25 * np.arange(16))
    np.testing.assert_allclose(image.y_nm, 2.0 * np.arange(3))
    assert image.acquisition["beam_energy_kev"].value == 80.0
    assert image.attrs["intensity_origin"] == 100.0
    assert "exposure_s" not in image.attrs


def test_sizes_that_contradict_are_refused(tmp_path):
    path = write_eels(tmp_path / "a.emd", [RANGE], height=4)
    with pytest.raises(ReadError, match="5 x 16 x 3 values, which its header calls 4 x 5 pixels"):
        eels_maps(path, (3, 5), POSITIONS, AxisOverrides())
    path = write_eels(tmp_path / "b.emd", [RANGE])
    with pytest.raises(ReadError, match="beside an EDS map of 6 x 5"):
        eels_maps(path, (6, 5), POSITIONS, AxisOverrides())


def test_a_map_without_energy_axis_is_refused(tmp_path):
    path = write_eels(tmp_path / "a.emd", [{"offset": 0.0}])
    with pytest.raises(ReadError, match="without its energy axis"):
        eels_maps(path, (3, 5), POSITIONS, AxisOverrides())
