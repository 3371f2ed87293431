# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a scan that are moved, event by event, before they are summed."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.io.event_streams import NEXT_PIXEL
from mlatem.io.formats.jeol_stream import FrameCube, frames_of
from mlatem.io.views import StreamCube
from mlatem.kernels import jeol_words

SHAPE = (5, 6, 9)
MOVES = ((0, 0), (2, -1), None, (-1, 3), (7, 0))


def stream_of(frames):
    """The event stream of frames (n_frames, ny, nx, n_channels)."""
    words = []
    for pixel in frames.reshape(-1, frames.shape[-1]):
        words += [*np.repeat(np.arange(len(pixel)), pixel), NEXT_PIXEL]
    return np.array(words, dtype=np.uint16)


def jeol_stream_of(frames):
    """The words of frames, with an empty row at the start of each, as JEOL writes them."""
    words = []
    _, ny, nx, _ = frames.shape
    for frame in frames:
        for y in range(ny):
            words.append(jeol_words.ROW << 12 | y * (4096 // ny))
            for x in range(nx):
                words.append(jeol_words.COLUMN << 12 | x * (4096 // nx))
                channels = np.repeat(np.arange(frame.shape[2]), frame[y, x])
                words += [jeol_words.COUNT << 12 | int(c) for c in channels]
    return np.array(words, dtype=np.uint16)


def moved_sum(frames, moves):
    """Pixel by pixel: each frame where it comes to lie."""
    total = np.zeros(frames.shape[1:], dtype=int)
    for frame, move in zip(frames, moves, strict=True):
        if move is not None:
            for y, x in np.ndindex(frame.shape[:2]):
                place = y + move[0], x + move[1]
                if 0 <= place[0] < frame.shape[0] and 0 <= place[1] < frame.shape[1]:
                    total[place] += frame[y, x]
    return total


@pytest.fixture
def frames():
    return np.random.default_rng(0).poisson(0.6, (5, *SHAPE))


REGIONS = [np.s_[:, :, :], np.s_[1:3, 2:5, 3:8], np.s_[4:5, 0:1, 0:9], np.s_[2:2, :, :]]


@pytest.mark.parametrize("region", REGIONS)
def test_any_region_of_moved_velox_frames(frames, region):
    first = np.random.default_rng(1).binomial(frames, 0.4)
    cube = StreamCube([stream_of(first), stream_of(frames - first)], SHAPE, 5)
    expected = moved_sum(frames, MOVES)
    moved = cube.moved(MOVES)
    np.testing.assert_array_equal(moved[region], expected[region])
    np.testing.assert_array_equal(moved.pixel_totals(), expected.sum(axis=2))
    np.testing.assert_array_equal(cube[region], frames.sum(axis=0)[region])
    np.testing.assert_array_equal(
        moved.part(frames=range(1, 4))[region], moved_sum(frames[1:4], MOVES[1:4])[region]
    )


@pytest.mark.parametrize("region", REGIONS)
def test_any_region_of_moved_jeol_frames(region):
    frames = np.random.default_rng(0).poisson(0.6, (5, 8, 4, 9))
    words = jeol_stream_of(frames)
    found = frames_of(words, (8, 4))
    assert len(found) == 5
    cube = FrameCube(words, found, (8, 4))
    expected = moved_sum(frames, MOVES)
    channels = slice(region[2].start or 0, 9 if region[2].stop is None else region[2].stop)
    moved = cube.moved(MOVES)[region[0], region[1], channels]
    np.testing.assert_array_equal(moved, expected[region])
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(cube.totals_of(i), frame.sum(axis=2))


def test_moved_counts_never_wrap():
    """Two pixels of 200 counts come to lie on one another."""
    frames = np.zeros((2, 1, 2, 1), dtype=int)
    frames[0, 0, 0] = frames[1, 0, 1] = 200
    cube = StreamCube([stream_of(frames)], (1, 2, 1), 2)
    assert cube.dtype == np.uint8
    assert cube.moved(((0, 1), (0, 0)))[0:1, 0:2, 0:1].ravel().tolist() == [0, 400]
