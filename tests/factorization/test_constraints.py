# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mlatem.factorization.constraints import EXACT, Constraints, NamedPhases, Statements
from mlatem.factorization.pooled import PooledData
from mlatem.factorization.scoring import fit

N_COLUMNS = 4


def statement(phase, above, below, low, high, sigma):
    return Statements(
        np.array([phase]),
        np.array([above], dtype=float),
        np.array([below], dtype=float),
        np.array([low], dtype=float),
        np.array([high], dtype=float),
        np.array([sigma], dtype=float),
    )


def known(statements, n_phases=2, absent=(), fixed=None, n_regions=1):
    allowed = np.ones((n_phases, N_COLUMNS), dtype=bool)
    for place in absent:
        allowed[place] = False
    weight = np.zeros((n_phases, N_COLUMNS))
    if fixed is not None:
        weight[0] = fixed
    return Constraints(
        allowed=allowed,
        told=~allowed,
        fixed=np.array([fixed is not None, *[False] * (n_phases - 1)]),
        weight=weight,
        present=np.ones((n_regions, n_phases), dtype=bool),
        statements=statements,
    )


FRACTION = ([1, 0, 0, 0], [1, 1, 1, 0])


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.1), (0.2, 0.4), (0.7, 0.8)])
def test_the_gradient_is_that_of_the_cost(low, high):
    weight = np.random.default_rng(1).dirichlet(np.ones(N_COLUMNS), 2)
    constraints = known(statement(1, *FRACTION, low, high, 0.02))
    numeric = approx_fprime(
        weight.ravel(), lambda flat: constraints.cost(flat.reshape(2, -1)), 1e-7
    )
    assert np.allclose(constraints.gradient(weight).ravel(), numeric, rtol=1e-4, atol=1e-3)


def test_the_cost_does_not_change_with_the_scale_of_a_phase():
    weight = np.random.default_rng(2).dirichlet(np.ones(N_COLUMNS), 2)
    constraints = known(statement(0, *FRACTION, 0.1, 0.1, 0.02))
    assert constraints.cost(3 * weight) == pytest.approx(constraints.cost(weight))


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.1), (0.1, 0.3), (0.9, 0.95)])
def test_a_start_agrees_with_what_is_known(low, high):
    weight = np.random.default_rng(3).dirichlet(np.ones(N_COLUMNS), 2)
    constraints = known(statement(0, *FRACTION, low, high, EXACT), absent=[(0, 2), (1, 3)])
    start = constraints.start(weight)
    ratio = start[0, 0] / start[0, :3].sum()
    assert low - 1e-4 < ratio < high + 1e-4
    assert start[0, 2] == 0 and start[1, 3] == 0
    assert np.allclose(start.sum(axis=1), 1) and np.all(start >= 0)


def example(seed=0):
    """Region spectra of two phases made of four columns."""
    rng = np.random.default_rng(seed)
    columns = rng.dirichlet(np.full(60, 0.2), N_COLUMNS)
    weight = np.array([[0.3, 0.2, 0.4, 0.1], [0.05, 0.55, 0.3, 0.1]])
    abundance = np.array([[9e4, 0], [5e4, 5e4], [0, 9e4], [2e4, 7e4]])
    counts = rng.poisson(abundance @ weight @ columns).astype(float)
    return PooledData(counts, np.full(4, 10), columns), abundance, weight


@pytest.mark.parametrize(
    ("low", "high", "ended"), [(0.25, 0.25, 0.25), (0.1, 0.2, 0.2), (0.5, 1.0, 0.5)]
)
def test_a_fit_stops_at_what_is_known(low, high, ended):
    data, abundance, weight = example()
    constraints = known(statement(0, *FRACTION, low, high, EXACT), n_regions=4)
    result = fit(data, abundance, constraints.start(weight), constraints=constraints)
    assert result.converged
    assert result.weight[0, 0] / result.weight[0, :3].sum() == pytest.approx(ended, abs=1e-5)


def test_a_soft_statement_weighs_against_the_counts():
    data, abundance, weight = example()
    found = []
    for sigma in (1e-4, 3e-3, 10.0):
        constraints = known(statement(0, *FRACTION, 0.5, 0.5, sigma), n_regions=4)
        constraints.present[[0, 2], [1, 0]] = False  # or the phases could be mixed at no cost
        result = fit(data, abundance, weight, constraints=constraints)
        found.append(result.weight[0, 0] / result.weight[0, :3].sum())
    assert found[0] == pytest.approx(0.5, abs=2e-3)
    assert found[2] < found[1] < found[0]
    assert found[2] == pytest.approx(weight[0, 0] / weight[0, :3].sum(), abs=0.01)


