# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of compositions gives back what was written."""

from dataclasses import replace

import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization.solution import CompositionSolution
from mlatem.model import Dictionary, Leeway
from mlatem.steps.compositions import Compositions, load_compositions, save_compositions


@pytest.fixture
def solution():
    """One phase of two columns; two thinnings, one weight to free."""
    leeway = Leeway(
        coefficient=np.array([[[0.7, 0.3]], [[0.6, 0.4]]]),
        covariance=np.full((2, 1, 2, 2), 1e-4),
        shift=np.zeros((2, 1, 2)),
        direction=np.ones((2, 1, 1, 2)),
        variance=np.full((2, 1), 0.1),
        best=np.full((2, 1), -0.2),
    )
    return CompositionSolution(
        coefficient=np.array([[0.7, 0.3]]),
        coefficient_covariance=np.zeros((1, 2, 2)),
        loss=np.array([2.0, 1.0]),
        spread_deg=np.array([0.1]),
        n_carried=1,
        n_rounds=2,
        converged=True,
        reason="",
        leeway=leeway,
    )


@pytest.fixture
def dictionary():
    return Dictionary.from_arrays(
        np.eye(2, 4) + 0.1, np.arange(4.0), ["Fe", "O"], ["line", "line"], ["Fe", "O"]
    )


def test_solutions_come_back(tmp_path, solution, dictionary):
    for given in (solution, replace(solution, leeway=None)):
        written = Compositions(given, dictionary, settings.Factorize())
        save_compositions(tmp_path / "c.npz", written)
        read = load_compositions(tmp_path / "c.npz")
        found, columns = read.solution, read.dictionary
        assert columns.names == dictionary.names
        assert np.array_equal(found.coefficient, given.coefficient)
        assert (found.n_rounds, found.phase_columns) == (2, None)
        if given.leeway is None:
            assert found.leeway is None
            continue
        for name, values in vars(given.leeway).items():
            assert np.array_equal(getattr(found.leeway, name), values), name
