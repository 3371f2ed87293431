# SPDX-License-Identifier: GPL-3.0-or-later
import h5py
import numpy as np
import pytest

from mlatem.io.event_streams import NEXT_PIXEL
from mlatem.io.views import AxisView, HdfArray, StreamCube


def stream_of(frames):
    """Event stream of counts (frame, y, x, channel), the way Velox writes it."""
    generator = np.random.default_rng(5)
    parts = []
    for pixel in frames.reshape(-1, frames.shape[-1]):
        events = np.repeat(np.arange(len(pixel)), pixel)
        parts.append(generator.permutation(events))
        parts.append([NEXT_PIXEL])
    return np.concatenate(parts).astype(np.uint16)


@pytest.fixture
def detectors():
    return np.random.default_rng(2).poisson(0.3, (2, 3, 5, 4, 16))


def test_cube_sums_detectors_and_frames(detectors):
    cube = StreamCube([stream_of(d) for d in detectors], (5, 4, 16), 3)
    expected = detectors.sum(axis=(0, 1))
    np.testing.assert_array_equal(np.asarray(cube), expected)
    assert cube.totals == detectors.sum(axis=(1, 2, 3, 4)).tolist()
    assert cube.n_dropped == 0


@pytest.mark.parametrize(
    "region",
    [
        (slice(1, 3), slice(2, 4), slice(3, 9)),
        (slice(4, 5), slice(0, 1)),
        (slice(None), slice(None), slice(15, 16)),
        (slice(2, 2), slice(None), slice(None)),
        slice(3, None),
    ],
)
def test_cube_region_is_a_slice_of_the_whole(detectors, region):
    cube = StreamCube([stream_of(d) for d in detectors], (5, 4, 16), 3)
    np.testing.assert_array_equal(cube[region], detectors.sum(axis=(0, 1))[region])


def test_scan_that_breaks_off_keeps_what_was_recorded(detectors):
    stream = stream_of(detectors[0])
    gates = np.flatnonzero(stream == NEXT_PIXEL)
    cut = stream[: gates[46] + 1]
    expected = detectors[0].reshape(60, 16).copy()
    expected[47:] = 0
    cube = StreamCube([cut], (5, 4, 16), 3)
    np.testing.assert_array_equal(np.asarray(cube), expected.reshape(3, 5, 4, 16).sum(axis=0))


@pytest.mark.parametrize(
    ("n_counts", "dtype"), [(200, np.uint8), (300, np.uint16), (70_000, np.uint32)]
)
def test_counts_of_a_pixel_never_wrap(n_counts, dtype):
    frame = np.zeros((2, 1, 1, 4), dtype=np.int64)
    frame[:, 0, 0, 2] = n_counts // 2
    cube = StreamCube([stream_of(frame)], (1, 1, 4), 2)
    assert cube.dtype == dtype
    assert cube[:, :, :].tolist() == [[[0, 0, n_counts, 0]]]


def test_last_pixel_without_its_mark_counts(detectors):
    stream = stream_of(detectors[0])[:-1]
    cube = StreamCube([stream], (5, 4, 16), 3)
    np.testing.assert_array_equal(np.asarray(cube), detectors[0].sum(axis=0))


def test_what_follows_the_last_frame_is_left_out_and_counted(detectors):
    stream = np.concatenate([stream_of(detectors[0]), np.array([7, 8], np.uint16)])
    cube = StreamCube([stream], (5, 4, 16), 3)
    np.testing.assert_array_equal(np.asarray(cube), detectors[0].sum(axis=0))
    assert cube.n_dropped == 2


def test_cube_takes_slices_only(detectors):
    cube = StreamCube([stream_of(detectors[0])], (5, 4, 16), 3)
    with pytest.raises(IndexError, match="only slices of step 1"):
        cube[0, :, :]
    with pytest.raises(IndexError, match="4 indices for 3 axes"):
        cube[:, :, :, :]


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "f4"])
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {"compression": "gzip", "fletcher32": True},
        {},
    ],
)
def test_hdf5_region_is_a_slice_of_the_whole(tmp_path, dtype, options):
    array = np.random.default_rng(3).poisson(3.0, (11, 9, 17)).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset(
            "counts", shape=array.shape, dtype=dtype, chunks=(4, 5, 8), fillvalue=7, **options
        )
        data[:8, :, :] = array[:8]
    array[8:] = 7
    view = HdfArray(tmp_path / "a.h5", "counts")
    np.testing.assert_array_equal(np.asarray(view), array)
    for region in (
        (slice(None), slice(None), slice(None)),
        (slice(3, 10), slice(2, 9), slice(0, 17)),
        (slice(5, 6), slice(5, 6), slice(7, 9)),
        (slice(9, 11), slice(0, 2), slice(3, 3)),
    ):
        block = view[region]
        assert block.dtype == array.dtype
        np.testing.assert_array_equal(block, array[region])
    np.testing.assert_array_equal(view[::2, 1, 3:9], array[::2, 1, 3:9])


def test_damaged_chunk_of_hdf5_is_an_error_of_the_file(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "counts", data=np.arange(4096).reshape(16, 16, 16), compression="gzip", chunks=True
        )
        place = data.id.get_chunk_info(0).byte_offset
    with path.open("r+b") as stream:
        stream.seek(place + 20)
        stream.write(bytes(40))
    with pytest.raises(OSError, match="a compressed chunk"):
        HdfArray(path, "counts")[:, :, :]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize(
    "flipped", [(False, False, False), (True, False, True), (True, True, True)]
)
def test_view_reorders_and_flips(order, flipped):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    view = AxisView(array, order, flipped)
    expected = array.transpose(order)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
    assert view.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(view), expected)
    region = (slice(0, 1), slice(1, 3), slice(1, 2))
    np.testing.assert_array_equal(view[region], expected[region])
