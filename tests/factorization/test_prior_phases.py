# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases of which something is known, against specimens of known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.factorization.constraints import EXACT, NamedPhases, Statements
from mlatem.factorization.solver import solve_compositions
from mlatem.factorization.verdicts import decisions, verdicts
from mlatem.settings import Factorize

OPTIONS = Factorize(n_thinnings=2)
N_PHASES = 4


def named_phases(example, phases, *, zeros=True):
    """True zeros of some phases, named after their place in the truth."""
    n_columns = example.dictionary.n_columns
    allowed = np.ones((len(phases), n_columns), dtype=bool)
    if zeros:
        allowed[:, example.dictionary.quantified] = example.atomic[list(phases)] > 0
    held = allowed & example.dictionary.quantified & zeros
    return NamedPhases(
        names=tuple(f"phase {k}" for k in phases),
        allowed=allowed,
        told=np.ones_like(allowed),
        held=held,
        fixed=np.zeros(len(phases), dtype=bool),
        coefficient=np.zeros((len(phases), n_columns)),
        statements=Statements.none(n_columns),
    )


def true_coefficient(example):
    columns = example.dictionary.columns
    return np.stack([np.linalg.lstsq(columns.T, s, rcond=None)[0] for s in example.spectrum])


def solve(four_phases, named, n_phases=N_PHASES):
    example, regions = four_phases
    return solve_compositions(regions, example.dictionary, n_phases, options=OPTIONS, named=named)


@pytest.fixture(scope="module")
def blind(four_phases):
    return solve(four_phases, None)


@pytest.fixture(scope="module")
def with_zeros(four_phases):
    return solve(four_phases, named_phases(four_phases[0], range(N_PHASES)))


def test_every_name_finds_its_phase(four_phases, with_zeros):
    _, _, order = four_phases[0].errors(with_zeros.coefficient)
    assert [with_zeros.phase_names[k] for k in order] == [f"phase {k}" for k in range(N_PHASES)]


def test_true_zeros_are_kept_and_the_answer_is_no_worse(four_phases, blind, with_zeros):
    example = four_phases[0]
    angle, atomic, order = example.errors(with_zeros.coefficient)
    angle_blind, atomic_blind, _ = example.errors(blind.coefficient)
    elements = with_zeros.coefficient[order][:, example.dictionary.quantified]
    assert np.all(elements[example.atomic == 0] == 0)
    assert angle < 1.2 * angle_blind
    assert atomic < 1.2 * atomic_blind


def test_a_true_prior_costs_nothing(four_phases, with_zeros):
    assert np.all(with_zeros.prior_deviance <= with_zeros.prior_limit)
    found = [v for v in verdicts(with_zeros) if v.name.startswith("prior of")]
    assert len(found) == N_PHASES
    assert {v.status for v in found} == {"good"}
    assert "is phase 0" in decisions(with_zeros, OPTIONS)[0].choice


@pytest.mark.parametrize("order", [(3, 1, 0, 2), (2, 3, 1, 0)])
def test_the_order_of_the_names_changes_nothing(four_phases, with_zeros, order):
    other = solve(four_phases, named_phases(four_phases[0], order))
    assert other.phase_names == with_zeros.phase_names
    assert np.allclose(other.coefficient, with_zeros.coefficient, rtol=1e-6, atol=1e-12)


def test_a_phase_alone_is_found_among_the_others(four_phases):
    example = four_phases[0]
    for k in range(N_PHASES):
        solution = solve(four_phases, named_phases(example, [k]))
        _, _, order = example.errors(solution.coefficient)
        assert solution.phase_names[order[k]] == f"phase {k}"
        assert sum(name != "" for name in solution.phase_names) == 1
        assert np.count_nonzero(np.isfinite(solution.prior_deviance)) == 1


def test_a_known_spectrum_stays_without_uncertainty(four_phases):
    example = four_phases[0]
    named = named_phases(example, [2], zeros=False)
    named = replace(
        named, fixed=np.array([True]), coefficient=7 * np.maximum(true_coefficient(example)[[2]], 0)
    )
    solution = solve(four_phases, named)
    place = solution.phase_names.index("phase 2")
    spectrum = solution.coefficient[place] @ example.dictionary.columns
    assert np.allclose(spectrum, example.spectrum[2], rtol=1e-6, atol=1e-9)
    assert np.all(solution.coefficient_covariance[place] == 0)
    assert solution.prior_deviance[place] < solution.prior_limit[place]


def with_fraction(example, phase, element, fraction):
    """An atomic fraction as a statement on the coefficients of the only named phase."""
    dictionary = example.dictionary
    numerator = np.array([[name == element for name in dictionary.names]], dtype=float)
    return replace(
        named_phases(example, [phase], zeros=False),
        statements=Statements(
            np.zeros(1, np.int64),
            numerator,
            dictionary.quantified[None].astype(float),
            np.array([fraction]),
            np.array([fraction]),
            np.array([EXACT]),
        ),
    )


def fraction_of(example, coefficient, element):
    quantified = coefficient[example.dictionary.quantified].sum()
    return coefficient[example.dictionary.names.index(element)] / quantified


def test_an_exact_value_is_kept(four_phases):
    example = four_phases[0]
    solution = solve(four_phases, with_fraction(example, 1, "Mg", 0.214))
    place = solution.phase_names.index("phase 1")
    found = fraction_of(example, solution.coefficient[place], "Mg")
    assert found == pytest.approx(0.214, abs=1e-5)
    assert solution.prior_deviance[place] < solution.prior_limit[place]


def test_a_prior_that_the_data_contradict_is_kept_and_its_cost_told(four_phases):
    example = four_phases[0]
    solution = solve(four_phases, with_fraction(example, 1, "O", 0.35))
    place = solution.phase_names.index("phase 1")
    found = fraction_of(example, solution.coefficient[place], "O")
    assert found == pytest.approx(0.35, abs=1e-5)
    assert solution.prior_deviance[place] > 5 * solution.prior_limit[place]
    warned = [v for v in verdicts(solution) if v.status == "warning" and "prior" in v.name]
    assert len(warned) == 1 and "contradict" in warned[0].message


def test_more_names_than_phases(four_phases):
    named = named_phases(four_phases[0], range(N_PHASES))
    with pytest.raises(InputError, match=r"name 4 phases .*phase 3.*n_phases is 3"):
        solve(four_phases, named, n_phases=3)


def test_a_phase_that_the_data_do_not_hold_is_named(four_phases):
    example = four_phases[0]
    named = named_phases(example, [0], zeros=False)
    foreign = np.zeros((1, example.dictionary.n_columns))
    foreign[0, example.dictionary.names.index("Ca")] = 1.0
    named = replace(named, names=("foreign",), fixed=np.array([True]), coefficient=foreign)
    try:
        solution = solve(four_phases, named)
    except InputError as error:
        assert "nothing of phase foreign" in str(error)
    else:
        place = solution.phase_names.index("foreign")
        assert solution.prior_deviance[place] > solution.prior_limit[place]
