# SPDX-License-Identifier: GPL-3.0-or-later
"""TIA .ser and .emi, also hand-written ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.tia_file import read_ser
from mlatem.io.read import open_raw
from mlatem.io.store import load_original_metadata, load_spectrum_image, write_store

OLD = "rsciio/tia/old/16x16-spectrum_image-5x5x1024"
EDS = "rsciio/tia/new/16x16-diffraction_imagel_5x5x256x256_EDS_1.ser"
COUNTS = np.random.default_rng(1).poisson(2.0, (3, 4, 50)).astype("<u2")
EMI = b"""junk<ObjectInfo><AcquireDate>Mon Feb 22 11:55:58 2016</AcquireDate>
<ExperimentalDescription><Root>
<Data><Label>High tension</Label><Value>80.0</Value><Unit>kV</Unit></Data>
<Data><Label>Camera length</Label><Value>long</Value><Unit>m</Unit></Data>
</Root></ExperimentalDescription></ObjectInfo>junk"""


def present(test_data, name):
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not among the test data")
    return test_data / name


def dimension(size, offset, delta, element):
    units = b"meters"
    return struct.pack("<IddII", size, offset, delta, element, 0) + struct.pack("<I", 6) + units


def write_ser(path, records, dims, *, version=0x220, data=0x4120, n_valid=None, by_column=False):
    """A .ser file of `records`, each a header and its numbers as bytes."""
    n_valid = len(records) if n_valid is None else n_valid
    word = "<I" if version <= 0x210 else "<Q"
    head = b"II" + struct.pack("<HHIIII", 0x197, version, data, 0x4142, len(records), n_valid)
    axes = b"".join(dimension(*d) for d in dims)
    table = len(head) + struct.calcsize(word) + 4 + len(axes)
    position = table + 2 * len(records) * struct.calcsize(word)
    offsets, tags, body = [], [], b""
    for index, record in enumerate(records[:n_valid]):
        y, x = divmod(index, dims[0][0]) if dims else (0, 0)
        if by_column:
            y, x = x, y
        offsets.append(position + len(body))
        tags.append(offsets[-1] + len(record))
        body += record + struct.pack("<HHIdd", 0x4142, 0, 0, x * 1e-9, y * 1e-9)
    missing = [0] * (len(records) - n_valid)
    numbers = b"".join(struct.pack(word, n) for n in offsets + missing + tags + missing)
    count = struct.pack("<I", len(dims))
    path.write_bytes(head + struct.pack(word, table) + count + axes + numbers + body)
    return path


def spectra(counts=COUNTS, delta=10.0, offset=-200.0):
    flat = counts.reshape(-1, counts.shape[-1])
    code = {"<u2": 2, "<i4": 6}[counts.dtype.str]
    return [
        struct.pack("<ddIHI", offset, delta, 0, code, flat.shape[1]) + s.tobytes() for s in flat
    ]


def image(pixels):
    ny, nx = pixels.shape
    calibration = struct.pack("<ddI", 0.0, 2e-9, 0)
    return calibration + calibration + struct.pack("<HII", 7, nx, ny) + pixels.tobytes()


SCAN = [(4, 0.0, 1e-9, 0), (3, 0.0, -2e-9, 3)]


@pytest.mark.parametrize("name", [f"{OLD}.emi", f"{OLD}_1.ser", EDS])
def test_counts_of_the_manifest_with_y_upwards(name, test_data, tmp_path):
    files = json.loads((test_data / "manifest.json").read_text())["files"]
    (expected,) = [s for e in files if e["file"] == name for s in e["signals"]]
    signals = open_raw(present(test_data, name))
    group = "edxs" if name == EDS else "eels_lowloss"
    write_store(signals, tmp_path / "s.zarr")
    stored = load_spectrum_image(tmp_path / "s.zarr", group)
    assert list(stored.shape) == expected["shape"]
    assert stored.counts.attrs["total_counts"] == expected["sum"]
    assert stored.counts.dtype == (np.uint8 if name == EDS else np.float32)
    reader = pytest.importorskip("rsciio.tia").file_reader
    (reference,) = reader(str(test_data / name))
    np.testing.assert_array_equal(stored.counts[:], reference["data"][::-1])


def test_positions_are_those_of_the_probe(test_data):
    path = present(test_data, f"{OLD}_1.ser")
    (signal,) = open_raw(path).spectrum_images
    probe = read_ser(path).positions
    np.testing.assert_allclose(signal.x_nm, 1e9 * probe["x"][:5], atol=1e-6)
    np.testing.assert_allclose(signal.y_nm, 1e9 * probe["y"][::-5], atol=1e-6)
    np.testing.assert_allclose(signal.energy[[0, -1]], [-20.0, 184.6])
    assert open_raw(present(test_data, EDS)).spectrum_images[0].energy[-1] == 19.995


def test_metadata(test_data):
    signals = open_raw(present(test_data, f"{OLD}.emi"))
    (signal,) = signals.spectrum_images
    values = {name: entry.value for name, entry in signal.acquisition.items()}
    assert values == {
        "beam_energy_kev": 300.0,
        "microscope": "Tecnai 300 kV D248 SuperTwin",
        "stage_tilt_deg": 0.0,
        "signal_type": "EELS",
        "date": "2016-02-22T11:55:58",
    }
    assert signal.acquisition["signal_type"].origin == "default"
    assert signal.acquisition["beam_energy_kev"].origin == "file"
    assert signal.attrs["dispersion_ev"] == pytest.approx(0.2)
    names = [Path(OLD).name + end for end in (".emi", "_1.ser")]
    assert [source["file"] for source in signals.sources] == names
    single = open_raw(test_data / f"{OLD}_1.ser")
    assert [source["file"] for source in single.sources] == names[::-1]
    assert single.spectrum_images[0].acquisition == signal.acquisition


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tia_t50.ser", "is cut: only 13 of 25 records lie before its end"),
        ("tia_zero64k.ser", "is damaged: 6 of 25 records differ .* beginning with record 14"),
    ],
)
def test_damaged_files_are_refused(name, words, test_data):
    with pytest.raises(ReadError, match=f"{name}: {words}"):
        open_raw(present(test_data, f"corrupt/{name}"))


@pytest.mark.parametrize("version", [0x210, 0x220])
def test_map_and_image_of_one_emi(version, tmp_path):
    (tmp_path / "a.emi").write_bytes(EMI)
    write_ser(tmp_path / "a_1.ser", spectra(), SCAN, version=version)
    pixels = np.arange(6, dtype="<f4").reshape(2, 3)
    write_ser(tmp_path / "a_2.ser", [image(pixels)], [], version=version, data=0x4122)
    signals = open_raw(tmp_path / "a.emi")
    (signal,) = signals.spectrum_images
    np.testing.assert_array_equal(np.asarray(signal.counts), COUNTS[::-1])
    region = (slice(1, 3), slice(2, 4), slice(7, 9))
    np.testing.assert_array_equal(signal.counts[region], COUNTS[::-1][region])
    np.testing.assert_allclose(signal.energy, -0.2 + 0.01 * np.arange(50))
    np.testing.assert_allclose(signal.x_nm, 0.5 + np.arange(4))
    np.testing.assert_allclose(signal.y_nm, [1.0, 3.0, 5.0])
    assert signal.acquisition["beam_energy_kev"].value == 80.0
    (survey,) = signals.surveys
    np.testing.assert_array_equal(survey, pixels)
    np.testing.assert_allclose(survey["x"], [0.0, 2.0, 4.0])
    write_store(signals, tmp_path / "s.zarr")
    tree = load_original_metadata(tmp_path / "s.zarr")["a_1.ser"]
    assert tree["ser_header"]["n_valid_records"] == 12
    assert tree["ObjectInfo"]["AcquireDate"].startswith("Mon Feb 22")
    with pytest.raises(ReadError, match=r"only an image of 2 x 3 pixels \(a_2\.ser\)"):
        open_raw(tmp_path / "a_2.ser")


def test_interrupted_scan_is_told(tmp_path, caplog):
    path = write_ser(tmp_path / "a_1.ser", spectra(), SCAN, n_valid=7)
    (signal,) = open_raw(path).spectrum_images
    (sentence,) = signal.attrs["warnings"]
    assert sentence.startswith("7 of 12 pixels were recorded")
    assert sentence in caplog.text
    expected = COUNTS.copy().reshape(12, -1)
    expected[7:] = 0
    np.testing.assert_array_equal(np.asarray(signal.counts), expected.reshape(COUNTS.shape)[::-1])


def test_other_series(tmp_path):
    line = write_ser(tmp_path / "a_1.ser", spectra(), [(12, 0.0, 1e-9, 0)])
    with pytest.raises(ReadError, match="a series or line scan of 12 spectra of 50 channels"):
        open_raw(line)
    with pytest.raises(ReadError, match="column by column"):
        open_raw(write_ser(tmp_path / "b_1.ser", spectra(), SCAN, by_column=True))
    with pytest.raises(ReadError, match="12 spectra for a scan of 5 x 4"):
        open_raw(write_ser(tmp_path / "c_1.ser", spectra(), [SCAN[0], (5, 0.0, 1e-9, 0)]))
    with pytest.raises(ReadError, match="0 of 12 records"):
        open_raw(write_ser(tmp_path / "d_1.ser", spectra(), SCAN, n_valid=0))
    (tmp_path / "e.emi").write_bytes(EMI)
    with pytest.raises(ReadError, match=r"there is no e_1\.ser beside it"):
        open_raw(tmp_path / "e.emi")
    (tmp_path / "f.ser").write_bytes(b"nothing of the kind")
    with pytest.raises(ReadError, match="does not begin like a TIA file"):
        open_raw(tmp_path / "f.ser")


def test_negative_counts_of_a_dark_corrected_camera_are_kept(tmp_path):
    counts = COUNTS.astype("<i4")
    counts[0, 0, 0] = -5
    path = write_ser(tmp_path / "a_1.ser", spectra(counts, delta=0.2, offset=-2.0), SCAN)
    write_store(open_raw(path), tmp_path / "s.zarr")
    stored = load_spectrum_image(tmp_path / "s.zarr", "eels_lowloss")
    np.testing.assert_array_equal(stored.counts[:], counts[::-1])


@pytest.mark.parametrize("length", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_copy_is_refused_or_equal(length, tmp_path):
    path = write_ser(tmp_path / "a_1.ser", spectra(), SCAN)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * length)])
    try:
        (signal,) = open_raw(path).spectrum_images
    except ReadError as error:
        assert "a_1.ser" in str(error)
    else:
        np.testing.assert_array_equal(np.asarray(signal.counts), COUNTS[::-1])
