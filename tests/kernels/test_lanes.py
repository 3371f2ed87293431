# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from numba import njit

from mlatem.kernels import information, newton, poisson
from mlatem.kernels.lanes import (
    add_scaled,
    dot,
    load,
    n_lanes,
    outer,
    padded,
    pattern,
    square_zeros,
    store,
    store_square,
    times,
)
from mlatem.kernels.logarithm import weighted_logarithms
from mlatem.model import SparseCounts


@njit
def _combine(rows, like, squared):
    first, second = load(like, rows, 0), load(like, rows, 1)
    store(add_scaled(times(first, second), np.float32(2.0), first), rows, 2)
    store_square(add_scaled(square_zeros(like), np.float32(3.0), outer(first)), squared)
    return dot(first, second)


@pytest.mark.parametrize("n_phases", [1, 3, 4, 5, 8, 11])
def test_lanes_do_what_numpy_does(n_phases):
    values = np.random.default_rng(n_phases).uniform(size=(3, n_phases))
    rows = padded(values)
    squared = np.empty((rows.shape[1],) * 2, dtype=np.float32)
    product = _combine(rows, pattern(n_phases), squared)
    first, second = values[:2]
    assert rows.shape[1] == n_lanes(n_phases) >= n_phases
    assert product == pytest.approx(first @ second, rel=1e-6)
    assert np.allclose(rows[2, :n_phases], first * second + 2 * first, rtol=1e-6)
    assert np.allclose(squared[:n_phases, :n_phases], 3 * np.outer(first, first), rtol=1e-6)
    assert not rows[:, n_phases:].any()


def test_logarithms():
    value = (10.0 ** np.random.default_rng(3).uniform(-30, 30, 1000)).astype(np.float32)
    value[:3] = 1.0, 0.5, np.sqrt(0.5)
    weight = np.arange(1000, dtype=np.uint16)
    expected = np.sum(weight * np.log(value.astype(float)))
    assert weighted_logarithms(value.copy(), weight) == pytest.approx(expected, rel=1e-6)
    for x in value[:50]:
        assert weighted_logarithms(np.array([x]), weight[1:2]) == pytest.approx(
            np.log(float(x)), abs=1e-7, rel=2e-7
        )


def test_a_sweep_tells_the_loss_before_it(case):
    events, spectrum, abundance, _ = case
    updated, before = poisson.sweep_with_loss(*events, spectrum, abundance)
    assert np.array_equal(updated, poisson.multiplicative_sweep(*events, spectrum, abundance))
    assert before == pytest.approx(poisson.loss(*events, spectrum, abundance).sum(), rel=1e-6)


@pytest.fixture(scope="module", params=[1, 2, 4, 7, 8, 16])
def case(request):
    n_phases, n_energy, n_pixels = request.param, 90, 40
    rng = np.random.default_rng(n_phases)
    spectrum = rng.dirichlet(np.full(n_energy, 0.5), n_phases) + 1e-5
    abundance = rng.dirichlet(np.full(n_phases, 0.5), n_pixels) * rng.uniform(5, 400, (n_pixels, 1))
    dense = rng.poisson(abundance @ spectrum)
    dense[3] = 0
    counts = SparseCounts.from_dense(dense, np.arange(n_pixels))
    events = (counts.pointer, counts.channel, counts.count)
    by_channel = np.ascontiguousarray(spectrum.T, dtype=np.float32)
    return events, by_channel, abundance + 0.1, dense


def test_every_number_of_phases(case):
    events, spectrum, abundance, dense = case
    model = abundance @ spectrum.T.astype(float)
    ratio = dense / model
    loss = (model - dense * np.log(model)).sum(axis=1)
    gain = ratio @ spectrum
    assert np.allclose(poisson.loss(*events, spectrum, abundance), loss, rtol=1e-5, atol=1e-3)
    updated = poisson.multiplicative_sweep(*events, spectrum, abundance)
    assert np.allclose(updated, abundance * gain / spectrum.sum(axis=0), rtol=1e-5)
    of_spectrum = poisson.spectrum_gain(*events, spectrum, abundance)
    assert np.allclose(of_spectrum, ratio.T @ abundance, rtol=1e-5, atol=1e-6)


def test_newton_is_stationary_for_every_number_of_phases(case):
    events, spectrum, abundance, dense = case
    found, converged = newton.newton_abundances(*events, spectrum, abundance, 200, 1e-6)
    assert converged.all()
    used = found.sum(axis=1) > 0
    ratio = dense[used] / np.maximum(found[used] @ spectrum.T, 1e-12)
    gradient = spectrum.sum(axis=0) - ratio @ spectrum
    # At the optimum the gradient is zero for what is present and not negative for what is not.
    assert np.all(gradient > -2e-3)
    assert np.all(np.abs(gradient * found[used]) < 2e-2)


def test_groups_of_alike_channels_lose_little_information():
    rng = np.random.default_rng(8)
    energy = np.linspace(0, 20, 2000)
    lines = np.exp(-0.5 * ((energy - rng.uniform(1, 19, (12, 1))) / 0.06) ** 2)
    columns = np.vstack([lines, np.exp(-energy / 5)])
    weight = np.hstack([rng.dirichlet(np.full(12, 0.5), 4), np.full((4, 1), 0.02)])
    spectrum = weight @ columns
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    grouped = information.alike_channels(spectrum)
    assert grouped.shape[1] < 500
    assert np.allclose(grouped.sum(axis=1), 1.0, atol=1e-5)
    for abundance in ([25, 25, 25, 25], [97, 1, 1, 1], [1, 5000, 1, 300]):
        a = np.array([abundance], dtype=np.float32)
        full = information.covariance(
            information.fisher_information(spectrum.astype(np.float32), a)
        )[0]
        fast = information.covariance(information.fisher_information(grouped, a))[0]
        growth = np.sqrt(np.diag(fast) / np.diag(full))
        assert np.all(growth > 1 - 1e-4)
        assert np.all(growth < 1.01)
