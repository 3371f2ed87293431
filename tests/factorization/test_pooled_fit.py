# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.factorization.covariance import weight_covariance
from mlatem.factorization.pooled import (
    PooledData,
    expectation_maximization,
    gradients,
    information,
    spectral_angle,
    weighted_columns,
)
from mlatem.factorization.scoring import Penalty, fit


@pytest.fixture(params=["shared", "own"])
def case(request):
    """Regions of two phases, with shared columns or with their own."""
    rng = np.random.default_rng(8)
    columns = rng.dirichlet(np.full(60, 0.3), 5) + 1e-4
    if request.param == "own":
        columns = columns * rng.uniform(0.5, 1.0, (2, 5, 60))
    columns /= columns.sum(axis=-1, keepdims=True)
    weight = np.array([[0.6, 0.0, 0.3, 0.1, 0.0], [0.0, 0.5, 0.2, 0.0, 0.3]])
    abundance = rng.dirichlet([0.5, 0.5], 12) * 3000
    counts = rng.poisson(abundance @ weighted_columns(weight, columns)).astype(float)
    return PooledData(counts, np.full(12, 9), columns), abundance, weight


def test_gradients_are_differences_of_the_loss(case):
    data, abundance, weight = case
    weight = weight + 0.05
    by_abundance, by_weight = gradients(data, abundance, weight, data.model(abundance, weight))

    def loss(a, w):
        return data.loss(data.model(a, w))

    for gradient, place, step, which in [
        (by_abundance, (3, 1), 1e-2, 0),
        (by_weight, (1, 2), 1e-5, 1),
    ]:
        up, down = [abundance.copy(), weight.copy()], [abundance.copy(), weight.copy()]
        up[which][place] += step
        down[which][place] -= step
        slope = (loss(*up) - loss(*down)) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=1e-4)


def test_information_blocks(case):
    data, abundance, weight = case
    weight = weight + 0.05
    model = data.model(abundance, weight)
    blocks = information(data, abundance, weight, model)
    own = np.broadcast_to(data.columns, (2, 5, 60))
    spectrum = np.einsum("kj,kjc->kc", weight, own)
    of_abundance = np.einsum("kc,lc,rc->rkl", spectrum, spectrum, 1 / model)
    jacobian = np.einsum("rk,kjc->rckj", abundance, own).reshape(12, 60, 10)
    of_weight = np.einsum("rcs,rct,rc->st", jacobian, jacobian, 1 / model)
    cross = np.einsum("kc,rcs,rc->rks", spectrum, jacobian, 1 / model)
    assert np.allclose(blocks.abundance, of_abundance)
    assert np.allclose(blocks.weight, of_weight)
    assert np.allclose(blocks.cross, cross)


def test_sweeps_lower_the_loss(case):
    data, abundance, weight = case
    a, w = abundance + 30, (weight + 0.1) / (weight + 0.1).sum(axis=1, keepdims=True)
    previous = data.loss(data.model(a, w))
    for _ in range(10):
        a, w = expectation_maximization(data, a, w, 1)
        loss = data.loss(data.model(a, w))
        assert loss <= previous
        previous = loss
    assert np.allclose(w.sum(axis=1), 1)


def test_scoring_is_monotone_and_as_good_as_many_sweeps(case):
    data, abundance, _ = case
    even = np.full((2, 5), 0.2) + np.array([[0.05], [0.0]]) * np.array([1, -1, 1, -1, 0])
    even /= even.sum(axis=1, keepdims=True)
    result = fit(data, abundance, even)
    a, w = expectation_maximization(data, abundance, even, 3000)
    assert result.converged
    assert np.all(np.diff(result.loss) <= 1e-6)
    assert result.loss[-1] <= data.loss(data.model(a, w)) + 0.01
    assert len(result.loss) < 100


def test_scoring_locks_no_zero(case):
    data, abundance, weight = case
    wrong = np.array([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]])
    result = fit(data, abundance, wrong)
    reference = fit(data, abundance, (weight + 0.02) / 1.1)
    assert result.loss[-1] <= reference.loss[-1] + 0.5
    assert np.all(result.weight >= 0)
    assert np.allclose(result.weight.sum(axis=1), 1)


def test_held_weights_stay(case):
    data, _, weight = case
    result = fit(data, np.full((12, 2), 1500.0), weight, hold_weight=True)
    assert np.allclose(result.weight, weight, rtol=0, atol=1e-14)
    model = data.model(result.abundance, weight)
    by_abundance, _ = gradients(data, result.abundance, weight, model)
    assert np.all(np.abs(by_abundance * result.abundance).sum(axis=1) < 0.1)
    assert np.all(by_abundance > -1e-3)


def test_penalty_pulls_towards_zero(case):
    data, abundance, weight = case
    penalty = Penalty(np.zeros((12, 2)), np.full((2, 5), 0.0))
    penalty.weight[0, 3] = 1e5
    result = fit(data, abundance, (weight + 0.02) / 1.1, penalty=penalty)
    assert result.weight[0, 3] < 1e-6


def test_too_few_rounds_are_not_called_converged(case):
    data, abundance, _ = case
    start = np.array([[0.4, 0.3, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.3, 0.4]])
    assert not fit(data, abundance, start, max_rounds=2).converged


def test_angle_of_equal_and_of_right_angled_spectra():
    first = np.array([[1.0, 0.0], [1.0, 1.0], [1e-9, 1.0]])
    second = np.array([[0.0, 2.0], [3.0, 3.0], [0.0, 1.0]])
    assert np.allclose(spectral_angle(first, second), [np.pi / 2, 0.0, 1e-9], atol=1e-12)


def test_covariance_is_that_of_repeated_draws():
    """Abundances free, zeros of weights and abundances known: 200 draws against one formula."""
    rng = np.random.default_rng(1)
    columns = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.6, 0.2, 0.1]])
    weight = np.array([[0.6, 0.4, 0.0], [0.0, 0.3, 0.7]])
    abundance = np.array([[6e4, 0.0], [0.0, 5e4], [3e4, 3e4]])
    draws = []
    for _ in range(200):
        counts = rng.poisson(abundance @ weight @ columns).astype(float)
        drawn = PooledData(counts, np.ones(3, dtype=np.int64), columns)
        held = Penalty(np.where(abundance == 0, 1e6, 0.0), np.where(weight == 0, 1e9, 0.0))
        draws.append(fit(drawn, abundance, weight, penalty=held).weight)
    exact = PooledData(abundance @ weight @ columns, np.ones(3, dtype=np.int64), columns)
    covariance = weight_covariance(exact, abundance, weight)
    found = np.std(draws, axis=0)
    expected = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    present = weight > 0
    # The standard deviation of n draws scatters by 1 / sqrt(2 n): five of them.
    assert np.all(np.abs(found / expected - 1)[present] < 5 / np.sqrt(400))
    assert np.all(expected[~present] > 0)
    assert np.allclose(covariance[0][:2, :2].sum(axis=1), 0, atol=1e-12)
