# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import json
import math
import mmap
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from mlatem.errors import InputError, MemoryLimitError, ReadError, StoreError
from mlatem.io import store
from mlatem.io.counts import checked_blocks
from mlatem.io.layout import plan_layout, projected_memory_bytes
from mlatem.io.signals import RawSignals
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.settings import Convert


def image_of(counts, **options):
    ny, nx, n_energy = counts.shape
    return SpectrumImage(
        counts,
        energy=-0.2 + 0.01 * np.arange(n_energy),
        y_nm=5.0 + 2.0 * np.arange(ny),
        x_nm=1.5 * np.arange(nx),
        name="EDS",
        **options,
    )


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.05, (150, 40, 300)).astype(np.uint32)


@pytest.fixture
def signals(counts):
    survey = xr.DataArray(
        np.random.default_rng(1).random((30, 20), dtype=np.float32),
        dims=("y", "x"),
        coords={"y": 3.0 * np.arange(30), "x": 3.0 * np.arange(20)},
        name="BF",
    )
    return RawSignals(
        (
            image_of(
                counts,
                acquisition=Acquisition(
                    {"beam_energy_kev": Value(200.0, "file"), "sample": Value("µ", "user")}
                ),
                attrs={"pixel_size_nm": [2.0, 1.5]},
            ),
        ),
        (survey, survey.rename("HAADF 2"), survey.isel(y=slice(10)).rename("SE")),
        {"a": np.arange(3), "b": float("nan"), "deep": {"t": (1, b"\x00")}},
        ({"file": "a.emd", "sha256": "0" * 64},),
    )


@pytest.fixture
def path(signals, tmp_path):
    store.write_store(signals, tmp_path / "spim.zarr")
    return tmp_path / "spim.zarr"


def test_round_trip_is_exact(signals, counts, path):
    image = store.load_spectrum_image(path)
    source = signals.spectrum_images[0]
    assert image.counts.dtype == np.uint8
    np.testing.assert_array_equal(image.counts[:], counts)
    np.testing.assert_array_equal(image.counts[100:140, 3:5, 7:8], counts[100:140, 3:5, 7:8])
    for axis in ("energy", "y_nm", "x_nm"):
        np.testing.assert_array_equal(getattr(image, axis), getattr(source, axis))
    assert image.acquisition == source.acquisition
    assert (image.name, image.attrs) == ("EDS", {"pixel_size_nm": [2.0, 1.5]})


def test_metadata_is_exact(signals, path):
    back = store.load_original_metadata(path)
    np.testing.assert_array_equal(back["a"], np.arange(3))
    assert back["a"].dtype == signals.original_metadata["a"].dtype
    assert np.isnan(back["b"])
    assert back["deep"] == {"t": (1, b"\x00")}


