# SPDX-License-Identifier: GPL-3.0-or-later
"""The sparse corner of what the likelihood leaves undetermined.

The likelihood hardly changes when phases are mixed into each other. Among the mixtures that explain
the data equally well, the one is taken in which phases lack elements, and are absent from regions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    expectation_maximization,
    information,
    spectral_angle,
)
from mlatem.factorization.scoring import Penalty, ScoringResult, fit

#: Steps with the penalty on abundances alone, before the one on weights joins.
_STEPS_OF_ABUNDANCE = 3
_MAX_STEPS = 30
#: The linearized penalty is renewed until the answer turns by less than this, radian (0.06 deg).
_STEADY = 1e-3
#: A phase counts as absent from a region below this many standard deviations.
_ABSENT = 2.5
_START_FLOOR = 1e-4
_START_SWEEPS = 20


@dataclass(frozen=True)
class SparseResult:
    """A penalized fit of one thinning."""

    abundance: Array
    """Shape (n_regions, n_phases); counts."""
    weight: Array
    """Shape (n_phases, n_columns); rows add up to one."""
    loss: tuple[float, ...]
    """Negative log-likelihood without the penalty after each round, nats."""
    score: float
    """Negative log-likelihood plus the same penalty on everything: compares answers, nats."""
    converged: bool


def abundances_at(
    data: PooledData,
    weight: Array,
    options: settings.Factorize,
    constraints: Constraints | None = None,
) -> ScoringResult:
    """Abundances of maximum likelihood at fixed weights."""
    even = np.repeat(data.totals[:, None] / len(weight), len(weight), axis=1)
    if constraints is not None:
        even = even * constraints.present
    abundance, _ = expectation_maximization(data, even, weight, _START_SWEEPS, hold_weight=True)
    return fit(
        data,
        abundance,
        weight,
        constraints=constraints,
        hold_weight=True,
        max_rounds=options.max_rounds,
        tolerance=options.tolerance,
    )


def fit_sparse(
    data: PooledData,
    weight: Array,
    penalized: NDArray[np.bool_],
    options: settings.Factorize,
    constraints: Constraints | None = None,
) -> SparseResult:
    """Fit with a scale-free penalty on the abundances of absent phases and on the weights.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
        Start; rows add up to one.
    penalized : ndarray of shape (n_columns,) or (n_phases, n_columns), bool
        Columns whose weights are penalized: elements, not the continuum.
    options : settings.Factorize
    constraints : Constraints, optional
        What is known of the phases; the penalty leaves out the weights that it speaks of.

    Notes
    -----
    The penalty is log(1 + value / se) for each value, with se its conditional standard error: no
    strength to choose, and a value far above its error is hardly pulled. It is minimized by
    majorization, a linear penalty of slope 1 / (se + value) that is renewed (Candes, Wakin & Boyd
    2008, J. Fourier Anal. Appl. 14, 877). The abundances of a phase weigh as much as the share of
    the area from which it is absent: nothing pulls on a matrix that is everywhere.
    """
    weight = np.maximum(weight, _START_FLOOR / weight.shape[1])
    weight = weight / weight.sum(axis=1, keepdims=True)
    if constraints is not None:
        weight = constraints.start(weight, exact_only=True)
        penalized = penalized & ~constraints.told
    abundance = abundances_at(data, weight, options, constraints).abundance
    losses: list[float] = []
    steady = False
    for step in range(_MAX_STEPS):
        columns = penalized & (step >= _STEPS_OF_ABUNDANCE)
        result = fit(
            data,
            abundance,
            weight,
            penalty=penalty_at(data, abundance, weight, columns),
            constraints=constraints,
            max_rounds=options.max_rounds,
            tolerance=options.tolerance if steady else max(options.tolerance, 0.1 * _STEADY),
        )
        turned = spectral_angle(data.spectrum(weight), data.spectrum(result.weight)).max()
        abundance, weight = result.abundance, result.weight
        losses.extend(result.loss[1:])
        if steady:
            break
        steady = step > _STEPS_OF_ABUNDANCE and turned < _STEADY
    score = _score(data, abundance, weight, penalized)
    if constraints is not None:
        score += constraints.cost(weight)
    return SparseResult(abundance, weight, tuple(losses), score, steady and result.converged)


def penalty_at(
    data: PooledData, abundance: Array, weight: Array, columns: NDArray[np.bool_]
) -> Penalty:
    """The linear penalty that touches the logarithmic one at the present values."""
    error_a, error_w = _conditional_errors(data, abundance, weight)
    absent = (abundance < _ABSENT * error_a) * data.n_pixels[:, None]
    share = absent.sum(axis=0) / data.n_pixels.sum()
    return Penalty(share / (abundance + error_a), columns / (weight + error_w))


def _conditional_errors(data: PooledData, abundance: Array, weight: Array) -> tuple[Array, Array]:
    """Standard errors of each value, all others known."""
    blocks = information(data, abundance, weight, data.model(abundance, weight))
    of_abundance = np.diagonal(blocks.abundance, axis1=1, axis2=2)
    of_weight = np.diag(blocks.weight).reshape(weight.shape)
    tiny = np.finfo(float).tiny
    return 1.0 / np.sqrt(np.maximum(of_abundance, tiny)), 1.0 / np.sqrt(np.maximum(of_weight, tiny))


def _score(
    data: PooledData, abundance: Array, weight: Array, penalized: NDArray[np.bool_]
) -> float:
    error_a, error_w = _conditional_errors(data, abundance, weight)
    penalty = np.log1p(abundance / error_a).sum() + np.sum(np.log1p(weight / error_w) * penalized)
    return data.loss(data.model(abundance, weight)) + float(penalty)
