# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.kernels import information, newton, poisson
from mlatem.model import SparseCounts

N_PIXELS, N_PHASES, N_ENERGY = 60, 3, 40


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(5)
    spectrum = rng.dirichlet(np.full(N_ENERGY, 0.5), N_PHASES) + 1e-4
    spectrum = (spectrum / spectrum.sum(axis=1, keepdims=True)).astype(np.float32)
    truth = rng.dirichlet(np.full(N_PHASES, 0.4), N_PIXELS) * rng.uniform(5, 200, (N_PIXELS, 1))
    dense = rng.poisson(truth @ spectrum)
    dense[7] = 0
    counts = SparseCounts.from_dense(dense, np.arange(N_PIXELS))
    events = (counts.pointer, counts.channel, counts.count)
    return events, np.ascontiguousarray(spectrum.T), truth, dense


def test_loss(case):
    events, spectrum, truth, dense = case
    model = truth @ spectrum.T
    expected = (model - dense * np.log(model)).sum(axis=1)
    assert np.allclose(poisson.loss(*events, spectrum, truth), expected, rtol=1e-6)


def test_deviance(case):
    events, spectrum, truth, dense = case
    model = truth @ spectrum.T
    entropy = dense * np.log(np.where(dense > 0, dense, 1) / model)
    expected = 2 * (entropy - dense + model).sum(axis=1)
    assert np.allclose(poisson.deviance(*events, spectrum, truth), expected, rtol=1e-6)


def test_multiplicative_sweep(case):
    events, spectrum, truth, dense = case
    expected = truth * ((dense / (truth @ spectrum.T)) @ spectrum) / spectrum.sum(axis=0)
    updated = poisson.multiplicative_sweep(*events, spectrum, truth)
    assert np.allclose(updated, expected, rtol=1e-6)
    before = poisson.loss(*events, spectrum, truth)
    assert np.all(poisson.loss(*events, spectrum, updated) <= before + 1e-9)


def test_newton_ends_where_many_multiplicative_sweeps_end(case):
    events, spectrum, truth, _ = case
    start = truth + 1.0
    abundance, converged = newton.newton_abundances(*events, spectrum, start, 100, 1e-9)
    slow = start
    for _ in range(5000):
        slow = poisson.multiplicative_sweep(*events, spectrum, slow)
    best = poisson.loss(*events, spectrum, slow)
    assert converged.all()
    assert np.all(abundance >= 0)
    # In nats; single precision of the models, 1e-7 a count.
    assert np.all(poisson.loss(*events, spectrum, abundance) <= best + 1e-4)


def test_newton_frees_zeros_of_the_start(case):
    events, spectrum, truth, _ = case
    one_phase = np.zeros_like(truth)
    one_phase[:, 0] = truth.sum(axis=1)
    from_zeros, _ = newton.newton_abundances(*events, spectrum, one_phase, 100, 1e-9)
    reference, _ = newton.newton_abundances(*events, spectrum, truth + 1, 100, 1e-9)
    assert np.allclose(from_zeros, reference, rtol=1e-3, atol=1e-3)


def test_newton_reports_pixels_that_were_stopped(case):
    events, spectrum, truth, _ = case
    stopped = newton.newton_abundances(*events, spectrum, truth + 1.0, 1, 1e-12)[1]
    assert not stopped.all()
    assert stopped[7]


def test_pixels_without_counts_have_no_abundance(case):
    events, spectrum, truth, _ = case
    abundance, _ = newton.newton_abundances(*events, spectrum, truth + 1.0, 100, 1e-9)
    assert np.array_equal(abundance[7], np.zeros(N_PHASES))


def test_an_event_outside_all_spectra_costs_a_finite_amount():
    counts = SparseCounts.from_dense([[0, 4, 1]], [0])
    events = (counts.pointer, counts.channel, counts.count)
    spectrum = np.array([[0.5], [0.5], [0.0]], dtype=np.float32)
    abundance, converged = newton.newton_abundances(*events, spectrum, np.ones((1, 1)), 100, 1e-9)
    assert converged.all()
    assert abundance[0, 0] == pytest.approx(4.0)
    assert np.isfinite(poisson.loss(*events, spectrum, abundance)).all()


def test_fewer_events_than_phases():
    counts = SparseCounts.from_dense([[3, 0]], [0])
    events = (counts.pointer, counts.channel, counts.count)
    spectrum = np.array([[0.7, 0.5, 0.5], [0.3, 0.5, 0.5]], dtype=np.float32)
    abundance, converged = newton.newton_abundances(*events, spectrum, np.ones((1, 3)), 100, 1e-9)
    assert converged.all()
    assert abundance[0] == pytest.approx([3.0, 0.0, 0.0], abs=1e-3)


def test_fisher_information(case):
    _, spectrum, truth, _ = case
    expected = np.einsum("ck,cl,pc->pkl", spectrum, spectrum, 1 / (truth @ spectrum.T))
    rows = np.ascontiguousarray(spectrum.T)
    found = information.fisher_information(rows, truth.astype(np.float32))
    assert np.allclose(found, expected, rtol=1e-4)


def test_covariance_is_the_inverse_and_nan_where_there_is_none(case):
    _, spectrum, truth, _ = case
    matrices = np.einsum("ck,cl,pc->pkl", spectrum, spectrum, 1 / (truth @ spectrum.T))
    matrices[3] = 0.0
    matrices[4] = 1.0
    regular = np.delete(np.arange(N_PIXELS), [3, 4])
    found = information.covariance(matrices)
    assert np.allclose(found[regular], np.linalg.inv(matrices[regular]), rtol=1e-6)
    assert np.isnan(found[[3, 4]]).all()
