# SPDX-License-Identifier: GPL-3.0-or-later
"""Leeway of the weights: the matrices against plain formulae, coverage against the truth."""

import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization.constraints import Constraints, Statements
from mlatem.factorization.covariance import weight_covariance
from mlatem.factorization.intervals import (
    composition_leeway,
    in_coefficients,
    reduced_likelihood,
)
from mlatem.factorization.pooled import PooledData
from mlatem.factorization.scoring import Penalty, fit
from mlatem.factorization.solver import solve_compositions

COLUMNS = np.array(
    [[0.5, 0.3, 0.1, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4, 0.0], [0.1, 0.1, 0.1, 0.1, 0.6]]
)
WEIGHT = np.array([[0.6, 0.35, 0.05], [0.0, 0.3, 0.7]])
ABUNDANCE = np.array([[6e4, 0.0], [0.0, 5e4], [3e4, 3e4], [5e4, 1e4]])


def exact(weight=WEIGHT):
    counts = ABUNDANCE @ weight @ COLUMNS
    return PooledData(counts, np.ones(len(counts), dtype=np.int64), COLUMNS)


def leeway_at(weight, **options):
    return composition_leeway([exact()], [ABUNDANCE], weight[None], **options)


def test_covariance_is_that_of_the_weights_that_are_not_zero():
    expected = weight_covariance(exact(), ABUNDANCE, WEIGHT)
    found = leeway_at(WEIGHT).covariance[0]
    assert found[0] == pytest.approx(expected[0], rel=1e-8)
    assert found[1, 1:, 1:] == pytest.approx(expected[1, 1:, 1:], rel=1e-8)
    assert np.all(found[1, 0] == 0)


def test_shift_leads_from_a_pulled_answer_to_the_likeliest():
    pulled = np.array([[0.601, 0.352, 0.047], [0.0, 0.302, 0.698]])
    shift = leeway_at(pulled).shift[0]
    assert shift == pytest.approx(WEIGHT - pulled, abs=2e-4)
    assert shift.sum(axis=1) == pytest.approx([0, 0], abs=1e-12)


def test_the_interval_of_a_weight_that_counts_as_zero_reaches_zero():
    tiny = 0.1 * reduced_likelihood(exact(), ABUNDANCE, WEIGHT)[2][1, 0]
    weight = np.array([WEIGHT[0], [tiny, 0.3, 0.7 - tiny]])
    leeway = leeway_at(weight)
    assert leeway.shift[0, 1, 0] == pytest.approx(-tiny)
    assert leeway.shift[0].sum(axis=1) == pytest.approx([0, 0], abs=1e-12)
    assert leeway.fraction_bounds(1, weight[1], np.eye(3))[0][0] == 0


def test_a_lost_weight_is_found_when_it_is_freed():
    """The third weight of the first phase is set to zero, and all others are fitted to that."""
    abundance = ABUNDANCE / 50
    data = PooledData(abundance @ WEIGHT @ COLUMNS, np.ones(4, dtype=np.int64), COLUMNS)
    held = Penalty(np.where(abundance == 0, 1e6, 0.0), np.zeros((2, 3)))
    held.weight[0, 2] = held.weight[1, 0] = 1e9
    start = np.array([[0.6, 0.4, 0.0], [0.0, 0.3, 0.7]])
    without = fit(data, abundance, start, penalty=held)
    assert without.weight[0, 2] < 1e-4
    weight = np.where(start > 0, without.weight, 0.0)
    leeway = composition_leeway([data], [without.abundance], weight[None])
    freed = leeway.direction[0, :, 0, 2] == 1
    assert np.count_nonzero(freed) == 1
    assert leeway.best[0, freed][0] == pytest.approx(0.05, rel=0.1)
    found = weight + leeway.shift[0] + leeway.best[0, freed][0] * leeway.direction[0, freed][0]
    assert found == pytest.approx(WEIGHT, abs=6e-3)
    low, high = leeway.fraction_bounds(0, weight[0], np.eye(3))
    # What is freed is added to the whole: an amount of 0.05 is a share of 0.05 / 1.05.
    assert np.all((low <= WEIGHT[0]) & (WEIGHT[0] <= 1.1 * high))


