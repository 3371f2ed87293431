# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels with counts in most channels: the same formulae, channel by channel."""

import numpy as np
import pytest

from mlatem.kernels import dense, newton, poisson, schur
from mlatem.model import SparseCounts

N_PIXELS, N_ENERGY = 30, 700


@pytest.fixture(params=[1, 3, 4, 6])
def case(request):
    n_phases = request.param
    rng = np.random.default_rng(n_phases)
    spectrum = rng.dirichlet(np.full(N_ENERGY, 2.0), n_phases).astype(np.float32)
    truth = rng.dirichlet(np.full(n_phases, 0.5), N_PIXELS) * 6000
    counts = rng.poisson(truth @ spectrum).astype(np.uint16)
    return counts, spectrum, truth


def events_of(counts):
    sparse = SparseCounts.from_dense(counts, np.arange(len(counts)))
    return sparse.pointer, sparse.channel, sparse.count


def test_models_and_derivatives(case):
    counts, spectrum, truth = case
    n_phases = len(spectrum)
    rows = dense.rows_of(spectrum.T)
    amount = np.zeros(len(rows), np.float32)
    amount[:n_phases] = truth[0] + 1
    model, found = np.empty((2, N_ENERGY), np.float32)
    slope, bend = np.empty(n_phases), np.empty((n_phases, n_phases))
    dense.models(rows, amount, model)
    dense.derivatives(counts[0].astype(np.float32), rows, amount, found, slope, bend)
    expected = (truth[0] + 1) @ spectrum
    curvature = (spectrum * (counts[0] / expected**2)) @ spectrum.T
    assert np.allclose(model, expected, rtol=1e-5) and np.array_equal(model, found)
    assert np.allclose(slope, spectrum @ (counts[0] / expected), rtol=1e-5)
    assert np.allclose(np.tril(bend), np.tril(curvature), rtol=1e-5)


def test_newton_is_at_the_optimum_of_each_pixel(case):
    """The conditions of Karush, Kuhn and Tucker: slopes vanish where abundances do not."""
    counts, spectrum, truth = case
    assert np.all((counts > 0).mean(axis=1) > dense.DENSE_SHARE)
    table = np.ascontiguousarray(spectrum.T)
    found, converged = newton.newton_abundances(*events_of(counts), table, truth + 1, 100, 1e-9)
    slope = 1 - (counts / (found @ spectrum + 1e-12)) @ spectrum.T
    scale = 1e-3 / np.sqrt(counts.sum(axis=1, keepdims=True))
    assert converged.all()
    assert np.all(np.abs(slope * found) < 1e-2)
    assert np.all(slope[found < 1e-6] > -scale.max())


def test_sparse_and_dense_form_agree(case, monkeypatch):
    counts, spectrum, truth = case
    events, table = events_of(counts), np.ascontiguousarray(spectrum.T)
    columns = np.random.default_rng(0).dirichlet(np.full(N_ENERGY, 0.3), 9)
    weight = np.random.default_rng(1).dirichlet(np.full(9, 0.3), len(spectrum))
    answers = []
    for share in (0.0, 2.0):
        monkeypatch.setattr(dense, "DENSE_SHARE", share)
        best, _ = newton.newton_abundances(*events, table, truth + 1, 100, 1e-9)
        loss = poisson.loss(*events, table, best)
        answers.append((loss, *schur.schur_sums(*events, columns, weight, truth + 1)))
    for one, other in zip(*answers, strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(one).max())


def test_a_pixel_takes_its_form_by_itself(case):
    """Beside any other pixels its answer is the same to the last bit."""
    counts, spectrum, truth = case
    counts = counts.copy()
    counts[::3, 20:] = 0
    table = np.ascontiguousarray(spectrum.T)
    together, _ = newton.newton_abundances(*events_of(counts), table, truth + 1, 100, 1e-6)
    for p in (0, 1, 5):
        alone = newton.newton_abundances(
            *events_of(counts[p : p + 1]), table, truth[p : p + 1] + 1, 100, 1e-6
        )[0]
        assert np.array_equal(alone[0], together[p])
