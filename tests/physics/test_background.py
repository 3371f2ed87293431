# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of the continuum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from mlatem.errors import InputError
from mlatem.physics.absorption import self_absorption_factor
from mlatem.physics.background import continuum_columns
from mlatem.physics.detector import efficiency
from mlatem.settings import Detector

ENERGY = 0.35 + 0.01 * np.arange(1966)


def columns(energy=ENERGY, n_functions=6, **film):
    return continuum_columns(
        energy, n_functions=n_functions, detector=Detector(), take_off_angle_deg=22.0, **film
    )


@pytest.mark.parametrize("n_functions", [2, 3, 4, 6, 12])
def test_columns_are_distinct_and_add_up_to_one(n_functions):
    found = columns(n_functions=n_functions)
    assert found.shape == (n_functions, ENERGY.size)
    assert np.all(found >= 0)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.linalg.matrix_rank(found) == n_functions


def test_kramers_law_lies_in_the_span():
    film = {"composition": {"Fe": 0.4, "O": 0.6}, "mass_thickness_kg_m2": 5e-4}
    response = efficiency(ENERGY, Detector()) * self_absorption_factor(
        film["composition"], ENERGY, mass_thickness_kg_m2=5e-4, take_off_angle_deg=22.0
    )
    kramers = response / ENERGY
    basis = columns(**film)
    coefficients, residual = nnls(basis.T, kramers)
    # What remains are the edges, which the columns have on a grid of 0.2 %.
    assert residual < 1e-2 * np.linalg.norm(kramers)
    assert np.all(coefficients > 0)


def test_continuum_ends_where_nothing_is_tabulated():
    energy = -0.2 + 0.01 * np.arange(1000)
    found = columns(energy)
    assert not found[:, energy < 0.0999].any()
    assert found[:, energy > 0.15].any()


def test_absorption_shows_the_edge_of_the_specimen():
    thick = columns(composition={"Fe": 1}, mass_thickness_kg_m2=2e-2)
    thin = columns()
    below, above = np.searchsorted(ENERGY, [7.05, 7.2])
    # Column 3 is a smooth spline times response; the step is the response of the film alone.
    step = thick[3, [below, above]] / thin[3, [below, above]]
    assert step[1] < 0.8 * step[0]


def test_too_few_functions_or_channels_are_named():
    with pytest.raises(InputError, match="n_background"):
        columns(n_functions=1)
    with pytest.raises(InputError, match="channels lie above"):
        columns(energy=np.linspace(-1, 0.09, 100))