def known(free):
    """Constraints that leave only some weights free."""
    n_phases, n_columns = free.shape
    return Constraints(
        allowed=free,
        told=~free,
        fixed=np.zeros(n_phases, dtype=bool),
        weight=np.zeros(free.shape),
        present=np.ones((1, n_phases), dtype=bool),
        statements=Statements.none(n_columns),
    )


def test_weights_that_are_known_do_not_move():
    free = np.array([[True, True, False], [True, True, True]])
    leeway = leeway_at(WEIGHT, constraints=known(free))
    assert np.all(leeway.covariance[0, 0, 2] == 0)
    assert np.all(leeway.shift[:, 0, 2] == 0)
    assert np.all(leeway.direction[:, :, 0, 2] == 0)


def test_thinnings_with_fewer_zeros_are_filled_with_rows_that_do_nothing():
    weights = np.stack([WEIGHT, np.array([[0.6, 0.4, 0.0], [0.0, 0.3, 0.7]])])
    leeway = composition_leeway([exact()] * 2, [ABUNDANCE] * 2, weights)
    assert leeway.direction.shape == (2, 2, 2, 3)
    assert np.all(leeway.direction[0, 1] == 0)
    assert leeway.variance[0, 1] == 1


def test_gradient_and_errors_are_those_of_the_pooled_spectra():
    reduced, slope, errors = reduced_likelihood(exact(), ABUNDANCE, WEIGHT)
    assert np.all(np.linalg.eigvalsh(reduced) > 0)
    assert np.abs(slope).max() < 1e-6 * np.diag(reduced).max()
    share = ABUNDANCE[:, 0] ** 2 @ (COLUMNS[0] ** 2 / exact().counts).sum(axis=1)
    assert errors[0, 0] == pytest.approx(1 / np.sqrt(share), rel=1e-6)


def test_in_coefficients_bounds_are_the_same():
    leeway, scale = leeway_at(WEIGHT), np.array([[2.0, 5.0, 1.0], [2.0, 5.0, 1.0]])
    scaled = in_coefficients(leeway, scale)
    first = leeway.fraction_bounds(0, WEIGHT[0], np.eye(3))
    second = scaled.fraction_bounds(0, WEIGHT[0] / scale[0], np.diag(scale[0]))
    assert np.allclose(first, second)


def test_intervals_hold_the_truth(make_specimen, make_regions):
    """Ten maps of three phases: 90 elements that are there, 150 that are not."""
    inside, inside_68, seen, sigmas = [], [], [], []
    for seed in range(10):
        example = make_specimen(3, 100, seed=seed)
        solution = solve_compositions(
            make_regions(example), example.dictionary, 3, options=settings.Factorize()
        )
        _, _, order = example.errors(solution.coefficient)
        matrix = np.eye(example.dictionary.n_columns)[example.dictionary.quantified]
        for truth, phase in zip(example.atomic, order, strict=True):
            coefficient = solution.coefficient[phase]
            low, high = solution.leeway.fraction_bounds(phase, coefficient, matrix)
            near = solution.leeway.fraction_bounds(phase, coefficient, matrix, z=1.0)
            inside += list(((low <= truth) & (truth <= high))[truth > 0])
            inside_68 += list(((near[0] <= truth) & (truth <= near[1]))[truth > 0])
            seen += list(low[truth == 0] > 0)
        columns = np.broadcast_to(
            example.dictionary.columns, (3, *example.dictionary.columns.shape)
        )
        sigma = solution.leeway.spectrum_sigma(columns)[order]
        error = solution.coefficient[order] @ example.dictionary.columns - example.spectrum
        sigmas.append(np.mean(np.abs(error) < 1.96 * sigma))
    assert 0.89 < np.mean(inside) <= 1.0
    assert 0.60 < np.mean(inside_68) < 0.90
    assert np.mean(seen) < 0.1  # two stripes with a blurred particle: some regions are mixtures
    assert 0.90 < np.mean(sigmas) <= 1.0
