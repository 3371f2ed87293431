# SPDX-License-Identifier: GPL-3.0-or-later
"""Event streams give the same counts in blocks of any length, from a file as from memory."""

import h5py
import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io import event_streams
from mlatem.io.event_streams import NEXT_PIXEL, EventStream, count_events, histogram, row_starts
from mlatem.io.views import StreamCube

FRAMES = np.random.default_rng(8).poisson(0.4, (3, 5, 4, 16))


def stream_of(frames):
    """Channels of all counts of (frame, y, x, channel), each pixel closed by a mark."""
    pixels = frames.reshape(-1, frames.shape[-1])
    parts = [np.append(np.repeat(np.arange(16), pixel), NEXT_PIXEL) for pixel in pixels]
    return np.concatenate(parts).astype(np.uint16)


def in_file(stream, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("s", data=stream[:, None], chunks=(7, 1))
    return EventStream(path, "s")


@pytest.mark.parametrize("block_events", [1, 5, 64, 10**6])
@pytest.mark.parametrize("n_cut", [0, 1, 60, 150])
def test_counts_do_not_depend_on_the_blocks(block_events, n_cut, monkeypatch, tmp_path):
    whole = stream_of(FRAMES)
    stream = whole[: len(whole) - n_cut]
    # What lies before the cut, pixel by pixel.
    pixel = np.cumsum(stream == NEXT_PIXEL)
    is_event = stream != NEXT_PIXEL
    expected = np.zeros((3 * 5 * 4, 16), int)
    np.add.at(expected, (pixel[is_event], stream[is_event]), 1)
    expected = expected.reshape(FRAMES.shape).sum(axis=0)

    monkeypatch.setattr(event_streams, "BLOCK_EVENTS", block_events)
    for source in (stream, in_file(stream, tmp_path / "a.h5")):
        cube = StreamCube([source], (5, 4, 16), 3)
        np.testing.assert_array_equal(cube[:, :, :], expected)
        np.testing.assert_array_equal(cube[1:4, 2:3, 3:9], expected[1:4, 2:3, 3:9])
        assert cube.totals == [expected.sum()]
        assert cube.n_dropped == 0
        assert count_events(source) == is_event.sum()
        np.testing.assert_array_equal(histogram(source), np.bincount(stream, minlength=65536))
        two = StreamCube([source], (5, 4, 16), 2)
        assert two.totals[0] + two.n_dropped == expected.sum()


@pytest.mark.parametrize("block_events", [1, 3, 1000])
def test_rows_of_a_stream_that_breaks_off(block_events, monkeypatch):
    monkeypatch.setattr(event_streams, "BLOCK_EVENTS", block_events)
    stream = np.array([1, NEXT_PIXEL, NEXT_PIXEL, 2, 3, NEXT_PIXEL, 4], np.uint16)
    np.testing.assert_array_equal(row_starts(stream, 3, 2), [0, 3, 7, 7])
    np.testing.assert_array_equal(row_starts(stream, 1, 2), [0, 3])


def test_damaged_streams_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["wide"] = np.zeros((4, 1), np.uint32)
        file["flat"] = np.zeros(4, np.uint16)
        file.create_dataset("hole", shape=(2**40, 1), dtype="u2", chunks=(1024, 1))
    for name in ("wide", "flat"):
        with pytest.raises(ReadError, match=rf"its event stream {name} is of uint"):
            EventStream(tmp_path / "a.h5", name)
    with pytest.raises(ReadError, match="/hole has 0 of 1073741824 chunks"):
        EventStream(tmp_path / "a.h5", "hole")
