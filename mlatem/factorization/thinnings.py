# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer from those of all thinnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization import alignment
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.sparsity import SparseResult, fit_sparse

#: Thinnings whose answers differ by more than this are fitted again from the most central one.
_DISAGREEMENT_DEG = 3.0
#: Thinnings whose answers still differ by more than this have found different answers.
_DIFFERENT_DEG = 6.0


def reconciled(
    thinnings: Sequence[PooledData],
    answers: list[SparseResult],
    penalized: NDArray[np.bool_],
    options: settings.Factorize,
    constraints: Sequence[Constraints | None],
    n_named: int,
) -> list[SparseResult]:
    """Answers far from the most central one are fitted again from there; the better one stays."""
    columns = thinnings[0].columns
    spectra = [answer.weight @ columns for answer in answers]
    central = alignment.medoid(spectra, n_named)
    result = list(answers)
    for i, (data, known) in enumerate(zip(thinnings, constraints, strict=True)):
        away = alignment.distance(spectra[central], spectra[i], n_named)
        if np.degrees(away) < _DISAGREEMENT_DEG:
            continue
        other = fit_sparse(data, answers[central].weight, penalized, options, known)
        if other.score < answers[i].score:
            result[i] = other
    return result


def ordered_alike(
    thinnings: Sequence[PooledData], answers: Sequence[SparseResult], n_named: int
) -> list[SparseResult]:
    """Answers of all thinnings, matched, phases without a name by decreasing abundance."""
    columns = thinnings[0].columns
    spectra = [answer.weight @ columns for answer in answers]
    reference = answers[alignment.medoid(spectra, n_named)]
    free = np.argsort(-reference.abundance[:, n_named:].sum(axis=0), kind="stable")
    spectrum = reference.weight[np.concatenate([np.arange(n_named), n_named + free])] @ columns
    ordered = []
    for answer, found in zip(answers, spectra, strict=True):
        order = alignment.matched(spectrum, found, n_named)
        abundance, weight = answer.abundance[:, order], answer.weight[order]
        ordered.append(replace(answer, abundance=abundance, weight=weight))
    return ordered


def combined(weights: Array, data: PooledData, n_named: int) -> Array:
    """One answer from those of all thinnings, (n_phases, n_columns); rows add up to one.

    The elementwise median; where the thinnings found different answers, whose median is none of
    them, the most central one.
    """
    spectra = [data.spectrum(weight) for weight in weights]
    if np.degrees(alignment.spread(spectra).max()) > _DIFFERENT_DEG:
        central: Array = weights[alignment.medoid(spectra, n_named)]
        return central
    median = np.median(weights, axis=0)
    combined: Array = median / median.sum(axis=1, keepdims=True)
    return combined


def scatter(weights: Array) -> Array:
    """Covariance of each phase's weights between thinnings, (n_phases, n_columns, n_columns)."""
    n_thinnings = len(weights)
    if n_thinnings < 2:
        return np.zeros((*weights.shape[1:], weights.shape[2]))
    centred = weights - weights.mean(axis=0)
    scatter: Array = np.einsum("ski,skj->kij", centred, centred) / (n_thinnings - 1)
    return scatter
