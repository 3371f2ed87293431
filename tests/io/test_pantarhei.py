# SPDX-License-Identifier: GPL-3.0-or-later
"""PantaRhei .prz, written by hand."""

import numpy as np
import pytest
from small_samples import COUNTS, PANTARHEI_METADATA, write_prz

from mlatem.errors import MemoryLimitError, ReadError
from mlatem.io.read import open_raw
from mlatem.io.store import load_original_metadata, load_spectrum_image, write_store
from mlatem.settings import Convert


@pytest.mark.parametrize("compressed", [False, True])
def test_map(compressed, tmp_path):
    path = write_prz(tmp_path / "a.prz", compressed=compressed)
    signals = open_raw(path, acquisition_overrides={"signal_type": "EELS"})
    (image,) = signals.spectrum_images
    assert isinstance(image.counts, np.memmap) != compressed
    assert signals.resident_bytes == (COUNTS.nbytes if compressed else 0)
    write_store(signals, tmp_path / "spim.zarr")
    stored = load_spectrum_image(tmp_path / "spim.zarr", "eels_core")
    np.testing.assert_array_equal(stored.counts[:], COUNTS)
    np.testing.assert_allclose(stored.energy, 100 + 0.5 * np.arange(32))
    np.testing.assert_allclose(stored.y_nm, 3.0 * np.arange(5))
    np.testing.assert_allclose(stored.x_nm, 2.0 * np.arange(7))
    assert stored.acquisition["beam_energy_kev"].value == 80.0
    assert stored.acquisition["convergence_mrad"].value == 25.0
    assert load_original_metadata(tmp_path / "spim.zarr") == {"map": PANTARHEI_METADATA}


def test_spectra_that_run_against_the_energy(tmp_path):
    """Maps of an energy filter are stored with the loss falling along the axis."""
    calibrations = [
        {"unit": "eV", "value": 0.5, "offset": -231.0},
        *PANTARHEI_METADATA["device.calib"][1:],
    ]
    changes = {"filter.mode": "EELS", "device.calib": calibrations}
    path = write_prz(tmp_path / "a.prz", COUNTS[:, :, ::-1].copy(), **changes)
    (image,) = open_raw(path).spectrum_images
    assert image.technique == "eels"
    np.testing.assert_array_equal(np.asarray(image.counts[:, :, :]), COUNTS)
    np.testing.assert_allclose(image.energy, 100 + 0.5 * np.arange(32))


def test_type_of_signal_has_to_be_known(tmp_path):
    with pytest.raises(ReadError, match="Give signal_type in the sample sheet"):
        open_raw(write_prz(tmp_path / "a.prz"))


def test_pickled_metadata_are_never_loaded(tmp_path):
    with pytest.raises(ReadError, match=r"metadata are pickled.*export it as \.hspy"):
        open_raw(write_prz(tmp_path / "a.prz", pickled=True))


def test_damaged_counts(tmp_path):
    path = write_prz(tmp_path / "a.prz")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReadError, match="Bad CRC-32"):
        open_raw(path)


def test_image(tmp_path):
    changes = {"type": "2D", "content.types": ["ScanX", "ScanY"]}
    path = write_prz(tmp_path / "a.prz", COUNTS[:, :, 0].copy(), **changes)
    with pytest.raises(ReadError, match="no spectrum image, only arrays of 5 x 7"):
        open_raw(path)


def test_compressed_counts_above_the_limit(tmp_path):
    path = write_prz(tmp_path / "a.prz", compressed=True)
    with pytest.raises(MemoryLimitError):
        open_raw(path, settings=Convert(memory_limit_gb=1e-9))
