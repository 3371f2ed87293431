# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.kernels.spike_and_slab import posterior_mean

N_SWEEPS = 20_000


def sampled(start, information, slope, error, group, seed=0):
    return posterior_mean(
        np.array(start, dtype=float),
        np.array(information, dtype=float),
        np.array(slope, dtype=float),
        np.array(error, dtype=float),
        np.array(group),
        n_sweeps=N_SWEEPS,
        n_discarded=100,
        seed=seed,
    )


def by_quadrature(start, information, slope, error):
    """The mean of two values of one group: all four patterns of zeros on a fine grid."""
    axes = [np.concatenate([[0.0], np.geomspace(1e-5, 1.0, 800)]) for _ in start]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    moved = x - start
    loss = moved @ slope + 0.5 * np.einsum("abi,ij,abj->ab", moved, information, moved)
    density = np.exp(-(loss - loss.min()))
    for i, axis in enumerate(axes):
        # trapezoids of the density proportional to 1 / (error + value), up to one
        prior = np.gradient(axis[1:]) / (error[i] + axis[1:]) / np.log(1 + 1 / error[i])
        weight = np.concatenate([[1.0], prior])
        density = density * (weight[:, None] if i == 0 else weight)
    # the share of zeros integrated out: B(1 + n_zero, 1 + n_others) for two values
    n_zero = (x == 0).sum(axis=-1)
    density = density * np.array([1 / 3, 1 / 6, 1 / 3])[n_zero]
    return np.einsum("ab,abi->i", density, x) / density.sum()


@pytest.mark.parametrize("correlation", [0.0, 0.95, -0.95])
def test_mean_of_two_correlated_values(correlation):
    error = np.array([0.01, 0.02])
    information = np.array([[1.0, correlation], [correlation, 1.0]]) / np.outer(error, error)
    start, slope = np.array([0.03, 0.05]), np.array([20.0, -10.0])
    expected = by_quadrature(start, information, slope, error)
    found = sampled(start, information, slope, error, [0, 0])
    assert np.allclose(found, expected, rtol=0.05)


def test_well_known_values_stay_and_zeros_stay_zeros():
    error = np.full(4, 1e-4)
    start = np.array([0.5, 0.3, 0.2, 0.0])
    information = np.diag(1 / error**2)
    found = sampled(start, information, [0.0, 0.0, 0.0, 0.0], error, [0, 0, 0, 0])
    assert np.allclose(found[:3], start[:3], atol=1e-5)
    assert found[3] < 0.5 * error[3]


def test_values_without_group_are_gaussian():
    """Far from zero, the flat prior leaves the mean of the likelihood."""
    information = np.array([[4.0, 1.0], [1.0, 3.0]]) * 1e4
    slope = np.array([30.0, -20.0])
    found = sampled([0.5, 0.5], information, slope, [0.01, 0.01], [-1, -1])
    assert np.allclose(found, 0.5 - np.linalg.solve(information, slope), atol=3e-4)


def test_the_same_seed_gives_the_same_mean():
    case = ([0.1, 0.0], [[100.0, 50.0], [50.0, 200.0]], [1.0, -3.0], [0.1, 0.07], [0, 0])
    assert np.array_equal(sampled(*case, seed=3), sampled(*case, seed=3))
    assert not np.array_equal(sampled(*case, seed=3), sampled(*case, seed=4))