def test_fixed_phases_and_absent_columns_stay():
    data, abundance, weight = example()
    constraints = known(Statements.none(N_COLUMNS), absent=[(1, 3)], fixed=weight[0], n_regions=4)
    result = fit(data, abundance, constraints.start(weight), constraints=constraints)
    assert np.array_equal(result.weight[0], weight[0])
    assert result.weight[1, 3] == 0
    assert result.weight[1].sum() == pytest.approx(1.0)


def test_phases_stay_out_of_regions_where_they_are_not():
    data, abundance, weight = example()
    constraints = known(Statements.none(N_COLUMNS), n_regions=4)
    constraints.present[1, 0] = False
    result = fit(data, abundance * constraints.present, weight, constraints=constraints)
    assert result.abundance[1, 0] == 0
    assert result.abundance[0, 0] > 0


def test_what_is_known_of_one_phase_can_be_taken_away():
    statements = statement(1, *FRACTION, 0.1, 0.1, 0.02)
    allowed = np.ones((2, N_COLUMNS), dtype=bool)
    allowed[:, 3] = False
    named = NamedPhases(
        names=("a", "b"),
        allowed=allowed,
        told=~allowed,
        held=np.zeros_like(allowed),
        fixed=np.array([False, False]),
        coefficient=np.zeros((2, N_COLUMNS)),
        statements=statements,
        places=np.array([[True, False, True], [True, True, True]]),
    )
    assert named.n_statements(0) == 1 and named.n_statements(1) == 2
    rest = named.without(1)
    assert len(rest.statements) == 0
    assert rest.allowed[1].all() and not rest.allowed[0].all()
    assert rest.places.all()
    alone = named.only(1).constraints(3, np.ones(N_COLUMNS))
    assert alone.allowed[0].all() and not alone.allowed[1].all() and alone.allowed[2].all()
    assert len(alone.statements) == 1 and alone.present.all()


def test_statements_on_coefficients_hold_for_weights_of_any_columns():
    scale = np.array([1.0, 5.0, 0.2, 3.0])
    coefficient = np.array([[0.2, 0.3, 0.5, 1.0]])
    named = NamedPhases(
        names=("a",),
        allowed=np.ones((1, N_COLUMNS), bool),
        told=np.zeros((1, N_COLUMNS), bool),
        held=np.zeros((1, N_COLUMNS), bool),
        fixed=np.zeros(1, bool),
        coefficient=np.zeros((1, N_COLUMNS)),
        statements=statement(0, *FRACTION, 0.2, 0.2, EXACT),
    )
    constraints = named.constraints(1, scale)
    assert constraints.cost(coefficient * scale) < 1e-12
    assert constraints.cost(coefficient) > 1.0


def test_a_known_spectrum_stays_where_columns_change():
    rng = np.random.default_rng(4)
    shared = rng.dirichlet(np.full(50, 0.3), N_COLUMNS)
    own = np.stack([shared, shared * np.exp(-np.linspace(1, 0, 50))])
    coefficient = np.array([[0.0] * 4, [0.2, 0.3, 0.4, 0.1]])
    named = NamedPhases(
        names=("a", "b"),
        allowed=np.ones((2, N_COLUMNS), bool),
        told=np.ones((2, N_COLUMNS), bool),
        held=np.zeros((2, N_COLUMNS), bool),
        fixed=np.array([False, True]),
        coefficient=coefficient,
        statements=Statements.none(N_COLUMNS),
        spectrum=np.stack([np.zeros(50), 3 * coefficient[1] @ own[1]]),
    )
    found = named.fitted_to(own).coefficient
    np.testing.assert_allclose(found[1] / found[1].sum(), coefficient[1], atol=1e-9)
    assert not found[0].any()


def test_limits_are_not_negative_where_an_interval_is_kept():
    constraints = known(statement(1, *FRACTION, 0.2, 0.4, EXACT))
    rows = constraints.limits()
    assert rows.shape == (2, 2 * N_COLUMNS)
    for share, kept in ((0.1, [False, True]), (0.3, [True, True]), (0.5, [True, False])):
        weight = np.array([[0.25] * 4, [share, 0.0, 1 - share, 0.7]])
        assert np.array_equal(rows @ weight.ravel() >= 0, kept)
    assert len(known(statement(1, *FRACTION, 0.3, 0.3, EXACT)).limits()) == 0
    assert len(known(statement(1, *FRACTION, -np.inf, 0.3, EXACT)).limits()) == 1
