# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization.coincidence import hanging_deg, has_own_element
from mlatem.factorization.constraints import Constraints, Statements
from mlatem.factorization.geometry import Atoms
from mlatem.factorization.pooled import PooledData
from mlatem.factorization.sparsity import abundances_at, fit_sparse

OPTIONS = settings.Factorize()
N_COLUMNS = 6
PENALIZED = np.arange(N_COLUMNS) < N_COLUMNS - 1
ATOMS = Atoms(PENALIZED, np.ones(N_COLUMNS))
TRUE_PHASE = np.array([0.0, 0.0, 0.3, 0.3, 0.2, 0.2])


def embedded(matrix, seed=0):
    """A phase that lacks the first two elements, nowhere pure in a matrix that has them."""
    rng = np.random.default_rng(seed)
    channel = np.arange(160.0)
    lines = np.exp(-0.5 * ((channel - 12 - 26 * np.arange(N_COLUMNS - 1)[:, None]) / 3) ** 2)
    columns = np.vstack([lines, np.exp(-channel / 60)])
    columns /= columns.sum(axis=1, keepdims=True)
    truth = np.stack([matrix, TRUE_PHASE])
    share = np.concatenate([np.zeros(20), rng.uniform(0.1, 0.5, 20)])
    drawn = rng.poisson(4000 * np.stack([1 - share, share], axis=1) @ (truth @ columns))
    data = PooledData(drawn.astype(float), np.full(40, 10), columns)
    answer = fit_sparse(data, truth, PENALIZED, OPTIONS)
    return data, abundances_at(data, answer.weight, OPTIONS).abundance, answer.weight


def test_two_elements_of_which_each_could_tell_hold_the_answer():
    angle = hanging_deg(*embedded(np.array([0.4, 0.3, 0.1, 0.0, 0.0, 0.2])), ATOMS)
    assert angle[0] < 0.5
    assert 0.0 < angle[1] < 6.0


def test_a_scarce_element_cannot_tell():
    data, abundance, weight = embedded(np.array([0.72, 0.04, 0.04, 0.0, 0.0, 0.2]))
    assert weight[1, :2] == pytest.approx([0.0, 0.0], abs=1e-3)
    assert hanging_deg(data, abundance, weight, ATOMS)[1] > 12.0


def test_what_is_told_hangs_on_nothing():
    data, abundance, weight = embedded(np.array([0.72, 0.04, 0.04, 0.0, 0.0, 0.2]))
    told = np.zeros((2, N_COLUMNS), dtype=bool)
    told[1, :2] = True
    known = Constraints(
        allowed=~told,
        told=told,
        fixed=np.zeros(2, dtype=bool),
        weight=np.zeros((2, N_COLUMNS)),
        present=np.ones(abundance.shape, dtype=bool),
        statements=Statements.none(N_COLUMNS),
    )
    assert hanging_deg(data, abundance, weight, ATOMS, known)[1] == 0.0


def test_elements_of_which_nothing_around_has_any():
    fractions = np.array([[0.5, 0.5, 0.0, 0.0], [0.1, 0.7, 0.2, 0.0], [0.6, 0.0, 0.0, 0.4]])
    shared = np.array([[10.0, 0.0, 0.0], [5.0, 5.0, 0.0], [5.0, 0.0, 5.0]])
    assert list(has_own_element(fractions, shared)) == [False, True, True]
    fractions[1, 2], fractions[0, 2] = 0.2, 0.02
    assert not has_own_element(fractions, shared)[1]
