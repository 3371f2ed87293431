# SPDX-License-Identifier: GPL-3.0-or-later
import json
from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.factorization.abundances import dominant, fit_abundances, fit_other
from mlatem.factorization.merge import merge
from mlatem.factorization.solver import solve_compositions
from mlatem.model import Factorization, SparseCounts
from mlatem.parallel.tiling import plan_tiles


@pytest.fixture(scope="module")
def solved(four_phases):
    example, regions = four_phases
    return example, solve_compositions(regions, example.dictionary, 4)


def parts_of(example, solution, tile_shape):
    dense = example.counts
    parts = []
    for tile in plan_tiles(dense.shape[:2], tile_shape):
        rows, columns = tile.slices
        counts = SparseCounts.from_dense(dense[rows, columns], tile.pixel_index(dense.shape[1]))
        pixels = fit_abundances(counts, solution.coefficient @ example.dictionary.columns)
        parts.append((counts.pixel, pixels, dominant(counts, pixels.abundance)))
    return parts


def merged(example, solution, parts):
    axis = np.arange(example.counts.shape[0], dtype=float)
    return merge(parts, solution, example.dictionary, y_nm=axis, x_nm=axis, attrs={"seed": 3})


def test_tiles_of_any_shape_in_any_order_give_the_same_result(solved):
    example, solution = solved
    whole = merged(example, solution, parts_of(example, solution, (32, 32)))
    tiled = merged(example, solution, parts_of(example, solution, (11, 17))[::-1])
    maps = ("abundance", "abundance_covariance", "deviance", "dominant_counts", "abundance_smooth")
    for name in maps:
        assert np.array_equal(getattr(whole, name), getattr(tiled, name), equal_nan=True)
    assert np.allclose(whole.dominant_abundance, tiled.dominant_abundance, rtol=1e-12)


def test_the_result_is_a_factorization_that_can_be_saved(solved):
    example, solution = solved
    result = merged(example, solution, parts_of(example, solution, (16, 16)))
    again = Factorization.from_dataset(result.to_dataset())
    assert np.array_equal(again.abundance, result.abundance)
    assert np.array_equal(again.abundance_smooth, result.abundance_smooth)
    attrs = json.loads(json.dumps(dict(result.attrs)))
    assert attrs["seed"] == 3 and attrs["converged"] is True
    assert attrs["n_carried"] == 4 and len(attrs["spread_deg"]) == 4
    error = (
        result.abundance
        - example.abundance[..., np.argsort(example.errors(solution.coefficient)[2])]
    )
    assert np.sqrt(np.mean(error**2)) < 0.1 * example.abundance.sum(axis=2).mean()


def test_the_other_answer_comes_with_all_tiles_or_not_at_all(solved):
    example, solution = solved
    spectrum = solution.coefficient @ example.dictionary.columns
    turned = spectrum + 0.3 * spectrum.mean(axis=0)
    turned /= turned.sum(axis=1, keepdims=True)
    parts = parts_of(example, solution, (16, 16))
    counts = [
        SparseCounts.from_dense(
            example.counts[tile.slices], tile.pixel_index(example.counts.shape[1])
        )
        for tile in plan_tiles(example.counts.shape[:2], (16, 16))
    ]
    with_other = [
        (pixel, replace(pixels, other=fit_other(own, turned)), sums)
        for (pixel, pixels, sums), own in zip(parts, counts, strict=True)
    ]
    both = merged(example, solution, with_other)
    alone = merged(example, solution, parts)
    assert np.array_equal(both.abundance, alone.abundance)
    assert alone.alternative_abundance is None and alone.alternative_deviance is None
    fitted = fit_abundances(
        SparseCounts.from_dense(example.counts, np.arange(both.deviance.size)), turned
    )
    found = both.alternative_abundance.reshape(fitted.abundance.shape)
    assert np.allclose(found, fitted.abundance, atol=1e-3)
    assert np.allclose(both.alternative_deviance.ravel(), fitted.deviance, rtol=1e-4, atol=1e-3)
    again = Factorization.from_dataset(both.to_dataset())
    assert np.array_equal(again.alternative_abundance, both.alternative_abundance)
    assert merged(example, solution, [*with_other[1:], parts[0]]).alternative_abundance is None


def test_missing_and_repeated_tiles_are_refused(solved):
    example, solution = solved
    parts = parts_of(example, solution, (16, 16))
    with pytest.raises(InputError, match="leave out 256 pixels"):
        merged(example, solution, parts[1:])
    with pytest.raises(InputError, match="256 more than once"):
        merged(example, solution, [*parts, parts[0]])
    pixel, *rest = parts[0]
    with pytest.raises(InputError, match="the map has 1024 pixels"):
        merged(example, solution, [(pixel + 1000, *rest), *parts[1:]])
