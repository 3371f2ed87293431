# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift put into simulated frames is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from mlatem.preprocessing.drift import find_drift

SHAPE = (96, 80)


def scene(seed=0, margin=24):
    """Particles on a foil, larger than the scan: what drifts in was outside."""
    rng = np.random.default_rng(seed)
    size = SHAPE[0] + 2 * margin, SHAPE[1] + 2 * margin
    spots = (rng.random(size) < 0.01) * rng.uniform(5, 20, size)
    return gaussian_filter(spots, 1.5) * 20 + 1.0


def frames(path, counts, seed=0, margin=24):
    """Poisson counts of the scene, which has moved by the path when the frame is recorded."""
    rng = np.random.default_rng(100 + seed)
    whole = scene(seed)
    scale = counts / whole.mean()
    cut = (slice(margin, -margin),) * 2
    return [
        rng.poisson(scale * shift(whole, step, order=3, mode="nearest")[cut].clip(0))
        for step in path
    ]


def walk(n_frames, seed=0):
    """A drift that slows down, with jitter."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_frames)[:, None]
    return np.array([7.0, -4.0]) * (1 - np.exp(-time / 6)) + rng.normal(0, 0.3, (n_frames, 2))


def errors(path, found):
    """What is left of the drift when frames are moved as found, used frames."""
    left = (path + found.shift_px)[found.is_used]
    return left - np.median(left, axis=0)


def find_drift_of(images):
    return find_drift(lambda i: images[i], len(images), are_counts=True)


@pytest.mark.parametrize("seed", range(3))
def test_whole_pixels(seed):
    path = np.rint(walk(16, seed))
    found = find_drift_of(frames(path, 20.0, seed))
    assert found.is_used.all()
    assert found.n_together == 1
    np.testing.assert_allclose(errors(path, found), 0.0, atol=0.3)
    left = path + found.moved_px
    assert np.ptp(left, axis=0).max() == 0


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_pixels(seed):
    path = walk(16, seed)
    found = find_drift_of(frames(path, 20.0, seed))
    np.testing.assert_allclose(errors(path, found), 0.0, atol=0.3)


def test_few_counts_in_a_frame():
    """0.3 counts a pixel and frame."""
    path = walk(16)
    found = find_drift_of(frames(path, 0.3))
    assert found is not None
    left = errors(path, found)
    assert np.abs(left).max() < 1.5
    # The jitter of frames that were summed is not told apart.
    assert np.sqrt(np.mean(left**2)) < 3 * np.hypot(found.error_px, 0.3)


def test_single_frames_that_show_too_little_are_summed():
    path = np.repeat(np.rint(walk(8)), 8, axis=0)
    found = find_drift_of(frames(path, 0.004))
    assert found is not None
    assert found.n_together > 1
    np.testing.assert_allclose(errors(path, found), 0.0, atol=1.5)


def test_a_bad_frame_is_left_out_and_moves_no_other():
    path = np.rint(walk(12))
    images = frames(path, 20.0)
    rng = np.random.default_rng(9)
    images[0] = rng.poisson(20.0, SHAPE)
    images[6] = np.zeros(SHAPE, dtype=int)
    found = find_drift_of(images)
    assert np.flatnonzero(~found.is_used).tolist() == [0, 6]
    assert np.ptp((path + found.moved_px)[found.is_used], axis=0).max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_drift(seed):
    rng = np.random.default_rng(seed)
    images = rng.poisson(5.0, (8, *SHAPE))
    assert find_drift_of(images) is None


def test_one_frame_cannot_drift():
    assert find_drift_of(frames([(0, 0)], 20.0)) is None


def test_what_all_frames_cover():
    path = np.array([[0, 0], [3, -2], [-1, 5]])
    found = find_drift_of(frames(path, 50.0))
    assert found.moved_px.tolist() == (np.median(path, axis=0) - path).astype(int).tolist()
    rows, columns = found.covered(SHAPE)
    lowest, highest = found.moved_px.min(axis=0), found.moved_px.max(axis=0)
    assert (rows.start, rows.stop) == (highest[0], SHAPE[0] + lowest[0])
    assert (columns.start, columns.stop) == (highest[1], SHAPE[1] + lowest[1])
