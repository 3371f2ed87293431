# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge laws of what is summed over tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.errors import InputError
from mlatem.model import RegionStatistics, TileStatistics

N_ENERGY = 4
counts = st.lists(st.integers(0, 1000), min_size=N_ENERGY, max_size=N_ENERGY)
pixels = st.lists(counts, min_size=0, max_size=6)


def tile(spectra: list[list[int]]) -> TileStatistics:
    """Reference: the definition, pixel by pixel."""
    statistics = TileStatistics.zero(N_ENERGY)
    for spectrum in spectra:
        y = np.array(spectrum, dtype=float)
        if y.sum() > 0:
            statistics += TileStatistics(1, y, y / y.sum(), np.outer(y, y) / y.sum())
    return statistics


def regions(spectra: list[list[int]]) -> RegionStatistics:
    statistics = RegionStatistics.zero(2, N_ENERGY)
    for number, spectrum in enumerate(spectra):
        one = np.eye(2, dtype=np.int64)[number % 2]
        statistics += RegionStatistics(np.outer(one, spectrum).astype(float), one)
    return statistics


def assert_same_tile(a: TileStatistics, b: TileStatistics) -> None:
    assert a.n_pixels == b.n_pixels
    np.testing.assert_array_equal(a.total, b.total)
    np.testing.assert_allclose(a.weighted_total, b.weighted_total, rtol=1e-12, atol=0)
    np.testing.assert_allclose(a.moment, b.moment, rtol=1e-12, atol=0)


def assert_same_regions(a: RegionStatistics, b: RegionStatistics) -> None:
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.n_pixels, b.n_pixels)


@given(a=pixels, b=pixels, c=pixels)
def test_tiles_merge_in_any_grouping(a: list, b: list, c: list):
    left = (tile(a) + tile(b)) + tile(c)
    right = tile(a) + (tile(b) + tile(c))
    assert_same_tile(left, right)
    assert_same_tile(left, tile(a + b + c))
    left.validate()


@given(a=pixels, b=pixels)
def test_tiles_merge_in_any_order(a: list, b: list):
    assert_same_tile(tile(a) + tile(b), tile(b) + tile(a))


@given(a=pixels, b=pixels)
def test_tiles_merge_in_place(a: list, b: list):
    total = tile(a)
    total += tile(b)
    assert_same_tile(total, tile(a + b))


@given(a=pixels)
def test_no_tile_changes_nothing(a: list):
    assert_same_tile(TileStatistics.zero(N_ENERGY) + tile(a), tile(a))
    assert_same_tile(sum([tile(a)], TileStatistics.zero(N_ENERGY)), tile(a))


@given(a=pixels, b=pixels, c=pixels)
def test_regions_merge_exactly(a: list, b: list, c: list):
    left = (regions(a) + regions(b)) + regions(c)
    assert_same_regions(left, regions(a) + (regions(b) + regions(c)))
    assert_same_regions(left, regions(c) + regions(a) + regions(b))
    assert_same_regions(left, RegionStatistics.zero(2, N_ENERGY) + left)
    left.validate()


def test_merging_leaves_the_parts_alone():
    part = tile([[1, 2, 3, 4]])
    _ = part + part
    np.testing.assert_array_equal(part.total, [1, 2, 3, 4])


def test_moments_of_poisson_counts_have_the_noise_on_their_diagonal():
    # For a flat expected spectrum mu: E[sum y y^T / g] = n ((g - 1) mu mu^T + diag(mu)), mu adding
    # up to 1; taking off the diagonal `weighted_total` leaves the signal (5 sigma).
    rng = np.random.default_rng(3)
    dose, n_pixels = 50, 4000
    spectra = rng.multinomial(dose, np.full(N_ENERGY, 1 / N_ENERGY), size=n_pixels)
    y = spectra.astype(float)
    statistics = TileStatistics(n_pixels, y.sum(0), y.sum(0) / dose, y.T @ y / dose)
    signal = (statistics.moment - np.diag(statistics.weighted_total)) / n_pixels
    expected = (dose - 1) / N_ENERGY**2
    sigma = np.sqrt(2 * dose / N_ENERGY**3 / n_pixels)
    np.testing.assert_allclose(signal, expected, atol=5 * sigma)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (replace(tile([[1, 2, 3, 4]]), moment=np.zeros((3, 3))), "number of channels"),
        (replace(tile([[1, 2, 3, 4]]), total=-np.ones(N_ENERGY)), "negative counts"),
        (replace(tile([[1, 2, 3, 4]]), moment=np.full((4, 4), np.nan)), "not finite"),
        (replace(regions([[1, 2, 3, 4]]), n_pixels=np.zeros(3, dtype=int)), "number of regions"),
        (replace(regions([[1, 2, 3, 4]]), counts=-np.ones((2, 4))), "negative counts"),
    ],
)
def test_broken_statistics(broken: TileStatistics | RegionStatistics, message: str):
    with pytest.raises(InputError, match=message):
        broken.validate()


def test_tiles_of_different_channels_do_not_merge():
    with pytest.raises(InputError, match="4 and 5 channels cannot be merged"):
        TileStatistics.zero(4) + TileStatistics.zero(5)


def test_regions_of_different_number_do_not_merge():
    with pytest.raises(InputError, match="cannot be merged"):
        RegionStatistics.zero(2, 4) + RegionStatistics.zero(3, 4)
