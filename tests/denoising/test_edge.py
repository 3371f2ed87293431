# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.denoising.edge import bulk_edge, noise_edge


def wishart(n_pixels, n_dimensions, seed, *, even=True):
    """Eigenvalues of debiased Gaussian noise of mean variance one, five times larger in some."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_pixels, n_dimensions))
    if not even:
        noise *= np.sqrt(np.where(np.arange(n_pixels) < n_pixels // 4, 2.5, 0.5))[:, None]
    return np.linalg.eigvalsh(noise.T @ noise)[::-1] - n_pixels


@pytest.mark.parametrize(("n", "m"), [(400, 100), (200, 200), (100, 300)])
def test_noise_ends_at_the_edge(n, m):
    largest = np.mean([wishart(n, m, seed)[0] for seed in range(10)])
    assert abs(largest / noise_edge(n, m) - 1) < 0.08


def test_uneven_noise_ends_above_the_uniform_edge_and_below_that_of_the_bulk():
    for seed in range(5):
        values = wishart(600, 300, seed, even=False)
        assert values[0] > 1.3 * noise_edge(600, 300)
        assert values[0] < bulk_edge(values[:30], 300)


@pytest.mark.parametrize("n_signal", [1, 3, 12])
def test_signal_stands_off_and_does_not_hide_other_signal(n_signal):
    values = wishart(600, 300, 1, even=False)[:30]
    top = values[0] * (1.5 + np.arange(n_signal)[::-1])
    edge = bulk_edge(np.concatenate([top, values[: 30 - n_signal]]), 300)
    assert values[0] < edge < top[-1]


def test_small_bulk_is_not_fitted():
    assert bulk_edge(wishart(600, 60, 0)[:30], 60) == -np.inf
    assert bulk_edge(np.zeros(0), 0) == -np.inf