def test_plain_xarray_opens_a_group(counts, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = xr.open_zarr(path, group="edxs", consolidated=False)
    assert group["counts"].dims == ("y", "x", "energy")
    assert group["counts"].dtype == np.uint8
    assert group["counts"].attrs["total_counts"] == counts.sum()
    assert group["energy"].attrs["units"] == "keV"
    assert group["y"].attrs["units"] == "nm"


def test_open_is_lazy_by_whole_shards_and_silent(counts, path):
    (path / ".snakemake_timestamp").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = store.open_store(path)
    data = tree["edxs/counts"]
    assert data.chunks == ((128, 22), (40,), (300,))
    np.testing.assert_array_equal(data.values, counts)
    assert tree.attrs["source"] == [{"file": "a.emd", "sha256": "0" * 64}]


def test_surveys_keep_their_grids(signals, path):
    survey = store.load_survey(path)
    assert survey.attrs["long_name"] == "BF"
    np.testing.assert_array_equal(survey.values, signals.surveys[0].values)
    np.testing.assert_array_equal(survey["y"], 3.0 * np.arange(30))
    tree = store.open_store(path)
    assert set(tree["survey"].data_vars) == {"haadf", "haadf_2"}
    assert tree["survey_2/haadf"].shape == (10, 20)


def test_no_survey(counts, tmp_path):
    store.write_store(RawSignals((image_of(counts),)), tmp_path / "s.zarr")
    assert store.load_survey(tmp_path / "s.zarr") is None


def test_attributes_are_strict_json(path):
    def refuse(token):
        raise AssertionError(token)

    for file in path.rglob("zarr.json"):
        json.loads(file.read_text(), parse_constant=refuse)


def test_tree_of_signals_has_the_form_of_a_store(signals, path):
    tree, opened = store.to_tree(signals), store.open_store(path)
    assert set(tree.groups) == set(opened.groups)
    for name in tree.groups:
        xr.testing.assert_equal(tree[name].to_dataset(), opened[name].to_dataset())


def test_tree_is_lazy_where_the_reader_is(counts, tmp_path):
    np.save(tmp_path / "c.npy", counts)
    mapped = np.load(tmp_path / "c.npy", mmap_mode="r")
    tree = store.to_tree(RawSignals((image_of(mapped),)))
    assert tree["edxs/counts"].chunks is not None
    np.testing.assert_array_equal(tree["edxs/counts"].values, counts)


@pytest.mark.parametrize(("top", "name"), [(255, "u1"), (256, "u2"), (65536, "u4")])
@pytest.mark.parametrize("source", ["u4", "i8", "f4", ">u4"])
def test_smallest_type_that_holds_the_counts(tmp_path, top, name, source):
    counts = np.zeros((2, 3, 4), dtype=source)
    counts[1, 2, 3] = top
    store.write_store(RawSignals((image_of(counts),)), tmp_path / "s.zarr")
    back = store.load_spectrum_image(tmp_path / "s.zarr").counts
    assert back.dtype == np.dtype(name)
    np.testing.assert_array_equal(back[:], counts)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN"), (-1.0, "negative counts"), (0.5, "fractions"), (0.0, "no counts")],
)
def test_unusable_counts_leave_nothing(tmp_path, value, message):
    counts = np.zeros((4, 4, 8), dtype=np.float32)
    counts[2, 1, 3] = value
    with pytest.raises(InputError, match=message):
        store.write_store(RawSignals((image_of(counts),)), tmp_path / "s.zarr")
    with pytest.raises(ReadError, match=rf"a\.rpl.*{message}"):
        store.write_store(RawSignals((image_of(counts),), path="a.rpl"), tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_old_store(path, counts):
    class Broken:
        shape, dtype, ndim = counts.shape, counts.dtype, 3

        def __getitem__(self, region):
            if region[0].start > 0:
                raise OSError("mmap length is greater than file size")
            return counts[region]

    with pytest.raises(ReadError, match=r"rows 128 to 150 cannot be read"):
        store.write_store(RawSignals((image_of(Broken()),), path="a.rpl"), path)
    assert [p.name for p in path.parent.iterdir()] == ["spim.zarr"]
    np.testing.assert_array_equal(store.load_spectrum_image(path).counts[:], counts)


def test_full_disk_leaves_nothing(signals, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_counts", full)
    with pytest.raises(StoreError, match=r"s\.zarr: cannot be written: the disk is full"):
        store.write_store(signals, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_memory_is_refused_before_reading(counts, tmp_path):
    class Unread:
        shape, dtype, ndim = (4096, 4096, 4096), np.dtype("u4"), 3

    needed = projected_memory_bytes(Unread.shape, 4, resident_bytes=10**9)
    assert needed == 10**9 + 3 * 64 * 64 * 4096 * 4
    tight = Convert(memory_limit_gb=1.1)
    with pytest.raises(MemoryLimitError, match=r"1\.2 GB.*limit of 1\.1 GB.*memory_limit_gb"):
        store.write_store(
            RawSignals((image_of(Unread()),), resident_bytes=10**9),
            tmp_path / "s.zarr",
            settings=tight,
        )
    assert list(tmp_path.iterdir()) == []


def test_conversion_streams_within_its_projection(tmp_path):
    shape = (300, 300, 256)
    mapped = np.memmap(tmp_path / "raw", dtype="u2", mode="w+", shape=shape)
    mapped[::7, ::5, ::3] = 1
    tracemalloc.start()
    try:
        store.write_store(RawSignals((image_of(mapped),)), tmp_path / "s.zarr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The interpreter's own needs, imports included, are not part of the projection.
    assert peak < projected_memory_bytes(shape, 2) + 8e6
    assert peak < mapped.nbytes


def test_progress_counts_shards(signals, tmp_path):
    seen = []
    store.write_store(signals, tmp_path / "s.zarr", progress=lambda *args: seen.append(args))
    assert seen == [(1, 2), (2, 2)]


def test_counts_that_need_more_bits_later_are_written_again(counts, tmp_path):
    counts[149, 3, 7] = 300
    seen = []
    signals = RawSignals((image_of(counts),))
    store.write_store(signals, tmp_path / "s.zarr", progress=lambda *args: seen.append(args))
    stored = store.load_spectrum_image(tmp_path / "s.zarr").counts
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored[:], counts)
    assert stored.attrs["total_counts"] == counts.sum()
    assert seen == [(1, 2), (1, 2), (2, 2)]


def test_file_that_changes_while_it_is_converted(counts, tmp_path):
    class Changing:
        ndim, shape, dtype = 3, counts.shape, counts.dtype

        def __getitem__(self, region):
            counts[149, 3, 7] += 300
            return counts[region]

    with pytest.raises(StoreError, match="changed during the conversion"):
        store.write_store(RawSignals((image_of(Changing()),)), tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="madvise is absent here")
def test_pages_of_a_file_do_not_pile_up_in_memory(tmp_path):
    def resident(field):
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024

    shape = (512, 128, 1024)
    with (tmp_path / "raw").open("wb") as file:
        file.truncate(2 * math.prod(shape))
        file.write(b"\1")
    mapped = np.memmap(tmp_path / "raw", dtype="u2", mode="r", shape=shape)
    image = image_of(mapped)
    before = resident("RssFile")
    for _ in checked_blocks(RawSignals((image,)), image):
        pass
    assert resident("RssFile") - before < mapped.nbytes / 4


@pytest.mark.parametrize(
    ("shape", "chunks", "shards"),
    [
        ((512, 512, 2048), (32, 32, 256), (128, 128, 2048)),
        ((512, 512, 4096), (32, 32, 256), (64, 64, 4096)),
        ((75, 100, 1917), (32, 32, 256), (96, 128, 2048)),
        ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        ((50, 10, 4096), (32, 10, 256), (64, 10, 4096)),
    ],
)
def test_layout(shape, chunks, shards):
    layout = plan_layout(shape)
    assert (layout.chunks, layout.shards) == (chunks, shards)


def test_tile_shape(path):
    assert store.tile_shape(path) == (128, 64)


def test_open_says_what_is_wrong(path, tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        store.open_store(tmp_path / "absent.zarr")
    (tmp_path / "a.emd").write_bytes(b"x")
    with pytest.raises(StoreError, match="convert it first"):
        store.open_store(tmp_path / "a.emd")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(StoreError, match="not a MLATEM store"):
        store.open_store(tmp_path / "empty.zarr")
    xr.Dataset(attrs={"schema": "other/9"}).to_zarr(
        tmp_path / "other.zarr", consolidated=False, zarr_format=3
    )
    with pytest.raises(StoreError, match=r"schema 'other/9', expected 'mlatem-spim/1'"):
        store.open_store(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match=r"no group 'eels_core', only edxs"):
        store.load_spectrum_image(path, "eels_core")


@pytest.mark.parametrize("lost", ["edxs/counts/c/1", "edxs/counts", "survey", "original_metadata"])
def test_half_a_store_is_refused(path, lost):
    shutil.rmtree(path / lost)
    with pytest.raises(StoreError, match=r"incomplete.*group"):
        store.open_store(path)


def test_broken_root(path):
    (path / "zarr.json").write_text('{"zarr')
    with pytest.raises(StoreError, match="broken"):
        store.load_spectrum_image(path)


def test_two_maps_of_one_kind_are_refused(counts):
    with pytest.raises(InputError, match=r"2 spectrum images of one kind \(edxs\)"):
        RawSignals((image_of(counts), image_of(counts)))
