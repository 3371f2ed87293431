# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from mlatem.quantification.composition import element_matrix
from mlatem.quantification.detection import detection_limits, null_sigma


def unit(coefficient, dictionary) -> np.ndarray:
    coefficient = np.asarray(coefficient, dtype=float)
    return coefficient / (coefficient @ dictionary.columns).sum()


def limits(coefficient, dictionary, n_counts: float, covariance=None) -> np.ndarray:
    _, matrix = element_matrix(dictionary)
    none = np.zeros((dictionary.n_columns,) * 2)
    return detection_limits(
        unit(coefficient, dictionary),
        none if covariance is None else covariance,
        matrix,
        dictionary,
        n_counts=n_counts,
    )


def test_sigma_of_absence_is_the_scatter_of_the_net_amount(dictionary):
    coefficient = unit([2, 3, 0, 1, 80, 120], dictionary)
    n_counts, n = 1e5, 20_000
    _, matrix = element_matrix(dictionary)
    stated = null_sigma(coefficient, matrix, dictionary, n_counts=n_counts)[2]
    expected = n_counts * coefficient @ dictionary.columns
    counts = np.random.default_rng(8).poisson(expected, size=(n, expected.size))
    weighted = dictionary.columns / expected
    fitted = np.linalg.solve(weighted @ dictionary.columns.T, weighted @ counts.T)[2] / n_counts
    assert abs(fitted.mean()) < 5 * stated / np.sqrt(n)
    assert abs(fitted.std() / stated - 1) < 5 / np.sqrt(2 * n)


def test_content_at_the_limit_is_found_with_95_percent_probability(dictionary):
    # Decision at 1.645 sigma of absence, as in Currie (1968), figure 1.
    coefficient = unit([2, 3, 0, 1, 80, 120], dictionary)
    n_counts, n = 1e6, 20_000
    limit = limits(coefficient, dictionary, n_counts)[2]
    _, matrix = element_matrix(dictionary)
    threshold = 1.645 * null_sigma(coefficient, matrix, dictionary, n_counts=n_counts)[2]
    present = coefficient.copy()
    present[2] = limit / (1 - limit) * coefficient[:3].sum()
    expected = n_counts * present @ dictionary.columns
    counts = np.random.default_rng(9).poisson(expected, size=(n, expected.size))
    weighted = dictionary.columns / expected
    fitted = np.linalg.solve(weighted @ dictionary.columns.T, weighted @ counts.T)[2] / n_counts
    # Overlap makes sigma grow with the content a little more than Currie's 2.71 allows for.
    assert abs(np.mean(fitted > threshold) - 0.95) < 0.01


@pytest.mark.parametrize("n_counts", [0.0, 1.0, 1e3, 1e9])
@pytest.mark.parametrize(
    "coefficient",
    [[2, 3, 1, 1, 50, 50], [2, 0, 0, 0, 0, 0], [0, 1e-9, 0, 1, 1, 1], [1, 0, 0, 0, 1e-6, 0]],
)
def test_limits_are_positive_and_below_one_hundred_percent(coefficient, n_counts, dictionary):
    limit = limits(coefficient, dictionary, n_counts)
    assert np.all(limit > 0)
    assert np.all(limit <= 1)


def test_without_any_background_some_three_counts_are_needed(dictionary):
    # Only Fe: no counts under the line of Si, so 2.71 of its counts are needed.
    limit = limits([1, 0, 0, 0, 0, 0], dictionary, 1e4)[2]
    coefficient = unit([1, 0, 0, 0, 0, 0], dictionary)
    counts = limit / (1 - limit) * coefficient[0] * dictionary.columns[2].sum() * 1e4
    assert 2.71 <= counts < 3.5


def test_mixing_of_phases_raises_the_limit(dictionary):
    coefficient = [2, 3, 1, 1, 50, 50]
    alone = limits(coefficient, dictionary, 1e6)
    mixed = limits(coefficient, dictionary, 1e6, np.eye(6))
    assert np.all(mixed > 10 * alone)
    unknown = limits(coefficient, dictionary, 1e6, np.full((6, 6), np.nan))
    np.testing.assert_array_equal(unknown, alone)


def test_overlap_raises_the_limit(new_dictionary):
    columns = new_dictionary().columns.copy()
    apart = limits([2, 3, 0, 1, 50, 50], new_dictionary(), 1e5)[2]
    columns[2] = np.roll(columns[0], 1)
    near = limits([2, 3, 0, 1, 50, 50], new_dictionary(columns=columns), 1e5)[2]
    assert near > 2 * apart
