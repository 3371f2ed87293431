# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import pywt

from mlatem.denoising.wavelets import BandSums, Transform, band_sums, mirrored, shrink, shrink_block


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


@pytest.mark.parametrize("shape", [(40, 56), (1, 96), (33, 21)])
def test_shrinkage_is_that_of_an_undecimated_transform(shape):
    """PyWavelets, with so much of the mirror around the map that its own ends play no part."""
    noisy = unit_noise(shape) + 4 * np.sin(np.arange(shape[1]) / 5)
    transform = Transform.of(shape)
    pad = [
        (128, 128 - n % 16) if axis in transform.axes else (0, 0) for axis, n in enumerate(shape)
    ]
    bands = pywt.swtn(
        np.pad(noisy, pad, mode="symmetric"),
        "sym4",
        transform.n_levels,
        axes=transform.axes,
        trim_approx=True,
        norm=True,
    )
    inside = tuple(slice(before, before + n) for (before, _), n in zip(pad, shape, strict=True))
    for details, level in zip(bands[1:], range(transform.n_levels, 0, -1), strict=True):
        variance = 0.5 ** (level * len(transform.axes))
        for name, values in details.items():
            # There the middle of the low-pass filters is one tap to the left of ours.
            shift = [2 ** (level - (letter == "d")) - 1 for letter in name]
            shifted = np.roll(values, shift, axis=transform.axes)
            signal = np.mean(shifted[inside] ** 2) - variance
            threshold = variance / np.sqrt(signal) if signal > 0 else np.inf
            details[name] = pywt.threshold(values, threshold, "soft")
    expected = pywt.iswtn(bands, "sym4", axes=transform.axes, norm=True)[inside]
    np.testing.assert_allclose(shrink(noisy, np.ones(shape)), expected, atol=2e-4)


def test_without_shrinkage_blocks_give_the_map_back():
    image = unit_noise((50, 70)).astype(np.float32)
    transform = Transform.of(image.shape)
    rows = mirrored(transform.around(0, 10, 30, 2 * transform.reach), 50)
    columns = mirrored(transform.around(1, 0, 25, 2 * transform.reach), 70)
    everything = BandSums(
        np.full((transform.n_bands, 1), 1e30), np.ones((transform.n_bands, 1), int)
    )
    block = shrink_block(image[np.ix_(rows, columns)], 1.0, transform, everything)
    np.testing.assert_allclose(block, image[10:30, :25], atol=1e-5)


def test_sums_of_blocks_are_those_of_the_map():
    image = unit_noise((48, 40)).astype(np.float32)
    transform = Transform.of(image.shape)

    def sums(y0, y1):
        rows = mirrored(transform.around(0, y0, y1, transform.reach), 48)
        columns = mirrored(transform.around(1, 0, 40, transform.reach), 40)
        return band_sums(image[np.ix_(rows, columns)], 1.0, transform)

    parts = BandSums.zero(transform.n_bands) + sums(0, 13) + sums(13, 48)
    np.testing.assert_allclose(parts.signal, sums(0, 48).signal, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(parts.n_pixels, sums(0, 48).n_pixels)
