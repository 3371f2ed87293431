# SPDX-License-Identifier: GPL-3.0-or-later
"""Bruker files with several X-ray detectors, composed of the parts of a real file with one."""

import re
import struct

import numpy as np
import pytest

from mlatem.errors import MemoryLimitError, ReadError
from mlatem.io.formats.bruker import check_same_axes
from mlatem.io.read import open_raw
from mlatem.io.store import open_store, write_store
from mlatem.io.validate import validate_store
from mlatem.settings import Convert

REAL = "rsciio/bruker/16x16_12bit_packed_8bit.bcf"
CHUNK = 4096
USABLE = CHUNK - 32


@pytest.fixture
def parts(test_data):
    """Header (XML), packed spectra and counts of a real file."""
    path = test_data / REAL
    if not path.is_file():
        pytest.skip(f"{REAL} is not among the test data")
    file = pytest.importorskip("rsciio.bruker._api").BCF_reader(str(path))
    header, packed = (
        file.get_file(f"EDSDatabase/{name}").get_as_BytesIO_string().getvalue()
        for name in ("HeaderData", "SpectrumData0")
    )
    counts = np.asarray(open_raw(path).spectrum_images[0].counts)
    return header, packed, counts


def sfs_container(files):
    """A container of AidAim's single file system, not compressed, with a folder of files."""
    chunks = [b""]  # the first is the container's own

    def add(payload):
        chunks.append(struct.pack("<i28x", -1) + payload.ljust(USABLE, b"\0"))
        return len(chunks) - 1

    def entry(name, size=0, table=0, parent=-1):
        fields = (table, size, 0, 0, 0, 0, parent, b"", size == 0, b"", name.encode(), b"")
        return struct.pack("<iQQQQIi176s?3s256s32s", *fields)

    entries = [entry("EDSDatabase")]
    for name, content in files.items():
        places = [add(content[i : i + USABLE]) for i in range(0, len(content), USABLE)]
        table = add(struct.pack(f"<{len(places)}I", *places))
        entries.append(entry(name, len(content), table, 0))
    tree = add(b"".join(entries))
    head = bytearray(b"AAMVHFSS".ljust(0x118, b"\0"))
    body = bytearray(b"".join(c.ljust(CHUNK, b"\0") for c in chunks))
    start = head + body
    struct.pack_into("<fI", start, 0x124, 2.4, CHUNK)
    struct.pack_into("<III", start, 0x140, tree, len(entries), len(chunks))
    return bytes(start)


