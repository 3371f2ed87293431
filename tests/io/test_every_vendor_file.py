# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of the test data converts to the counts of the manifest or is refused with a cause.

Both folders are walked, so that a new file cannot be forgotten: what is not named below as an
exception has to give the manifest's shapes and sums, or, damaged or without a map, a `ReadError`.
"""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from mlatem.errors import ReadError
from mlatem.io.export import export_hspy
from mlatem.io.read import open_raw
from mlatem.io.store import load_spectrum_image, open_store, write_store

FOLDER = Path(
    os.environ.get("MLATEM_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
#: Maps of less numbers are compared number by number and exported, larger ones by their sums.
MAX_COMPARED = 256e6

#: The manifest holds what the vendor reader returns; here it is wrong, or says nothing.
CORRECTED = {
    # The reader takes the size of the last image of the file; the stream has 319 of 16 x 20 pixels.
    "rsciio/emd/velox_EELS_EDS/example_velox_EELS_EDS.emd": [
        ((16, 20, 4096), 11093),
        ((16, 20, 2048), 65521751),
        ((16, 20, 2048), 65523224),
        ((16, 20, 2048), 65540456),
    ],
    # Interrupted in its first frame, of which the reader keeps nothing and MLATEM 39 rows.
    "rsciio/jeol/InvalidFrame/Sample/00_Dummy-Data/Dummy-Data_0000007.pts": [
        ((64, 64, 4096), 1497)
    ],
    # A project, which the reader is not asked for: the map of its .pts file.
    "rsciio/jeol/rawdata.ASW": [((512, 512, 4096), 308261)],
    # 15 x 1 x 40 x 40: four axes are no map.
    "rsciio/nexus/simple_signal.nxs": [],
}
#: What these files do not say, and the user has to; they are refused without.
GIVEN = {"bcf-testing-samples/4on3_full.rpl": {"signal_type": "EDS_SEM", "energy_scale_kev": 0.01}}
#: Damaged files that are read: counts, and what the warning says.
READ_THOUGH_DAMAGED = {
    # Cut behind its last count: it holds all of bcf_v2_50x50px.bcf.
    "bruker_t95.bcf": (949769, None),
    # Its whole frames, 6 of 14.
    "jeol_t50.pts": (132233, "the file was cut: it has 677892 of 1372168 bytes"),
}


def entries():
    path = FOLDER / "manifest.json"
    return json.loads(path.read_text())["files"] if path.is_file() else []


def damaged():
    folder = FOLDER / "corrupt"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def maps_of(entry):
    """Shapes (y, x, energy), sums and hashes of the maps of a manifest entry."""
    found = []
    for signal in entry.get("signals", []):
        shape = signal["shape"]
        if len(shape) != 3:
            continue
        if entry["plugin"] == "DigitalMicrograph":  # the energy comes first
            shape = [*shape[1:], shape[0]]
        found.append((tuple(shape), signal["sum"], signal))
    return found


def as_in_manifest(counts, entry, signal):
    """Hash of counts in the type and order of the manifest."""
    if entry["plugin"] == "DigitalMicrograph":
        counts = np.moveaxis(counts, 2, 0)
    if entry["plugin"] == "TIA":  # rows run upwards in the file
        counts = counts[::-1]
    stored = np.ascontiguousarray(counts.astype(np.dtype(signal["dtype"]).newbyteorder("<")))
    return hashlib.sha256(stored.tobytes()).hexdigest()


def converted(path, folder, overrides):
    """The counts of all maps of the store that a file is converted to."""
    signals = open_raw(path, acquisition_overrides=overrides)
    write_store(signals, folder / "spim.zarr")
    return [load_spectrum_image(folder / "spim.zarr", g).counts for g in signals.group_names]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["file"])
def test_file_of_the_manifest(entry, tmp_path):
    name = entry["file"]
    path = FOLDER / name
    assert path.is_file(), "the manifest names a file that is not there"
    maps = maps_of(entry)
    expected = CORRECTED.get(name, [(shape, total) for shape, total, _ in maps])
    if not expected or name in GIVEN:
        with pytest.raises(ReadError) as caught:
            open_raw(path)
        assert_names_file_and_cause(caught.value, path)
        if not expected:
            return
    found = converted(path, tmp_path, GIVEN.get(name))
    by_size = sorted((tuple(c.shape), float(c.attrs["total_counts"])) for c in found)
    assert [shape for shape, _ in by_size] == sorted(shape for shape, _ in expected)
    assert [n for _, n in by_size] == pytest.approx([n for _, n in sorted(expected)], rel=1e-12)
    if sum(math.prod(shape) for shape, _ in expected) < MAX_COMPARED:
        assert_lazy_is_eager(path, found, GIVEN.get(name))
        assert_export_comes_back(tmp_path)
        if name not in CORRECTED:
            ((_, _, signal),) = maps
            digest = as_in_manifest(found[0][:], entry, signal)
            assert digest == signal["sha256_c_order_little_endian"]


@pytest.mark.parametrize("name", damaged())
def test_damaged_file(name, tmp_path):
    path = FOLDER / "corrupt" / name
    if name in READ_THOUGH_DAMAGED:
        total, warning = READ_THOUGH_DAMAGED[name]
        (counts,) = converted(path, tmp_path, None)
        assert counts.attrs["total_counts"] == total
        image = load_spectrum_image(tmp_path / "spim.zarr")
        told = " ".join(image.attrs.get("warnings", ()))
        assert (warning in told) if warning else not told
        return
    with pytest.raises(ReadError) as caught:
        write_store(open_raw(path), tmp_path / "spim.zarr")
    assert_names_file_and_cause(caught.value, path)
    assert list(tmp_path.iterdir()) == []


def assert_lazy_is_eager(path, stored, overrides):
    """A part that is sliced from the file is that of the store."""
    for image, counts in zip(
        open_raw(path, acquisition_overrides=overrides).spectrum_images, stored, strict=True
    ):
        region = tuple(slice(n // 4, n // 4 + max(n // 3, 1)) for n in image.shape)
        np.testing.assert_array_equal(np.asarray(image.counts[region]), counts[region])


def assert_export_comes_back(folder):
    """Counts, axes, survey and acquisition of a store survive a HyperSpy file."""
    export_hspy(folder / "spim.zarr", folder / "out.hspy")
    write_store(open_raw(folder / "out.hspy"), folder / "again.zarr")
    one, other = (open_store(folder / name) for name in ("spim.zarr", "again.zarr"))
    assert one.groups == other.groups
    for group in one.groups[1:]:
        xr.testing.assert_identical(one[group].to_dataset(), other[group].to_dataset())


def test_exceptions_are_of_files_that_exist():
    if not FOLDER.is_dir():
        pytest.skip(f"no test data in {FOLDER}")
    names = {entry["file"] for entry in entries()}
    assert set(CORRECTED) | set(GIVEN) <= names
    assert set(READ_THOUGH_DAMAGED) <= set(damaged())


def assert_names_file_and_cause(error, path):
    """One line: the file, what is wrong with it, and what to do."""
    words = str(error)
    assert words.startswith(f"{path}: ")
    assert "\n" not in words
    cause = words.removeprefix(f"{path}: ")
    assert len(cause) > 40
    assert ". " in cause
