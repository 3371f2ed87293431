# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np

from mlatem.denoising.total_variation import smooth


def objective(image, noisy, weight):
    gradient = np.zeros((2, *image.shape))
    gradient[0, :-1], gradient[1, :, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
    return 0.5 * np.sum((image - noisy) ** 2) + weight * np.sqrt((gradient**2).sum(axis=0)).sum()


def test_result_has_the_least_objective_around():
    rng = np.random.default_rng(0)
    noisy = np.kron([[0.0, 5.0], [3.0, 0.0]], np.ones((16, 16))) + rng.standard_normal((32, 32))
    found = smooth(noisy, 1.0).astype(float)
    best = objective(found, noisy, 1.0)
    assert best < objective(noisy, noisy, 1.0)
    for _ in range(20):
        other = found + 0.3 * rng.standard_normal(found.shape)
        assert best < objective(other, noisy, 1.0)


def test_mean_is_kept_and_weight_zero_changes_nothing():
    noisy = np.random.default_rng(1).standard_normal((20, 31))
    np.testing.assert_allclose(smooth(noisy, 5.0).mean(), noisy.mean(), atol=1e-5)
    np.testing.assert_allclose(smooth(noisy, 0.0), noisy, rtol=1e-6)


def test_strong_weight_leaves_the_mean():
    noisy = np.random.default_rng(2).standard_normal((16, 16))
    np.testing.assert_allclose(smooth(noisy, 1e3), noisy.mean(), atol=0.05)
