# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements about the composition of a phase, and whether they can all be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from mlatem.errors import ConfigError
from mlatem.model.priors import PhasePrior, Priors, described

#: Values are rounded: half a percent of the whole is no contradiction.
_ROUNDING = 0.0025
#: A value with a standard deviation counts as a range of so many of them to either side.
_N_SIGMA = 3.0
_LEAST = 1e-4
_REST = ""
#: In words about phases: no phase, but all of them.
OF_ALL = ""


@dataclass(frozen=True)
class Statement:
    """Sums of atomic fractions that are not positive: ``rows @ x <= limit``."""

    text: str
    """In the user's words."""
    rows: tuple[Mapping[str, float], ...]
    """Factors by element."""
    limits: tuple[float, ...]


def statements(prior: PhasePrior) -> tuple[Statement, ...]:
    """All that a prior says of a composition, in words and as inequalities."""
    found = [Statement(f"absent {e}", ({e: 1.0},), (0.0,)) for e in prior.absent]
    found += [Statement(f"present {e}", ({e: -1.0},), (-_LEAST,)) for e in prior.present]
    for element, amount in prior.composition.items():
        low, high = _range(amount.value, amount.sigma, amount.min, amount.max, 0.01, _ROUNDING)
        text = f"composition {element} {_words(amount, ' at%')}"
        rows = ({element: 1.0}, {element: -1.0})
        found.append(Statement(text, rows, (min(high, 1.0), -max(low, 0.0))))
    for name, ratio in prior.ratios.items():
        above, below = name.split("/")
        low, high = _range(ratio.value, ratio.sigma, ratio.min, ratio.max, 1.0, 0.0)
        lines: list[Mapping[str, float]] = [{above: -1.0, below: max(low, 0.0)}]
        if np.isfinite(high):
            lines.append({above: 1.0, below: -high})
        lines += [{above: -1.0}, {below: -1.0}]
        limits = (*[0.0] * (len(lines) - 2), -_LEAST / 100, -_LEAST / 100)
        found.append(Statement(f"ratio {name} {_words(ratio, '')}", tuple(lines), limits))
    return tuple(found)


def in_words(priors: Priors) -> dict[str, list[str]]:
    """All that is said of each phase, and under `OF_ALL` what is said of all of them."""
    of_all = {} if priors.geometry is None else {OF_ALL: [f"geometry {priors.geometry}"]}
    return of_all | {
        name: [*(statement.text for statement in statements(prior)), *described(prior)]
        for name, prior in priors.phases.items()
    }


def agreed_geometry(priors: Priors | None, given: str, where: str) -> str:
    """The reading of the map that priors tell, or else the one that is given elsewhere.

    Parameters
    ----------
    priors : Priors, optional
    given : str
        "embedded", "contiguous", or "auto", which says nothing.
    where : str
        What gives it, for the message.

    Raises
    ------
    ConfigError
        If both say something, and not the same.
    """
    told = None if priors is None else priors.geometry
    if told is not None and given not in ("auto", told):
        raise ConfigError(
            f"priors say geometry {told}, but {where} says {given}: correct or remove one of them"
        )
    return told or given


def check_statements(phase: str, prior: PhasePrior, elements: Sequence[str] | None = None) -> None:
    """Find out whether a composition exists that agrees with all statements.

    Parameters
    ----------
    phase : str
    prior : PhasePrior
    elements : sequence of str, optional
        All elements of the specimen; without them there may be others.

    Raises
    ------
    ConfigError
        Naming statements that contradict each other: all but one of them could be true.
    """
    told = list(statements(prior))
    if len(told) == 0:
        return
    names = [*dict.fromkeys((*prior.elements, *(elements or (_REST,))))]
    if _are_possible(told, names):
        return
    for statement in tuple(told):
        others = [other for other in told if other is not statement]
        if not _are_possible(others, names):
            told = others
    words = " and ".join(statement.text for statement in told)
    against = "each other" if len(told) > 1 else f"the elements {', '.join(names)}"
    raise ConfigError(
        f"phase {phase!r}: {words} contradict {against}; a composition adds up to 100 at%. Correct "
        "or remove one of them"
    )


def violated(prior: PhasePrior, composition: Mapping[str, float]) -> tuple[str, ...]:
    """The statements, in words, that given atomic fractions contradict."""
    return tuple(
        statement.text
        for statement in statements(prior)
        if any(
            sum(factor * composition.get(element, 0.0) for element, factor in row.items())
            > limit + (_ROUNDING if limit >= 0 else min(_ROUNDING, -limit / 2))
            for row, limit in zip(statement.rows, statement.limits, strict=True)
        )
    )


def _are_possible(told: Sequence[Statement], names: Sequence[str]) -> bool:
    """Whether non-negative fractions that add up to one obey all statements."""
    place = {name: i for i, name in enumerate(names)}
    matrix, limits = [], []
    for statement in told:
        for row, limit in zip(statement.rows, statement.limits, strict=True):
            line = np.zeros(len(names))
            for element, factor in row.items():
                line[place[element]] = factor
            matrix.append(line)
            limits.append(limit)
    result = linprog(
        np.zeros(len(names)),
        A_ub=np.array(matrix).reshape(-1, len(names)),
        b_ub=np.array(limits),
        A_eq=np.ones((1, len(names))),
        b_eq=np.ones(1),
        method="highs",
    )
    return bool(result.status != 2)


def _range(
    value: float | None,
    sigma: float | None,
    low: float | None,
    high: float | None,
    unit: float,
    rounding: float,
) -> tuple[float, float]:
    """Least and largest possible value."""
    bottom = -np.inf if low is None else unit * low
    top = np.inf if high is None else unit * high
    if value is None:
        return bottom, top
    room = unit * _N_SIGMA * sigma if sigma else rounding
    return max(bottom, unit * value - room), min(top, unit * value + room)


def _words(told: object, unit: str) -> str:
    value, sigma, low, high = (getattr(told, n) for n in ("value", "sigma", "min", "max"))
    words = []
    if value is not None:
        words.append(f"= {value:g}" + (f" +- {sigma:g}" if sigma else "") + unit)
    if low is not None:
        words.append(f"at least {low:g}{unit}")
    if high is not None:
        words.append(f"at most {high:g}{unit}")
    return ", ".join(words)