def packed_events(counts, like):
    """Counts (ny, nx, channel) as Bruker packs them where a count is 16 bits."""
    rows = [like[:0x1A0]]
    for row in counts:
        filled = np.flatnonzero(row.any(axis=1))
        rows.append(struct.pack("<i", len(filled)))
        for x in filled:
            events = np.repeat(np.arange(row.shape[1]), row[x]).astype("<u2").tobytes()
            size, n_channels = len(events), row.shape[1]
            head = (x, n_channels, n_channels, 0, 0, size & 0xFFFF, size // 2, size)
            rows.append(struct.pack("<IHHIHHHI", *map(int, head)) + events)
    return b"".join(rows)


def header_of(header, spectra, changes=None):
    """The header with a sum spectrum for each detector, like that of the one it has."""
    (own,) = re.findall(rb"<SpectrumData0>.*</SpectrumData0>", header, re.DOTALL)
    entries = b""
    for number, spectrum in enumerate(spectra):
        text = ",".join(map(str, spectrum)).encode()
        entry = re.sub(rb"<Channels>.*?</Channels>", b"<Channels>" + text + b"</Channels>", own)
        if number:
            for old, new in (changes or {}).items():
                assert re.search(old, entry)
                entry = re.sub(old, new, entry)
        entries += entry.replace(b"SpectrumData0", b"SpectrumData%d" % number)
    count = b"<DetectorCount>%d</DetectorCount>" % len(spectra)
    header = header.replace(b"<DetectorCount>1</DetectorCount>", count)
    return header.replace(own, entries)


def file_of(tmp_path, parts, maps, changes=None):
    header, packed, _ = parts
    files = {"HeaderData": header_of(header, [m.sum(axis=(0, 1)) for m in maps], changes)}
    for number, counts in enumerate(maps):
        files[f"SpectrumData{number}"] = packed_events(counts, packed)
    path = tmp_path / "map.bcf"
    path.write_bytes(sfs_container(files))
    return path


@pytest.fixture
def maps(parts):
    counts = parts[2]
    rng = np.random.default_rng(6)
    return [counts, rng.binomial(counts, 0.6), rng.binomial(counts[::-1], 0.8)]


def test_composed_file_of_one_detector_is_the_real_one(parts, test_data, tmp_path):
    header, packed, counts = parts
    path = tmp_path / "same.bcf"
    path.write_bytes(sfs_container({"HeaderData": header, "SpectrumData0": packed}))
    same, real = open_raw(path), open_raw(test_data / REAL)
    np.testing.assert_array_equal(same.spectrum_images[0].counts, counts)
    assert same.spectrum_images[0].acquisition == real.spectrum_images[0].acquisition
    repacked = open_raw(file_of(tmp_path, parts, [counts]))
    np.testing.assert_array_equal(repacked.spectrum_images[0].counts, counts)


def test_detectors_are_added_up(parts, maps, tmp_path):
    path = file_of(tmp_path, parts, maps)
    reader = pytest.importorskip("rsciio.bruker").file_reader
    theirs = reader(str(path), select_type="spectrum_image", index="all")
    np.testing.assert_array_equal([s["data"] for s in theirs], maps)

    signals = open_raw(path)
    image = signals.spectrum_images[0]
    np.testing.assert_array_equal(image.counts, sum(maps))
    assert image.acquisition["n_detectors"].value == 3
    assert image.acquisition["beam_energy_kev"].value == 20.0
    spectra = signals.detector_spectra
    np.testing.assert_array_equal(spectra, [m.sum(axis=(0, 1)) for m in maps])
    names = spectra["detector"].to_numpy().tolist()
    assert names == ["XFlash 6|10 1", "XFlash 6|10 2", "XFlash 6|10 3"]
    assert signals.splits == ()
    assert list(signals.original_metadata)[:3] == ["EDX", "EDX 2", "EDX 3"]


def test_detectors_are_kept_apart_on_request(parts, maps, tmp_path):
    settings = Convert(separate_detectors=True)
    signals = open_raw(file_of(tmp_path, parts, maps), settings=settings)
    write_store(signals, tmp_path / "s.zarr", settings=settings)
    tree = open_store(tmp_path / "s.zarr")
    np.testing.assert_array_equal(tree["edxs_detectors"]["counts"], maps)
    assert validate_store(tmp_path / "s.zarr", deep=True) == []


def test_sum_that_needs_a_larger_type(parts, tmp_path):
    counts = np.zeros_like(parts[2])
    counts[3, 4, 100] = 200
    counts[5, 5, 50] = 1
    image = open_raw(file_of(tmp_path, parts, [counts, counts])).spectrum_images[0]
    assert image.counts[3, 4, 100] == 400


def test_a_detector_that_lacks_counts_is_named(parts, maps, tmp_path):
    header, packed, counts = parts
    files = {
        "HeaderData": header_of(header, [counts.sum(axis=(0, 1))] * 2),
        "SpectrumData0": packed,
        "SpectrumData1": packed_events(maps[1], packed),
    }
    path = tmp_path / "map.bcf"
    path.write_bytes(sfs_container(files))
    found, expected = int(maps[1].sum()), int(counts.sum())
    words = f"the map holds {found} counts but the sum spectrum of the same file {expected}"
    with pytest.raises(ReadError, match=words):
        open_raw(path)


def test_detectors_of_other_energies_are_not_added_up(parts, maps, tmp_path):
    scale = rb"<CalibLin>([\d.E,-]+)</CalibLin>"
    changes = {scale: b"<CalibLin>1.02E-2</CalibLin>"}
    path = file_of(tmp_path, parts, maps, changes)
    with pytest.raises(ReadError, match="differ in the axis Energy: detector 1 has 2048 x") as info:
        open_raw(path)
    assert "detector 2 2048 x 0.0102 keV" in str(info.value)
    assert "Export the map of each detector" in str(info.value)


def test_a_tenth_of_a_channel_does_not_matter(tmp_path):
    axis = {"name": "Energy", "size": 2048, "offset": -0.47, "scale": 0.01, "units": "keV"}
    close = {**axis, "offset": -0.4699, "scale": 0.01 * (1 + 4e-5)}
    check_same_axes([axis], [close], 2, tmp_path)
    with pytest.raises(ReadError, match=r"from -0\.47 keV, detector 2 2048"):
        check_same_axes([axis], [{**axis, "offset": -0.468}], 2, tmp_path)
    with pytest.raises(ReadError, match="detector 3 1024 x"):
        check_same_axes([axis], [{**axis, "size": 1024}], 3, tmp_path)


def test_memory_of_several_detectors_is_projected(parts, maps, tmp_path):
    path = file_of(tmp_path, parts, maps)
    with pytest.raises(MemoryLimitError):
        open_raw(path, settings=Convert(memory_limit_gb=0.002))
