# SPDX-License-Identifier: GPL-3.0-or-later
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlatem
from mlatem.errors import InputError
from mlatem.factorization.refinement import refine
from mlatem.model import Factorization, RefinementStatistics
from mlatem.passes import TileSource, refinement_pass
from mlatem.settings import Factorize


@pytest.fixture(scope="module")
def case(make_specimen):
    """Three phases at 300 counts a pixel, and weights that are not far from the truth."""
    example = make_specimen(3, 300, size=24)
    scale = example.dictionary.columns.sum(axis=1)
    columns = example.dictionary.columns / scale[:, None]
    weight = np.linalg.lstsq(columns.T, example.spectrum.T, rcond=None)[0].T.clip(0)
    weight = 0.95 * weight + 0.05 * weight.mean(axis=0)
    return example, columns, weight / weight.sum(axis=1, keepdims=True)


def statistics_of(counts, columns, weight, tile_shape):
    source = TileSource(counts, slice(0, counts.shape[2]), tile_shape=tile_shape)
    return refinement_pass(source, columns, weight)


@pytest.mark.parametrize("tile_shape", [(6, 6), (7, 11), (1, 24)])
def test_tiles_add_up_to_the_map(case, tile_shape):
    example, columns, weight = case
    whole = statistics_of(example.counts, columns, weight, (24, 24))
    tiled = statistics_of(example.counts, columns, weight, tile_shape)
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-12)
    for name in ("gradient", "hessian"):
        expected = getattr(whole, name)
        assert np.abs(getattr(tiled, name) - expected).max() < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("tile_shape", [(24, 24), (7, 11)])
def test_rounds_fall_to_where_the_gradient_is_zero(case, tile_shape):
    example, columns, weight = case
    result = refine(
        lambda trial: statistics_of(example.counts, columns, trial, tile_shape), weight, columns
    )
    assert result.converged, result.reason
    assert result.n_rounds <= 15
    assert np.all(np.diff(result.loss) <= 0)
    assert result.weight.sum(axis=1) == pytest.approx(1.0)
    end = statistics_of(example.counts, columns, result.weight, tile_shape)
    # What the weights that are present could still gain, beside what was gained.
    scale = np.abs(result.weight * end.gradient).sum()
    assert scale < 0.05 * (result.loss[0] - result.loss[-1])


def test_too_few_rounds_are_told(case):
    example, columns, weight = case
    result = refine(
        lambda trial: statistics_of(example.counts, columns, trial, (24, 24)),
        weight,
        columns,
        max_rounds=2,
    )
    assert not result.converged
    assert "2 rounds" in result.reason


def test_the_function_of_arrays_keeps_the_record(case):
    example, _, _ = case
    options = Factorize(n_thinnings=1)
    start = mlatem.factorize(example.counts, example.dictionary, 3, settings=options)
    result = mlatem.refine(example.counts, start, tile_shape=(10, 24))
    attrs = Factorization.from_dataset(result).attrs
    assert attrs["converged"] == (not attrs["reason"])
    assert attrs["n_rounds"] <= 15
    assert np.all(np.diff(result["loss"]) <= 0)
    assert result["abundance"].shape == start["abundance"].shape


numbers = st.integers(-(2**20), 2**20)


@st.composite
def statistics(draw):
    """Sums of whole numbers, which add without rounding."""
    values = draw(st.lists(numbers, min_size=8, max_size=8))
    gradient = np.array(values[:2], float).reshape(1, 2)
    hessian = np.array(values[2:6], float).reshape(2, 2)
    return RefinementStatistics(float(values[6]), gradient, hessian, abs(values[7]))


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in vars(first))


@settings(max_examples=50)
@given(parts=st.lists(statistics(), min_size=3, max_size=6), order=st.randoms())
def test_merges_are_sums_in_any_order(parts, order):
    zero = RefinementStatistics.zero(1, 2)
    whole = reduce(add, parts)
    shuffled = list(parts)
    order.shuffle(shuffled)
    assert same(reduce(add, shuffled), whole)
    assert same(parts[0] + (parts[1] + parts[2]), (parts[0] + parts[1]) + parts[2])
    assert same(whole + zero, whole)
    assert same(zero + whole, whole)


def test_sums_of_other_sizes_do_not_merge():
    with pytest.raises(InputError, match="cannot be merged"):
        RefinementStatistics.zero(1, 2) + RefinementStatistics.zero(2, 2)
