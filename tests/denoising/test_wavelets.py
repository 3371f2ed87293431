# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.denoising.wavelets import shrink


def unit_noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_noise_alone_is_taken_out():
    smoothed = shrink(unit_noise((128, 128)), np.ones((128, 128)))
    # What remains is the mean over some 16 x 16 pixels.
    assert smoothed.std() < 0.1


def test_a_step_is_kept_and_the_noise_beside_it_is_not():
    truth = np.where(np.arange(96)[None] < 48, 0.0, 10.0) * np.ones((96, 1))
    smoothed = shrink(truth + unit_noise(truth.shape), np.ones(truth.shape))
    error = smoothed - truth
    assert np.sqrt(np.mean(error**2)) < 0.3
    assert abs(error.mean()) < 5 / np.sqrt(truth.size)


def test_noise_may_differ_from_place_to_place():
    sigma = np.where(np.arange(128)[None] < 64, 1.0, 4.0) * np.ones((128, 1))
    truth = 6.0 * np.sin(np.arange(128) / 20.0)[:, None] * np.ones((1, 128))
    noisy = truth + sigma * unit_noise(sigma.shape)
    known = shrink(noisy, sigma**2) - truth
    mean = shrink(noisy, np.full_like(sigma, np.mean(sigma**2))) - truth
    assert np.mean(known**2) < np.mean(mean**2)


@pytest.mark.parametrize("shape", [(33, 50), (8, 9), (1, 64), (100, 3)])
def test_any_size_keeps_its_shape_and_a_constant(shape):
    smoothed = shrink(np.full(shape, 3.0), np.ones(shape))
    assert smoothed.shape == shape and smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, 3.0, rtol=1e-5)


def test_a_line_scan_is_smoothed_along_the_line():
    smoothed = shrink(unit_noise((1, 512)), np.ones((1, 512)))
    assert smoothed.std() < 0.4


def test_small_maps_stay_as_they_are():
    noisy = unit_noise((7, 7))
    np.testing.assert_allclose(shrink(noisy, np.ones((7, 7))), noisy, rtol=1e-6)


def test_mirrored_maps_give_mirrored_results():
    noisy = 3 * np.eye(64) + unit_noise((64, 64))
    ones = np.ones((64, 64))
    np.testing.assert_allclose(shrink(noisy.T, ones), shrink(noisy, ones).T, atol=1e-4)
