# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.factorization.alignment import distance
from mlatem.factorization.constraints import Constraints, Statements
from mlatem.factorization.mixing import (
    LIMIT_NATS,
    farthest_mixture,
    fitted_abundances,
    mixed,
    mixing_intervals,
    mixing_turns_deg,
)
from mlatem.factorization.pooled import PooledData, expectation_maximization


def two_phases(share, *, counts=20000, n_regions=24, seed=0):
    """Regions of a matrix (columns 0 and 1) with a phase of columns 1 and 2, of given share."""
    rng = np.random.default_rng(seed)
    energy = np.arange(60)
    columns = np.exp(-0.5 * ((energy - np.array([[12], [30], [48]])) / 2.5) ** 2)
    columns /= columns.sum(axis=1, keepdims=True)
    weight = np.array([[0.6, 0.4, 0.0], [0.0, 0.3, 0.7]])
    fraction = np.linspace(0, share, n_regions)
    abundance = counts * np.stack([1 - fraction, fraction], axis=1)
    data = PooledData(
        rng.poisson(abundance @ weight @ columns).astype(float),
        np.ones(n_regions, dtype=np.int64),
        columns,
    )
    return data, weight, abundance


def test_mixing_is_linear_and_never_negative():
    weight = np.array([[0.6, 0.4, 0.0], [0.0, 0.3, 0.7]])
    assert mixed(weight, 0, 1, 0.5) == pytest.approx((weight[0] + 0.5 * weight[1]) / 1.5)
    taken = mixed(weight, 0, 1, -0.5)
    assert taken == pytest.approx(np.array([0.6, 0.25, 0.0]) / 0.85)
    assert mixed(weight, 0, 0, -1.0) == pytest.approx(weight[0])


def test_abundances_agree_with_multiplicative_updates():
    data, weight, _ = two_phases(0.5, n_regions=6)
    even = np.repeat(data.totals[:, None] / 2, 2, axis=1)
    slow, _ = expectation_maximization(data, even, weight, 5000, hold_weight=True)
    found, loss = fitted_abundances(data, data.spectrum(weight), even)
    assert loss == pytest.approx(data.loss(data.model(slow, weight)), abs=0.01)
    assert np.allclose(found, slow, atol=1.0)


def test_the_farthest_mixture_is_at_an_end_and_costs_little():
    data, weight, abundance = two_phases(0.4)
    found = mixing_intervals(data, weight, abundance)
    turns = mixing_turns_deg(data, weight, found)
    far = farthest_mixture(data, weight, found, 1)
    assert far[0] == pytest.approx(weight[0])
    assert far[1] == pytest.approx(mixed(weight, 1, 0, found.high[1, 0]))
    turned = distance(data.spectrum(weight), data.spectrum(far))
    assert np.degrees(turned) == pytest.approx(turns[1], rel=1e-6)
    best = fitted_abundances(data, data.spectrum(weight), abundance)[1]
    assert fitted_abundances(data, data.spectrum(far), abundance)[1] - best < LIMIT_NATS


def test_an_embedded_phase_may_hold_any_amount_of_its_matrix_but_cannot_lack_more():
    data, weight, abundance = two_phases(0.5)
    found = mixing_intervals(data, weight, abundance)
    assert found.high[1, 0] == pytest.approx(1.0)
    assert -0.1 < found.low[1, 0] <= 0
    # Pure regions of the matrix leave no room for the phase in it.
    assert found.high[0, 1] < 0.02
    assert np.all(np.diag(found.low) == 0) and np.all(np.diag(found.high) == 0)


def test_a_phase_with_pure_regions_is_bounded_on_the_side_of_its_matrix():
    data, weight, abundance = two_phases(1.0)
    found = mixing_intervals(data, weight, abundance)
    assert found.high[1, 0] < 0.05


def test_the_ends_cost_two_nats():
    data, weight, abundance = two_phases(1.0)
    found = mixing_intervals(data, weight, abundance)
    least = fitted_abundances(data, data.spectrum(weight), abundance)[1]
    changed = weight.copy()
    changed[1] = mixed(weight, 1, 0, found.high[1, 0])
    cost = fitted_abundances(data, data.spectrum(changed), abundance)[1] - least
    assert 0.8 * LIMIT_NATS < cost < 1.05 * LIMIT_NATS


def test_intervals_narrow_with_the_counts():
    widths = []
    for counts in (2000, 200000):
        found = mixing_intervals(*two_phases(1.0, counts=counts))
        widths.append(found.high[1, 0] - found.low[1, 0])
    assert widths[1] < 0.4 * widths[0]


def known(abundance, told, statements=None):
    """Columns that phases are told to lack, and statements on the others."""
    return Constraints(
        allowed=~told,
        told=told,
        fixed=np.zeros(2, dtype=bool),
        weight=np.zeros((2, 3)),
        present=np.ones(abundance.shape, dtype=bool),
        statements=statements or Statements.none(3),
    )


def test_a_phase_that_is_told_to_lack_an_element_cannot_take_it_from_its_matrix():
    data, weight, abundance = two_phases(0.5)
    told = np.zeros((2, 3), dtype=bool)
    told[1, 0] = True
    assert mixing_intervals(data, weight, abundance, known(abundance, told)).high[1, 0] == 0.0


def test_a_known_ratio_bounds_mixing_by_two_of_its_standard_deviations():
    data, weight, abundance = two_phases(0.5)
    ratio, sigma = 0.3 / 0.7, 0.01
    told = Statements(
        phase=np.array([1]),
        numerator=np.array([[0.0, 1.0, 0.0]]),
        denominator=np.array([[0.0, 0.0, 1.0]]),
        low=np.array([ratio]),
        high=np.array([ratio]),
        sigma=np.array([sigma]),
    )
    nothing = np.zeros((2, 3), dtype=bool)
    found = mixing_intervals(data, weight, abundance, known(abundance, nothing, told))
    after = mixed(weight, 1, 0, found.high[1, 0])
    assert 1.7 * sigma < after[1] / after[2] - ratio < 2.05 * sigma


@pytest.mark.parametrize(("share", "least", "most"), [(0.5, 20.0, 50.0), (1.0, 0.0, 3.0)])
def test_mixing_turns_a_phase_that_is_nowhere_pure(share, least, most):
    data, weight, abundance = two_phases(share)
    intervals = mixing_intervals(data, weight, abundance)
    after = weight.copy()
    after[1] = mixed(weight, 1, 0, intervals.high[1, 0])
    turned = mixing_turns_deg(data, weight, intervals)
    angle = np.degrees(distance(data.spectrum(weight), data.spectrum(after)))
    assert turned[1] == pytest.approx(angle, rel=0.01, abs=0.5)
    assert least < turned[1] < most
