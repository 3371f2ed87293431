# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import SparseCounts, thin


def sparse(block, first_pixel=0):
    n_pixels = block.shape[0]
    return SparseCounts.from_dense(block, np.arange(first_pixel, first_pixel + n_pixels))


@pytest.mark.parametrize("fraction", [0.5, 0.2, 0.9])
def test_the_halves_add_up_to_the_input(fraction):
    block = np.random.default_rng(1).poisson(0.3, (40, 50))
    block[3, 4] = 1000
    halves = thin(sparse(block), 7, fraction)
    for half in halves:
        half.validate()
        assert np.all(half.count > 0)
    assert np.array_equal(halves[0].to_dense() + halves[1].to_dense(), block)


@pytest.mark.parametrize("fraction", [0.5, 0.3])
@pytest.mark.parametrize("count", [1, 5, 63, 64, 65, 300, 20_000, 3_000_000])
def test_mean_and_variance_are_binomial(fraction, count):
    n = 40_000
    block = np.full((200, n // 200), count)
    kept = thin(sparse(block), 11, fraction)[0].to_dense().astype(float)
    variance = count * fraction * (1 - fraction)
    assert abs(kept.mean() - count * fraction) < 5 * np.sqrt(variance / n)
    # Fourth central moment of the binomial, for the spread of the sample variance.
    fourth = variance * (1 + 3 * (count - 2) * fraction * (1 - fraction))
    spread = np.mean((kept - count * fraction) ** 2)
    assert abs(spread - variance) <= 5 * np.sqrt((fourth - variance**2) / n) + 1e-12


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1] * np.sqrt(a.size)


@pytest.mark.parametrize("fraction", [0.5, 0.3])
def test_independent_between_pixels_channels_seeds_and_halves(fraction):
    rng = np.random.default_rng(5)
    block = rng.poisson(2.0, (300, 300))
    first, second = (h.to_dense().astype(float) for h in thin(sparse(block), 1, fraction))
    other = thin(sparse(block), 2, fraction)[0].to_dense().astype(float)
    chance = first - fraction * block
    assert abs(correlation(first, second)) < 5
    assert abs(correlation(chance, other - fraction * block)) < 5
    for lag in (1, 2, 64):
        assert abs(correlation(chance[lag:], chance[:-lag])) < 5
        assert abs(correlation(chance[:, lag:], chance[:, :-lag])) < 5
    assert abs(correlation(chance[1:, 1:], chance[:-1, :-1])) < 5


@pytest.mark.parametrize("fraction", [0.5, 0.3])
def test_tiles_and_order_change_nothing(fraction):
    block = np.random.default_rng(2).poisson(0.5, (60, 40))
    whole = thin(sparse(block), 3, fraction)[0].to_dense()
    order = np.random.default_rng(0).permutation(60)
    shuffled = thin(SparseCounts.from_dense(block[order], order), 3, fraction)[0].to_dense()
    assert np.array_equal(shuffled, whole[order])
    tiles = [thin(sparse(block[i : i + 17], i), 3, fraction)[0] for i in range(0, 60, 17)]
    assert np.array_equal(np.vstack([t.to_dense() for t in tiles]), whole)


def test_seeds_differ():
    block = np.random.default_rng(2).poisson(0.5, (10, 40))
    assert not np.array_equal(
        thin(sparse(block), 3)[0].to_dense(), thin(sparse(block), 4)[0].to_dense()
    )


def test_no_counts():
    first, second = thin(sparse(np.zeros((3, 4), dtype="u1")), 0)
    assert first.n_events == second.n_events == 0


@pytest.mark.parametrize(("seed", "fraction"), [(0, 0.0), (0, 1.0), (0, np.nan), (-1, 0.5)])
def test_arguments_out_of_range_are_refused(seed, fraction):
    with pytest.raises(InputError):
        thin(sparse(np.ones((1, 2), dtype="u1")), seed, fraction)
