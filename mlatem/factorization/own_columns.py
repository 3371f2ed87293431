# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of phases whose columns depend on what they consist of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization import geometry
from mlatem.factorization.line_factors import fit_factors
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


def with_own_columns(
    thinnings: Sequence[PooledData],
    sparse: Sequence[SparseResult],
    dictionary: Dictionary,
    own_columns: OwnColumns,
    view: geometry.Geometry,
    options: settings.Factorize,
    known: Sequence[Known],
) -> tuple[list[SparseResult], ColumnParts, Array]:
    """Answers, phases in the order given, with columns that agree with their compositions.

    Columns depend on compositions only weakly: they are iterated on the first thinning, and all
    are fitted with the columns that come out. Factors on their parts start from the tables.

    Returns
    -------
    answers : list of SparseResult
        One for each thinning.
    parts : ColumnParts
    log_factor : ndarray of shape (n_factors,)
    """
    quantified = dictionary.quantified
    weights = np.stack([answer.weight for answer in sparse])
    weight = combined(weights, thinnings[0], known[0].n_named)
    data, constraints = thinnings[0], known[0].constraints(dictionary.columns)
    abundance = abundances_at(data, weight, options, constraints).abundance

    def agreeing(columns: Array, log_factor: Array | None) -> tuple[ColumnParts, Array]:
        """Parts for the counts in each column, and the columns."""
        shares = _shares((weight / columns.sum(axis=-1))[:, quantified])
        for _ in range(_OWN_ROUNDS):
            parts = own_columns(weight / columns.sum(axis=-1), abundance, data.n_pixels)
            columns = parts.columns(np.zeros(parts.n_factors) if log_factor is None else log_factor)
            before, shares = shares, _shares((weight / columns.sum(axis=-1))[:, quantified])
            if np.max(np.abs(shares - before)) < _OWN_TOLERANCE:
                break
        return parts, columns

    parts, columns = agreeing(dictionary.columns, None)
    log_factor = np.zeros(parts.n_factors)
    for _ in range(_OWN_ROUNDS):
        shares = _shares((weight / columns.sum(axis=-1))[:, quantified])
        if parts.n_factors:
            own = data.with_columns(columns)
            penalty = view.penalty(own, abundance, weight)
            joint = fit_factors(own, parts, abundance, weight, log_factor, penalty=penalty)
            weight, log_factor = joint.weight, joint.log_factor
            columns = parts.columns(log_factor)
        first = view.fit(data.with_columns(columns), weight, options, known[0].constraints(columns))
        weight, abundance = first.weight, first.abundance
        parts, columns = agreeing(columns, log_factor)
        found = _shares((weight / columns.sum(axis=-1))[:, quantified])
        if np.max(np.abs(found - shares)) < _OWN_TOLERANCE:
            break
    answers = [
        view.fit(data.with_columns(columns), start, options, prior.constraints(columns))
        for data, start, prior in zip(thinnings, [weight, *weights[1:]], known, strict=True)
    ]
    return answers, parts, log_factor


def _shares(amounts: Array) -> Array:
    shares: Array = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-300)
    return shares
