# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization.constraints import Constraints, Statements
from mlatem.factorization.pooled import PooledData, spectral_angle
from mlatem.factorization.relaxed import moved, pull_taken_back
from mlatem.factorization.sparsity import fit_sparse

OPTIONS = settings.Factorize()
N_COLUMNS = 7
PENALIZED = np.arange(N_COLUMNS) < N_COLUMNS - 1


def embedded(seed, *, n_filled, counts):
    """A matrix and a phase, nowhere pure, that lacks two elements of it and has two.

    Of those that it has, one is what the matrix is mostly made of: matrix taken out of the phase
    leaves less of it, and less than nothing of the two that the phase lacks.
    """
    rng = np.random.default_rng(seed)
    channel = np.arange(160.0)
    lines = np.exp(-0.5 * ((channel - 10 - 22 * np.arange(N_COLUMNS - 1)[:, None]) / 3) ** 2)
    columns = np.vstack([lines, np.exp(-channel / 60)])
    columns /= columns.sum(axis=1, keepdims=True)
    matrix = np.array([0.67, 0.05, 0.05, 0.03, 0.0, 0.0, 0.2])
    phase = np.array([0.2, 0.0, 0.0, 0.2, 0.2, 0.2, 0.2])
    weight = np.stack([matrix, phase])
    share = np.concatenate([np.zeros(n_filled), rng.uniform(0.1, 0.35, n_filled)])
    abundance = counts * np.stack([1 - share, share], axis=1)
    drawn = rng.poisson(abundance @ (weight @ columns)).astype(float)
    return PooledData(drawn, np.full(len(share), 10), columns), weight


def off_deg(data, weight, truth):
    return np.degrees(spectral_angle(weight @ data.columns, truth @ data.columns)).max()


def relaxed(data, answer, prior=None):
    pulled = np.tile(PENALIZED, (2, 1))
    return pull_taken_back([data], [answer], pulled, OPTIONS, [prior])[0]


def test_the_pull_of_many_regions_is_taken_back():
    before, after = [], []
    for seed in range(6):
        data, truth = embedded(seed, n_filled=200, counts=1500)
        answer = fit_sparse(data, truth, PENALIZED, OPTIONS)
        step = relaxed(data, answer)
        weight = moved(answer.weight, step)
        before.append(off_deg(data, answer.weight, truth))
        after.append(off_deg(data, weight, truth))
        assert np.all(weight[answer.weight == 0] == 0)
        assert np.allclose(weight.sum(axis=1), 1.0)
    assert np.mean(after) < 0.4 * np.mean(before), (before, after)


def test_a_known_matrix_and_what_the_phase_lacks_are_kept():
    data, truth = embedded(0, n_filled=200, counts=1500)
    known = Constraints(
        allowed=truth > 0,
        told=np.zeros(truth.shape, dtype=bool),
        fixed=np.array([True, False]),
        weight=truth,
        present=np.ones((len(data.counts), 2), dtype=bool),
        statements=Statements.none(N_COLUMNS),
    )
    answer = fit_sparse(data, truth, PENALIZED, OPTIONS, known)
    step = relaxed(data, answer, known)
    assert np.all(step[0] == 0)
    assert np.all(step[1][truth[1] == 0] == 0)
    weight = moved(answer.weight, step)
    assert off_deg(data, weight, truth) <= off_deg(data, answer.weight, truth) + 0.05


def test_where_the_counts_do_not_object_the_sparse_answer_stays():
    data, truth = embedded(0, n_filled=6, counts=400)
    answer = fit_sparse(data, truth, PENALIZED, OPTIONS)
    assert np.all(relaxed(data, answer) == 0.0)


def test_where_all_is_told_the_counts_decide():
    data, truth = embedded(0, n_filled=6, counts=400)
    known = Constraints(
        allowed=truth > 0,
        told=np.ones(truth.shape, dtype=bool),
        fixed=np.zeros(2, dtype=bool),
        weight=truth,
        present=np.ones((len(data.counts), 2), dtype=bool),
        statements=Statements.none(N_COLUMNS),
    )
    answer = fit_sparse(data, truth, PENALIZED, OPTIONS, known)
    step = relaxed(data, answer, known)
    assert np.any(step != 0)
    assert np.all(step[truth == 0] == 0)


def test_steps_leave_shares():
    weight = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    step = np.array([[0.1, -0.1, 0.0], [-0.2, 0.1, 0.1]])
    after = moved(weight, step)
    assert after[0] == pytest.approx([0.6, 0.4, 0.0])
    assert after[1] == pytest.approx(np.array([0.0, 0.3, 0.8]) / 1.1)
