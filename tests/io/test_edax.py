# SPDX-License-Identifier: GPL-3.0-or-later
"""EDAX .spd with its .spc and .ipr."""

import numpy as np
import pytest
from small_samples import COUNTS, write_spd

from mlatem.errors import ReadError
from mlatem.io.read import open_raw
from mlatem.io.store import load_spectrum_image, write_store


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
