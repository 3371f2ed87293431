# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.factorization import multiplicative
from mlatem.model import SparseCounts

N_PIXELS, N_PHASES, N_COLUMNS, N_ENERGY = 300, 3, 6, 60


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(2)
    columns = rng.dirichlet(np.full(N_ENERGY, 0.2), N_COLUMNS)
    weight = rng.dirichlet(np.full(N_COLUMNS, 0.4), N_PHASES)
    abundance = rng.dirichlet(np.full(N_PHASES, 0.3), N_PIXELS) * 200
    dense = rng.poisson(abundance @ weight @ columns)
    counts = SparseCounts.from_dense(dense, np.arange(N_PIXELS))
    return counts, columns, abundance, weight, dense


def dense_loss(dense, columns, abundance, weight):
    model = abundance.astype(float) @ weight @ columns + 1e-12
    return float(np.sum(model - dense * np.log(model)))


def test_an_update_is_the_dense_formula(case):
    counts, columns, abundance, weight, dense = case
    a, w = abundance + 1.0, 0.9 * weight + 0.1 / N_COLUMNS
    new_a, new_w = multiplicative.update(counts, columns, a, w)
    spectrum = w @ columns
    expected_a = a * ((dense / (a @ spectrum)) @ spectrum.T)
    ratio = dense / (expected_a @ spectrum)
    expected_w = w * (expected_a.T @ ratio @ columns.T) / expected_a.sum(axis=0)[:, None]
    assert np.allclose(new_a, expected_a, rtol=1e-5, atol=1e-6)
    assert np.allclose(new_w, expected_w, rtol=1e-5, atol=1e-8)


def test_accelerated_updates_fall_and_end_lower_than_many_plain_ones(case):
    counts, columns, _, _, dense = case
    rng = np.random.default_rng(4)
    start = rng.dirichlet(np.ones(N_COLUMNS), N_PHASES)
    even = np.full((N_PIXELS, N_PHASES), 200 / N_PHASES)
    result = multiplicative.fit(counts, columns, even, start, max_cycles=400)
    assert result.converged, result.reason
    rises = np.diff(result.loss)
    assert np.all(rises <= 1e-7 * abs(result.loss[0]))
    plain = (even, start)
    for _ in range(3 * len(result.loss)):
        plain = multiplicative.update(counts, columns, *plain)
    reached = dense_loss(dense, columns, result.abundance, result.weight)
    assert reached < dense_loss(dense, columns, *plain) + 0.1
    assert result.weight.sum(axis=1) == pytest.approx(1.0)


def test_zeros_of_the_start_are_not_locked(case):
    counts, columns, abundance, weight, _ = case
    wrong = np.roll(weight, 1, axis=1)
    wrong[wrong < np.median(wrong)] = 0.0
    lifted = multiplicative.fit(counts, columns, abundance, wrong, max_cycles=400)
    free = multiplicative.fit(counts, columns, abundance, weight, max_cycles=400)
    assert lifted.loss[-1] < free.loss[-1] + 20.0


def test_too_few_cycles_are_told(case):
    counts, columns, abundance, _, _ = case
    start = np.full((N_PHASES, N_COLUMNS), 1 / N_COLUMNS) + np.eye(N_PHASES, N_COLUMNS)
    result = multiplicative.fit(counts, columns, abundance, start, max_cycles=1)
    assert not result.converged
    assert "1 cycles" in result.reason


def test_shapes_and_values_are_checked(case):
    counts, columns, abundance, weight, _ = case
    for a, w in [(abundance[1:], weight), (abundance, weight[:2]), (abundance * np.nan, weight)]:
        with pytest.raises(InputError):
            multiplicative.fit(counts, columns, a, w)
    with pytest.raises(InputError, match="channels"):
        multiplicative.fit(counts, columns[:, 1:], abundance, weight)
