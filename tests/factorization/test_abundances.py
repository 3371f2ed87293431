# SPDX-License-Identifier: GPL-3.0-or-later
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.errors import InputError
from mlatem.factorization.abundances import DominantSums, dominant, fit_abundances, fit_other
from mlatem.model import SparseCounts


def map_of(example):
    dense = example.counts
    return SparseCounts.from_dense(dense, np.arange(dense.shape[0] * dense.shape[1]))


def test_abundances_scatter_around_the_truth_as_stated(four_phases):
    example, _ = four_phases
    found = fit_abundances(map_of(example), example.spectrum)
    truth = example.abundance.reshape(-1, 4)
    sigma = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    assert found.converged.all()
    assert found.abundance.dtype == found.covariance.dtype == found.deviance.dtype == np.float32
    pull = (found.abundance - truth) / sigma
    present = truth > 40
    assert 0.6 < np.mean(np.abs(pull[present]) < 1) < 0.76
    assert np.mean(np.abs(pull[~present]) < 2) > 0.94


def test_deviance_is_that_of_the_model(four_phases):
    example, _ = four_phases
    found = fit_abundances(map_of(example), example.spectrum)
    counts = example.counts.reshape(-1, example.counts.shape[2]).astype(float)
    model = found.abundance.astype(float) @ example.spectrum
    entropy = counts * np.log(np.where(counts > 0, counts, 1) / model)
    expected = 2 * (entropy - counts + model).sum(axis=1)
    assert np.allclose(found.deviance, expected, rtol=1e-3)


def test_empty_pixels(four_phases):
    example, _ = four_phases
    dense = np.zeros((3, example.dictionary.energy.size), dtype=np.uint8)
    dense[1, 100] = 2
    found = fit_abundances(SparseCounts.from_dense(dense, np.arange(3)), example.spectrum)
    assert np.array_equal(found.abundance[[0, 2]], np.zeros((2, 4)))
    assert np.isnan(found.covariance[[0, 2]]).all()
    assert found.abundance[1].sum() == pytest.approx(2, rel=1e-3)
    assert np.array_equal(found.deviance[[0, 2]], [0, 0])


def test_the_other_answer_is_fitted_likewise_where_phases_may_be(four_phases):
    example, _ = four_phases
    counts = map_of(example)
    found = fit_abundances(counts, example.spectrum)
    other = fit_other(counts, example.spectrum)
    assert np.allclose(other.abundance, found.abundance, atol=1e-3)
    assert np.allclose(other.deviance, found.deviance, rtol=1e-4)
    allowed = np.ones((counts.n_pixels, 4), dtype=bool)
    allowed[::2, 0] = False
    held = fit_other(counts, example.spectrum, allowed)
    assert np.all(held.abundance[::2, 0] == 0) and held.abundance[1::2, 0].any()
    with pytest.raises(InputError, match="phase spectra must be finite"):
        fit_other(counts, -example.spectrum)


def test_equal_spectra_have_no_covariance(four_phases):
    example, _ = four_phases
    twins = example.spectrum[[0, 0]]
    found = fit_abundances(map_of(example), twins)
    assert np.isnan(found.covariance).all()
    assert np.isfinite(found.abundance).all()


def test_dominant_sums(four_phases):
    example, _ = four_phases
    counts = map_of(example)
    abundance = fit_abundances(counts, example.spectrum).abundance
    sums = dominant(counts, abundance)
    label = abundance.argmax(axis=1)
    dense = example.counts.reshape(len(label), -1)
    for phase in range(4):
        assert np.array_equal(sums.counts[phase], dense[label == phase].sum(axis=0))
        assert np.allclose(sums.abundance[phase], abundance[label == phase].sum(0), rtol=1e-4)


def test_empty_pixels_are_dominated_by_no_phase():
    counts = SparseCounts.from_dense([[0, 0], [3, 1]], [0, 1])
    sums = dominant(counts, np.array([[0, 0], [1, 3]], dtype=np.float32))
    assert np.array_equal(sums.counts, [[0, 0], [3, 1]])
    assert np.array_equal(sums.abundance, [[0, 0], [1, 3]])


@given(st.permutations(range(4)), st.integers(0, 1000))
def test_dominant_sums_merge_like_numbers(order, seed):
    rng = np.random.default_rng(seed)
    parts = [
        DominantSums(rng.integers(0, 99, (2, 5)) * 1.0, rng.integers(0, 99, (2, 2)) * 1.0)
        for _ in range(4)
    ]
    zero = DominantSums.zero(2, 5)
    one = reduce(add, parts)
    other = zero + parts[order[0]] + (parts[order[1]] + (parts[order[2]] + parts[order[3]]))
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.abundance, other.abundance)


def test_sums_of_other_phases_are_refused():
    with pytest.raises(InputError, match="cannot be merged"):
        DominantSums.zero(2, 5) + DominantSums.zero(3, 5)


@pytest.mark.parametrize(
    ("spectrum", "message"),
    [
        (np.ones((2, 4)), "expected \\(n_phases, 3\\)"),
        (np.array([[1, np.nan, 0]]), "finite"),
        (np.array([[1, -1.0, 1]]), "not negative"),
        (np.zeros((1, 3)), "zero"),
    ],
)
def test_spectra_that_cannot_be_fitted_are_named(spectrum, message):
    counts = SparseCounts.from_dense([[1, 0, 2]], [0])
    with pytest.raises(InputError, match=message):
        fit_abundances(counts, spectrum)
