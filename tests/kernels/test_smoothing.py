# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.ndimage import correlate1d

from mlatem.kernels.smoothing import smooth


def reference(values, weight):
    once = correlate1d(values, weight, axis=0, mode="constant")
    return correlate1d(once, weight, axis=1, mode="constant")


@pytest.mark.parametrize("sigma", [0.4, 1.3, 5.0])
def test_maps_and_variances(sigma):
    shape = (17, 23)
    values = np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)
    variance = np.random.default_rng(1).uniform(size=(*shape, 1)).astype(np.float32)
    radius = int(np.ceil(3 * sigma))
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weight /= weight.sum()
    found = smooth(values.reshape(-1, 3), variance.reshape(-1, 1), shape, sigma)
    assert np.allclose(found[0].reshape(values.shape), reference(values, weight), atol=1e-6)
    assert np.allclose(found[1].reshape(variance.shape), reference(variance, weight**2), atol=1e-6)


def test_no_smoothing_changes_nothing():
    values, variance = np.ones((6, 2), np.float32), np.ones((6, 1), np.float32)
    assert smooth(values, variance, (2, 3), 0.0) == (values, variance)
