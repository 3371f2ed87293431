# SPDX-License-Identifier: GPL-3.0-or-later
"""EDAX .spd with its .spc and .ipr, written by hand at the published positions of their fields."""

import struct

import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.read import open_raw
from mlatem.io.store import load_spectrum_image, write_store

COUNTS = np.random.default_rng(7).poisson(0.5, (5, 7, 32)).astype("<u2")


def write_spd(folder, *, spc=True, ipr="map_Img.ipr", n_spectra=35, cut=0):
    path = folder / "map.spd"
    header = struct.pack("<16s8i120s", b"MAPSPECTRA_DATA", 1, n_spectra, 7, 5, 32, 2, 1100, 1, b"")
    header = header[:48] + rb"C:\EDAX\map_Img.bmp".ljust(120, b"\0")
    content = header.ljust(1100, b"\0") + COUNTS.tobytes()
    path.write_bytes(content[: len(content) - cut])
    if spc:
        fields = bytearray(20996)
        for offset, kind, value in (
            (0, "<f", 0.70),
            (384, "<i", 20),  # eV per channel
            (448, "<f", -0.1),  # start, keV
            (456, "<f", 12.5),  # live time
            (460, "<f", 3.0),  # tilt
            (472, "<f", 129.5),  # resolution
            (508, "<f", 45.0),  # azimuth
            (512, "<f", 36.0),  # elevation
            (532, "<f", 20.0),  # beam energy, keV
        ):
            struct.pack_into(kind, fields, offset, value)
        struct.pack_into("<h2H", fields, 638, 2, 8, 14)  # picked elements
        path.with_suffix(".spc").write_bytes(fields)
    if ipr:
        fields = bytearray(252)
        struct.pack_into("<H", fields, 0, 333)
        struct.pack_into("<2f", fields, 64, 0.002, 0.003)  # micrometres per pixel in x and y
        (folder / ipr).write_bytes(fields)
    return path


def test_map(tmp_path):
    signals = open_raw(write_spd(tmp_path))
    (image,) = signals.spectrum_images
    assert isinstance(image.counts, np.memmap)
    write_store(signals, tmp_path / "spim.zarr")
    stored = load_spectrum_image(tmp_path / "spim.zarr")
    np.testing.assert_array_equal(stored.counts[:], COUNTS)
    np.testing.assert_allclose(stored.energy, -0.1 + 0.02 * np.arange(32), atol=1e-6)
    np.testing.assert_allclose(stored.y_nm, 3.0 * np.arange(5), rtol=1e-6)
    np.testing.assert_allclose(stored.x_nm, 2.0 * np.arange(7), rtol=1e-6)
    values = {name: entry.value for name, entry in stored.acquisition.items()}
    assert values == {
        "beam_energy_kev": 20.0,
        "live_time_s": 12.5,
        "stage_tilt_deg": 3.0,
        "energy_resolution_ev": 129.5,
        "azimuth_deg": 45.0,
        "elevation_deg": 36.0,
        "signal_type": "EDS_SEM",
    }
    assert stored.attrs["elements_in_file"] == ["O", "Si"]
    assert [s["file"] for s in signals.sources] == ["map.spd", "map.spc", "map_Img.ipr"]


def test_files_beside_in_capitals(tmp_path):
    path = write_spd(tmp_path, ipr="MAP_IMG.IPR")
    image = open_raw(path).spectrum_images[0]
    assert image.attrs["pixel_size_nm"] == pytest.approx([3.0, 2.0])


def test_without_the_files_beside(tmp_path):
    path = write_spd(tmp_path, spc=False, ipr=None)
    with pytest.raises(ReadError, match=r"not calibrated.*Give energy_scale_kev"):
        open_raw(path)
    given = {"energy_scale_kev": 0.01}
    image = open_raw(path, acquisition_overrides=given).spectrum_images[0]
    np.testing.assert_allclose(image.energy, 0.01 * np.arange(32))
    assert image.attrs["pixel_size_origin"] == "default"


@pytest.mark.parametrize("changes", [{"n_spectra": 34}, {"cut": 2}])
def test_map_that_is_not_whole(changes, tmp_path):
    with pytest.raises(ReadError, match=r"but 5 x 7 pixels of 32 channels .* make 3340"):
        open_raw(write_spd(tmp_path, **changes))


def test_spectrum_beside_a_map(tmp_path):
    path = write_spd(tmp_path).with_suffix(".spc")
    with pytest.raises(ReadError, match=r"single spectrum of EDAX.* Name the \.spd"):
        open_raw(path)
