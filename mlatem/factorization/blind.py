# SPDX-License-Identifier: GPL-3.0-or-later
"""The likeliest phases of one thinning when nothing is known of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.factorization import multiplicative, vertices
from mlatem.factorization.pooled import Array, PooledData, expectation_maximization
from mlatem.factorization.scoring import ScoringResult, fit
from mlatem.model import SparseCounts

_START_FLOOR = 1e-3
_START_SWEEPS = 30
#: The valley of maximum likelihood is flat: walking it to its end moves only the start, radian.
_START_TOLERANCE = 1e-3


def too_many(n_phases: int, n_carried: int) -> InputError:
    """The error where there are not so many phases."""
    return InputError(
        f"n_phases is {n_phases}, but the data carry {n_carried}: give at most {n_carried}, or "
        "'auto'"
    )


def blind_start(
    data: PooledData, n_phases: int, n_carried: int, options: settings.Factorize
) -> tuple[Array, tuple[float, ...]]:
    """Weights of the vertices of one thinning, and the losses on the way there."""
    chosen = vertices.vertices_of_scores(data, n_phases)
    if len(chosen) < n_phases:
        raise too_many(n_phases, n_carried)
    abundance, weight = _start(data, chosen)
    likeliest = _likeliest(data, abundance, weight, options)
    corner = vertices.vertices_of_fit(data, likeliest.abundance, likeliest.weight)
    if len(corner) < n_phases:
        raise too_many(n_phases, n_carried)
    return corner, likeliest.loss


def _likeliest(
    data: PooledData, abundance: Array, weight: Array, options: settings.Factorize
) -> ScoringResult:
    """Maximum likelihood; by multiplicative updates where the scoring gets stuck."""
    result = fit(data, abundance, weight, max_rounds=options.max_rounds, tolerance=_START_TOLERANCE)
    if result.converged:
        return result
    regions = SparseCounts.from_dense(data.counts, np.arange(len(data.counts)))
    slow = multiplicative.fit(
        regions, data.columns, result.abundance, result.weight, max_cycles=options.max_rounds
    )
    reached = data.loss(data.model(slow.abundance.astype(np.float64), slow.weight))
    if not reached < result.loss[-1]:
        return result
    moved = slow.abundance.astype(np.float64)
    return ScoringResult(moved, slow.weight, (*result.loss, reached), slow.converged)


def _start(data: PooledData, chosen: NDArray[np.int64]) -> tuple[Array, Array]:
    """Weights of the chosen regions, floored so that no zero is locked, and a few sweeps."""
    n_phases, n_columns = len(chosen), len(data.columns)
    purest = PooledData(data.counts[chosen], data.n_pixels[chosen], data.columns)
    even = np.full((n_phases, n_columns), 1.0 / n_columns)
    _, weight = expectation_maximization(purest, np.diag(purest.totals), even, _START_SWEEPS)
    weight = np.maximum(weight, _START_FLOOR / n_columns)
    weight /= weight.sum(axis=1, keepdims=True)
    abundance = np.repeat(data.totals[:, None] / n_phases, n_phases, axis=1)
    abundance, _ = expectation_maximization(
        data, abundance, weight, _START_SWEEPS, hold_weight=True
    )
    return expectation_maximization(data, abundance, weight, _START_SWEEPS)
