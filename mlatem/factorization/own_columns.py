# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of phases whose columns depend on what they consist of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization import geometry
from mlatem.factorization.line_factors import fit_factors
from mlatem.factorization.mixing import mixed
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.prior_fit import Known
from mlatem.factorization.sparsity import SparseResult, abundances_at
from mlatem.factorization.thinnings import combined
from mlatem.model import Dictionary
from mlatem.model.column_parts import ColumnParts

#: Parts of the columns of every phase from the coefficients of the phases, (n_phases, n_columns),
#: their counts in the regions, (n_regions, n_phases), and the pixels of the regions, (n_regions,):
#: what a phase emits may depend on what it consists of, and on how much of it there is.
OwnColumns = Callable[[Array, Array, NDArray[np.int64]], ColumnParts]

#: Compositions and the columns that depend on them are iterated until no share of the quantified
#: columns changes by more than this, or the rounds are used up.
_OWN_TOLERANCE = 1e-3
_OWN_ROUNDS = 6
#: Where the counts of a column that holds more than this share of a phase are off by more than this
#: factor, as a logarithm, the columns of a mean may have led astray.
_USED, _FAR = 0.01, 0.2
#: True zeros of a phase cost less, nats.
_CHEAP_NATS = 7.0


def with_own_columns(
    thinnings: Sequence[PooledData],
    sparse: Sequence[SparseResult],
    dictionary: Dictionary,
    own_columns: OwnColumns,
    settled: geometry.Settled,
    options: settings.Factorize,
    known: Sequence[Known],
) -> tuple[list[SparseResult], ColumnParts, Array]:
    """Answers, phases in the order given, with columns that agree with their compositions.

    Columns depend on compositions only weakly: they are iterated on the first thinning, and all
    are fitted with the columns that come out. Factors on their parts start from the tables.

    Parameters
    ----------
    thinnings : sequence of PooledData
        With the columns of the dictionary.
    sparse : sequence of SparseResult
        Answers with these columns, one for each thinning.
    dictionary : Dictionary
    own_columns : callable
    settled : Settled
        How the phases lie.
    options : settings.Factorize
    known : sequence of Known

    Returns
    -------
    answers : list of SparseResult
        One for each thinning.
    parts : ColumnParts
    log_factor : ndarray of shape (n_factors,)

    Notes
    -----
    A phase that holds some of its matrix absorbs like the mixture, so that with its columns all
    of the matrix cannot be taken out of it step by step: mixture and columns hold each other. Where
    phases absorb very differently, the answer without the matrix is tried too, and taken if several
    more elements vanish for next to nothing.
    """
    view = settled.geometry
    weights = np.stack([answer.weight for answer in sparse])
    agreement = _Agreement(thinnings[0], dictionary, own_columns, view, options, known[0])
    best = agreement.reached(combined(weights, thinnings[0], known[0].n_named))
    starts = [best.answer.weight, *weights[1:]]
    if agreement.is_far(best):
        for start in agreement.starts_without_matrix(best):
            found = agreement.reached(start)
            if agreement.lacks_more(found, best):
                best, starts = found, [found.answer.weight] * len(thinnings)
    columns = best.parts.columns(best.log_factor)
    answers = [
        view.fit(data.with_columns(columns), start, options, prior.constraints(columns))
        for data, start, prior in zip(thinnings, starts, known, strict=True)
    ]
    return answers, best.parts, best.log_factor


@dataclass(frozen=True)
class _Agreed:
    """Compositions and columns that agree with each other."""

    answer: SparseResult
    parts: ColumnParts
    log_factor: Array

    cost: float
    """Negative log-likelihood, with what the factors cost, nats."""


