# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussian lines integrated over channels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from mlatem.kernels.lines import add_lines


def reference(edges, center, sigma, area):
    cumulative = 0.5 * (1 + erf((edges - center) / (np.sqrt(2) * sigma)))
    return area * np.diff(cumulative)


@pytest.mark.parametrize("center", [5.0, 0.02, 9.97, -0.1])
def test_a_line_is_the_difference_of_error_functions(center):
    edges = np.linspace(0, 10, 1001)
    columns = np.zeros((2, 1000))
    one = np.ones(1)
    add_lines(columns, edges, np.array([1]), center * one, 0.05 * one, 7.0 * one)
    np.testing.assert_allclose(columns[1], reference(edges, center, 0.05, 7.0), atol=1e-8)
    assert not columns[0].any()


def test_lines_of_one_column_add_up():
    edges = np.linspace(0, 10, 501)
    columns = np.zeros((1, 500))
    centers, sigmas, areas = np.array([3.0, 3.1]), np.array([0.05, 0.06]), np.array([2.0, 5.0])
    add_lines(columns, edges, np.zeros(2, dtype=int), centers, sigmas, areas)
    expected = sum(reference(edges, *line) for line in zip(centers, sigmas, areas, strict=True))
    np.testing.assert_allclose(columns[0], expected, atol=1e-8)


def test_a_line_far_outside_adds_nothing():
    columns = np.zeros((1, 10))
    one = np.ones(1)
    add_lines(columns, np.linspace(0, 1, 11), np.array([0]), 50 * one, 0.05 * one, one)
    assert not columns.any()


def test_no_lines_add_nothing():
    columns = np.zeros((1, 10))
    none = np.zeros(0)
    add_lines(columns, np.linspace(0, 1, 11), none.astype(int), none, none, none)
    assert not columns.any()
