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


def test_values_that_are_there_are_of_any_order_of_magnitude():
    """The likelihood would have nothing of it; against the same on a fine grid."""
    error, start, slope = 0.01, 0.02, 250.0
    value = np.geomspace(1e-6, 0.3, 20_000)
    density = np.exp(-((value - start) * slope + 0.5 * ((value - start) / error) ** 2))
    density *= np.gradient(value) / (error + value)
    found = posterior_mean(
        np.array([start]),
        np.array([[error**-2]]),
        np.array([slope]),
        np.array([error]),
        np.array([0]),
        n_sweeps=N_SWEEPS,
        n_discarded=100,
        seed=0,
        n_with_zeros=0,
    )
    assert found[0] == pytest.approx(np.sum(density * value) / density.sum(), rel=0.03)


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


def truncated_mean(start, information, slope, bounds):
    """Of a Gaussian on values that are not negative and keep to the bounds, on a fine grid."""
    axis = np.linspace(0.0, 0.15, 1201)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    moved = x - start
    loss = moved @ slope + 0.5 * np.einsum("abi,ij,abj->ab", moved, information, moved)
    density = np.exp(-(loss - loss.min())) * np.all(x @ np.transpose(bounds) >= 0, axis=-1)
    return np.einsum("ab,abi->i", density, x) / density.sum()


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.6])
@pytest.mark.parametrize("bounds", [[[1.0, -0.5]], [[1.0, -0.5], [-1.0, 1.5]]])
def test_mean_within_bounds(correlation, bounds):
    error = np.array([0.01, 0.015])
    information = np.array([[1.0, correlation], [correlation, 1.0]]) / np.outer(error, error)
    start, slope = np.array([0.014, 0.02]), np.array([30.0, -40.0])
    expected = truncated_mean(start, information, slope, bounds)
    found = posterior_mean(
        start,
        information,
        slope,
        error,
        np.array([-1, -1]),
        n_sweeps=5 * N_SWEEPS,
        n_discarded=100,
        seed=0,
        bounds=np.array(bounds),
    )
    assert np.allclose(found, expected, rtol=0.05)
    assert np.all(np.array(bounds) @ found >= 0)


def test_a_stiff_statement_is_kept_and_the_rest_averaged():
    """One value is twice the other, exactly; along that line the prior cuts a Gaussian."""
    row = np.array([1.0, -2.0]) / 1e-5
    counts = np.array([[2e3, 0.0], [0.0, 1e3]])
    start, slope = np.array([0.02, 0.01]), np.array([50.0, 20.0])
    found = sampled(start, counts + np.outer(row, row), slope, [0.02, 0.03], [-1, -1])
    assert found[0] == pytest.approx(2 * found[1], rel=1e-3)
    amount = np.linspace(0.0, 0.3, 30_001)
    moved = amount[:, None] * [2.0, 1.0] - start
    loss = moved @ slope + 0.5 * np.sum((moved @ counts) * moved, axis=1)
    density = np.exp(-(loss - loss.min()))
    assert found[1] == pytest.approx(np.sum(amount * density) / density.sum(), rel=0.04)
