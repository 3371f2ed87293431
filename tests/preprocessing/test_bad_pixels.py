# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead and hot pixels put into simulated maps."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.preprocessing.bad_pixels import dead_pixels, hot_pixels

SHAPE = (120, 90)


def bright(seed=0, counts=60.0):
    """A foil with a straight edge to vacuum, a hole, and a gradient of thickness."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = counts * (1 + columns / SHAPE[1])
    expected[rows + columns < 40] = 0.0
    expected[np.hypot(rows - 70, columns - 50) < 6] = 0.0
    return rng.poisson(expected)


@pytest.mark.parametrize("seed", range(5))
def test_vacuum_and_noise_are_not_dead(seed):
    assert not dead_pixels(bright(seed)).any()
    assert not dead_pixels(np.random.default_rng(seed).poisson(3.0, SHAPE)).any()


def test_dead_pixels_are_found():
    """Single ones, at the border and in a corner of the map, two side by side, and a short line."""
    totals = bright()
    dead = np.zeros(SHAPE, dtype=bool)
    dead[100, [20, 21]] = dead[0, 60] = dead[-1, -1] = dead[60, 20] = True
    dead[90, 70:80] = True
    totals[dead] = 0
    np.testing.assert_array_equal(dead_pixels(totals), dead)


def test_masked_pixels_are_neither_bad_nor_neighbours():
    totals = bright()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[100, 20:23] = mask[99, 20:23] = mask[101, 20:23] = True
    mask[100, 21] = False
    totals[99:102, 20:23] = 0
    assert not dead_pixels(totals, mask).any()  # no neighbour tells
    mask[:] = False
    mask[100, 21] = True
    assert not dead_pixels(totals, mask)[100, 21]


@pytest.mark.parametrize("seed", range(5))
def test_hot_pixels(seed):
    totals = bright(seed)
    assert not hot_pixels(totals).any()
    hot = np.zeros(SHAPE, dtype=bool)
    hot[100, [20, 21]] = hot[3, 3] = hot[70, 50] = True
    totals[hot] += 2000
    np.testing.assert_array_equal(hot_pixels(totals), hot)
    assert not dead_pixels(totals).any()
