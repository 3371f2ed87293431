# SPDX-License-Identifier: GPL-3.0-or-later
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.errors import InputError
from mlatem.factorization.regions import (
    ScoreSample,
    add_regions,
    place_centroids,
    plan_pooling,
    pool,
    tile_regions,
    tile_sample,
)
from mlatem.model import SparseCounts
from mlatem.parallel.tiling import plan_tiles
from mlatem.settings import Factorize


def load(dense, tile):
    rows, columns = tile.slices
    return SparseCounts.from_dense(dense[rows, columns], tile.pixel_index(dense.shape[1]))


def pool_in_tiles(dense, axes, plan, tile_shape, reverse=False):
    tiles = plan_tiles(dense.shape[:2], tile_shape)
    tiles = tiles[::-1] if reverse else tiles
    padded = [tile.padded(plan.halo_px, dense.shape[:2]) for tile in tiles]
    samples = [
        tile_sample(load(dense, outer), axes, plan, shape=outer.shape, core=tile.within(outer))
        for tile, outer in zip(tiles, padded, strict=True)
    ]
    centroids = place_centroids(reduce(add, samples), plan)
    parts = [
        tile_regions(
            load(dense, outer), axes, centroids, plan, shape=outer.shape, core=tile.within(outer)
        )
        for tile, outer in zip(tiles, padded, strict=True)
    ]
    return reduce(add_regions, parts)


@pytest.fixture(scope="module")
def faint(make_specimen, make_axes):
    example = make_specimen(3, 60)
    dense = example.counts
    counts = SparseCounts.from_dense(dense, np.arange(dense.shape[0] * dense.shape[1]))
    plan = plan_pooling(dense.sum(), counts.n_pixels, options=Factorize(n_thinnings=2, seed=7))
    return dense, make_axes(counts, example.dictionary, 5), plan


@pytest.mark.parametrize("tile_shape", [(16, 16), (13, 20), (32, 5)])
@pytest.mark.parametrize("reverse", [False, True])
def test_tiles_of_any_shape_in_any_order_give_the_same_sums(faint, tile_shape, reverse):
    dense, axes, plan = faint
    assert plan.halo_px > 0
    whole = pool_in_tiles(dense, axes, plan, dense.shape[:2])
    tiled = pool_in_tiles(dense, axes, plan, tile_shape, reverse)
    for one, other in zip(whole, tiled, strict=True):
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.n_pixels, other.n_pixels)


def test_every_photon_is_summed_once_in_each_thinning(faint):
    dense, axes, plan = faint
    for part in pool_in_tiles(dense, axes, plan, (16, 16)):
        assert part.counts.shape == (2 * plan.n_regions, dense.shape[2])
        assert np.array_equal(part.counts.sum(axis=0), dense.sum(axis=(0, 1)))
        assert part.n_pixels.sum() == 2 * dense.shape[0] * dense.shape[1]


def test_thinnings_differ(faint):
    dense, axes, plan = faint
    first, second = pool_in_tiles(dense, axes, plan, (32, 32))
    assert not np.array_equal(first.counts, second.counts)


def test_labels_know_nothing_of_the_summed_photons(make_specimen, make_axes):
    """One phase alone: the sums of all regions are Poisson counts of one spectrum."""
    example = make_specimen(1, 100)
    dense = example.counts
    counts = SparseCounts.from_dense(dense, np.arange(dense.shape[0] * dense.shape[1]))
    plan = plan_pooling(dense.sum(), counts.n_pixels, options=Factorize(n_thinnings=1))
    axes = make_axes(counts, example.dictionary, 4)
    (part,) = pool_in_tiles(dense, axes, plan, (32, 32))
    expected = np.outer(part.counts.sum(axis=1), part.counts.sum(axis=0)) / part.counts.sum()
    seen = expected > 5
    squared = ((part.counts - expected)[seen] ** 2 / expected[seen]).sum()
    assert abs(squared - seen.sum()) < 5 * np.sqrt(2 * seen.sum())


def test_pool_leaves_out_negative_labels():
    dense = np.arange(12).reshape(4, 3)
    part = pool(SparseCounts.from_dense(dense, np.arange(4)), np.array([0, -1, 1, 0], np.int32), 2)
    assert np.array_equal(part.counts, [dense[0] + dense[3], dense[2]])
    assert part.n_pixels.tolist() == [2, 1]


def test_plan_follows_the_counts():
    options = Factorize(counts_per_region=1000, max_regions=32)
    few = plan_pooling(2 * 64**2, 64**2, options=options)
    some = plan_pooling(10 * 64**2, 64**2, options=options)
    many = plan_pooling(5000 * 64**2, 64**2, options=options)
    assert (few.n_regions, some.n_regions, many.n_regions) == (8, 20, 32)
    assert few.smoothing_px > some.smoothing_px > many.smoothing_px == 0.0
    assert plan_pooling(1e4, 64**2, n_phases=12, options=options).n_regions == 24
    assert plan_pooling(1e6, 64**2, n_phases=40, options=options).n_regions == 80
    assert plan_pooling(1e6, 3, options=options).n_regions == 3


def test_large_maps_are_sampled_evenly():
    plan = plan_pooling(1e8, 1_000_000)
    pixel = np.arange(200_000)
    empty = SparseCounts(
        np.zeros(len(pixel) + 1, np.int64),
        np.zeros(0, np.uint16),
        np.zeros(0, np.uint8),
        4,
        pixel,
    )
    kept = tile_sample(empty, np.ones((2, 4)), plan, shape=(400, 500)).pixel
    expected = plan.sample_share * len(pixel)
    assert abs(kept.size - expected) < 5 * np.sqrt(expected)


@given(st.permutations(range(5)))
def test_samples_merge_in_any_order(order):
    rng = np.random.default_rng(0)
    parts = [
        ScoreSample(np.arange(3 * i, 3 * i + 3), rng.random((2, 3, 4)), rng.random((2, 3)))
        for i in range(5)
    ]
    expected, found = reduce(add, parts), reduce(add, [parts[i] for i in order])
    for name in ("pixel", "features", "weight"):
        assert np.array_equal(getattr(expected, name), getattr(found, name))


def test_a_map_without_counts_is_refused():
    with pytest.raises(InputError, match="0 counts in 64 pixels"):
        plan_pooling(0, 64)


def test_a_map_with_too_few_counts_to_split_is_refused():
    counts = SparseCounts.from_dense(np.array([[1, 0], [0, 0]]), [0, 1])
    plan = plan_pooling(1, 2)
    sample = tile_sample(counts, np.ones((1, 2)), plan, shape=(1, 2))
    with pytest.raises(InputError, match="too few counts"):
        place_centroids(sample, plan)