@dataclass(frozen=True)
class _Agreement:
    """Iterates compositions and columns on one thinning."""

    data: PooledData
    dictionary: Dictionary
    own_columns: OwnColumns
    view: geometry.Geometry
    options: settings.Factorize
    known: Known

    def reached(self, weight: Array) -> _Agreed:
        """From weights with the columns of the dictionary."""
        data, constraints = self.data, self.known.constraints(self.dictionary.columns)
        abundance = abundances_at(data, weight, self.options, constraints).abundance
        parts, columns = self._agreeing(weight, abundance, self.dictionary.columns, None)
        log_factor = np.zeros(parts.n_factors)
        for _ in range(_OWN_ROUNDS):
            shares = self._fractions(weight, columns)
            if parts.n_factors:
                own = data.with_columns(columns)
                penalty = self.view.penalty(own, abundance, weight)
                joint = fit_factors(own, parts, abundance, weight, log_factor, penalty=penalty)
                weight, log_factor = joint.weight, joint.log_factor
                columns = parts.columns(log_factor)
            answer = self.view.fit(
                data.with_columns(columns), weight, self.options, self.known.constraints(columns)
            )
            weight, abundance = answer.weight, answer.abundance
            parts, columns = self._agreeing(weight, abundance, columns, log_factor)
            if np.max(np.abs(self._fractions(weight, columns) - shares)) < _OWN_TOLERANCE:
                break
        own = data.with_columns(columns)
        cost = own.loss(own.model(abundance, weight))
        if parts.n_factors:
            precise = np.linalg.solve(parts.log_covariance, log_factor)
            cost += 0.5 * float(log_factor @ precise)
        return _Agreed(answer, parts, log_factor, cost)

    def is_far(self, agreed: _Agreed) -> bool:
        """Whether a phase emits far more or less than the dictionary has it, for its tables."""
        own = agreed.parts.columns(np.zeros(agreed.parts.n_factors)).sum(axis=-1)
        mean = self.dictionary.columns.sum(axis=-1)
        used = (agreed.answer.weight > _USED) & self.dictionary.quantified
        return bool(np.max(np.abs(np.log(own / mean)), where=used, initial=0.0) > _FAR)

    def starts_without_matrix(self, agreed: _Agreed) -> Iterator[Array]:
        """Weights in which an embedded phase has lost all that it can of a phase around it."""
        weight, columns = agreed.answer.weight, agreed.parts.columns(agreed.log_factor)
        spectrum = self.data.with_columns(columns).spectrum(weight)
        embedded = ~self.view.is_alone[self.view.order(spectrum)]
        inside = geometry.around(agreed.answer.abundance) & embedded[:, None]
        for phase, matrix in zip(*np.nonzero(inside), strict=True):
            held = (weight[matrix] > _USED) & self.dictionary.quantified
            if not held.any():
                continue
            amount = float(np.min(weight[phase, held] / weight[matrix, held]))
            start = weight.copy()
            start[phase] = mixed(weight, phase, matrix, -amount)
            yield start

    def lacks_more(self, found: _Agreed, best: _Agreed) -> bool:
        """Whether several more elements of what is around vanish, for next to nothing."""
        lacking = [
            geometry.n_lacking(
                self._fractions(a.answer.weight, a.parts.columns(a.log_factor)), a.answer.abundance
            ).sum()
            for a in (found, best)
        ]
        is_cheap = found.cost - best.cost < _CHEAP_NATS
        return bool(is_cheap and lacking[0] >= lacking[1] + geometry.COINCIDENCE)

    def _agreeing(
        self, weight: Array, abundance: Array, columns: Array, log_factor: Array | None
    ) -> tuple[ColumnParts, Array]:
        """Parts for the counts in each column, and the columns."""
        shares = self._fractions(weight, columns)
        for _ in range(_OWN_ROUNDS):
            parts = self.own_columns(weight / columns.sum(axis=-1), abundance, self.data.n_pixels)
            columns = parts.columns(np.zeros(parts.n_factors) if log_factor is None else log_factor)
            before, shares = shares, self._fractions(weight, columns)
            if np.max(np.abs(shares - before)) < _OWN_TOLERANCE:
                break
        return parts, columns

    def _fractions(self, weight: Array, columns: Array) -> Array:
        """Shares of the quantified columns, shape (n_phases, n_quantified)."""
        return _shares((weight / columns.sum(axis=-1))[:, self.dictionary.quantified])


def _shares(amounts: Array) -> Array:
    shares: Array = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-300)
    return shares
