# SPDX-License-Identifier: GPL-3.0-or-later
"""A phase of some ten pixels in one corner of the map."""

from dataclasses import fields
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem import settings
from mlatem.denoising.rank import low_rank
from mlatem.factorization.outliers import (
    OutlierSearch,
    OutlierSums,
    plan_search,
    standing_out,
    with_outliers,
)
from mlatem.factorization.regions import plan_pooling
from mlatem.model import SparseCounts
from mlatem.passes import TileSource, centroids_pass, regions_pass, statistics_pass

CORNER = (slice(3, 8), slice(5, 10))


def pooled(dense, dictionary, basis, tile_shape=(64, 64), reverse=False, threads=1):
    """Regions without outliers, outliers, and regions with them."""
    source = TileSource.for_dictionary(dense, dictionary, tile_shape=tile_shape, threads=threads)
    options = settings.Factorize(n_thinnings=2)
    plan = plan_pooling(float(dense.sum()), basis.n_pixels, options=options)
    search = plan_search(basis.axes, basis.weights, dictionary, plan, source.shape)
    axes = basis.axes * basis.weights
    tiles = source.tiles[::-1] if reverse else source.tiles
    centroids = centroids_pass(source, axes, plan)
    shared, outliers = regions_pass(source, axes, centroids, plan, search, tiles)
    return shared, outliers, with_outliers(shared, outliers, search)


@pytest.fixture(scope="module")
def specimens(make_specimen):
    """Two phases with an alloy in one corner, on the axes of the map without it.

    So does a phase look that is too rare in a large map to move its axes.
    """
    example = make_specimen(2, 60, size=64)
    alloy = make_specimen(5, 60).spectrum[4]
    expected = example.abundance @ example.spectrum
    rng = np.random.default_rng(3)
    null = TileSource.for_dictionary(example.counts, example.dictionary)
    basis = low_rank(statistics_pass(null), example.dictionary)
    expected[CORNER] = 60 * alloy
    return rng.poisson(expected).astype(np.uint16), example.dictionary, basis, alloy


def test_a_phase_in_one_corner_gets_a_region_of_its_own(specimens):
    dense, dictionary, basis, alloy = specimens
    shared, _, regions = pooled(dense, dictionary, basis)
    for before, after in zip(shared, regions, strict=True):
        own = after.counts[len(before.counts) : -1]
        assert len(own) == 2  # one by each half
        pixels = after.n_pixels[len(before.counts) : -1]
        assert np.all((pixels >= 9) & (pixels <= 121))  # and some under the same Gaussian
        shares = own / own.sum(axis=1, keepdims=True)
        iron = dictionary.columns[dictionary.names.index("Fe")] > 0.1 * dictionary.columns.max()
        assert np.all(shares[:, iron].sum(axis=1) > 0.3 * alloy[iron].sum())


def test_every_photon_is_in_one_region(specimens):
    dense, dictionary, basis, _ = specimens
    for part in pooled(dense, dictionary, basis)[2]:
        assert np.array_equal(part.counts.sum(axis=0), dense.sum(axis=(0, 1)))
        assert part.n_pixels.sum() == 2 * dense.shape[0] * dense.shape[1]


@pytest.mark.parametrize("seed", range(3))
def test_noise_gets_none(make_specimen, seed):
    """Scores of few photons are not normal, some stand out; but no region is confirmed."""
    example = make_specimen(3, (15, 60, 300)[seed], seed=seed, size=48)
    source = TileSource.for_dictionary(example.counts, example.dictionary)
    basis = low_rank(statistics_pass(source), example.dictionary)
    plan = plan_pooling(float(example.counts.sum()), basis.n_pixels)
    search = plan_search(basis.axes, basis.weights, example.dictionary, plan, source.shape)
    axes = basis.axes * basis.weights
    centroids = centroids_pass(source, axes, plan)
    shared, outliers = regions_pass(source, axes, centroids, plan, search, source.tiles)
    assert outliers.n_pixels.sum() < 1e-2 * basis.n_pixels * search.n_halves
    for before, after in zip(shared, with_outliers(shared, outliers, search), strict=True):
        assert len(after.counts) == len(before.counts) + 1


@pytest.mark.parametrize(
    "options",
    [
        {"tile_shape": (16, 16)},
        {"tile_shape": (16, 16), "reverse": True, "threads": 3},
        {"tile_shape": (13, 29)},
        {"tile_shape": (64, 3), "reverse": True},
    ],
)
def test_tiles_change_nothing(specimens, options):
    dense, dictionary, basis, _ = specimens
    _, sums, regions = pooled(dense, dictionary, basis)
    _, other_sums, others = pooled(dense, dictionary, basis, **options)
    assert np.array_equal(sums.key, other_sums.key)
    assert np.allclose(sums.scores, other_sums.scores, rtol=0, atol=1e-4)
    for one, other in zip(regions, others, strict=True):
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.n_pixels, other.n_pixels)


def test_a_dictionary_that_the_axes_exhaust_has_no_outliers(specimens):
    dense, dictionary, _, _ = specimens
    search = OutlierSearch(np.zeros((0, dictionary.energy.size)), 1.0, 32, 64, 2)
    counts = SparseCounts.from_dense(dense, np.arange(64 * 64))
    found, scores = standing_out(counts, search, (64, 64))
    assert not found.any()
    assert scores.shape == (64 * 64, 0)


@given(st.permutations(range(5)))
def test_sums_merge_in_any_order(order):
    rng = np.random.default_rng(0)
    keys = [np.unique(rng.integers(0, 6, 3)) for _ in range(5)]
    parts = [
        OutlierSums(
            key,
            rng.integers(0, 9, (len(key), 4)).astype(float),
            rng.integers(1, 9, len(key)),
            rng.integers(-9, 9, (len(key), 2)).astype(float),
        )
        for key in keys
    ]
    zero = OutlierSums.zero(4, 2)
    expected = reduce(add, parts)
    found = reduce(add, [parts[i] for i in order], zero) + zero
    for field in fields(OutlierSums):
        assert np.array_equal(getattr(expected, field.name), getattr(found, field.name))
