# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a natural width."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import voigt_profile

from mlatem.kernels.lines import add_lines
from mlatem.kernels.wings import add_wings

EDGES = np.linspace(0, 20, 4001)
ONE = np.ones(1)


def voigt(center, sigma, half_width, area, reach=30.0):
    columns, index = np.zeros((1, EDGES.size - 1)), np.zeros(1, dtype=int)
    add_lines(columns, EDGES, index, center * ONE, sigma * ONE, area * ONE)
    args = (center * ONE, sigma * ONE, half_width * ONE, area * ONE, reach)
    add_wings(columns, EDGES, index, *args)
    return columns[0]


@pytest.mark.parametrize("half_width", [1e-4, 1e-3, 4e-3, 0.02])
@pytest.mark.parametrize("sigma", [0.025, 0.07])
def test_wings_are_voigt_less_gaussian(sigma, half_width):
    middle = 0.5 * (EDGES[1:] + EDGES[:-1]) - 9.44
    expected = voigt_profile(middle, sigma, half_width) - voigt_profile(middle, sigma, 0.0)
    found = voigt(9.44, sigma, half_width, 7.0) - voigt(9.44, sigma, 0.0, 7.0)
    height = 7.0 * 0.005 * voigt_profile(0.0, sigma, 0.0)
    np.testing.assert_allclose(found, 7.0 * 0.005 * expected, rtol=1e-4, atol=1e-9 * height)


def test_wings_take_their_counts_from_the_core():
    on_axis = 2 / np.pi * np.arctan(10.0 / 4e-3)
    assert voigt(10.0, 0.07, 4e-3, 5.0).sum() == pytest.approx(5.0 * on_axis, rel=1e-6)


def test_a_line_without_a_width_is_left_as_it_is():
    columns = np.zeros((1, EDGES.size - 1))
    add_lines(columns, EDGES, np.zeros(1, dtype=int), 9.0 * ONE, 0.05 * ONE, ONE)
    np.testing.assert_array_equal(voigt(9.0, 0.05, 0.0, 1.0), columns[0])


def test_wings_end_at_their_reach_and_at_the_axis():
    assert not voigt(10.0, 0.05, 4e-3, 1.0, reach=2.0)[:1590].any()
    assert voigt(-0.5, 0.05, 4e-3, 1.0, reach=2.0)[:290].all()
    assert not voigt(-50.0, 0.05, 4e-3, 1.0, reach=2.0).any()
