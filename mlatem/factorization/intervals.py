# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pooled counts allow beside the compositions that were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.covariance import without_abundances
from mlatem.factorization.pooled import Array, PooledData, gradients, information
from mlatem.model import Leeway

#: Values below this many conditional standard errors count as zero.
_ZERO = 0.3


def composition_leeway(
    thinnings: Sequence[PooledData],
    abundances: Sequence[Array],
    weights: Array,
    *,
    constraints: Constraints | None = None,
) -> Leeway:
    """Leeway of the weights of all phases.

    Parameters
    ----------
    thinnings : sequence of PooledData
    abundances : sequence of ndarray of shape (n_regions, n_phases)
        Of maximum likelihood at the weights of each thinning.
    weights : ndarray of shape (n_thinnings, n_phases, n_columns)
        Rows add up to one.
    constraints : Constraints, optional
        What is known of the phases: known weights have no leeway, statements count as data.

    Returns
    -------
    leeway : Leeway
        Of the weights: see `in_coefficients`.

    Notes
    -----
    Information and gradient are those of the likelihood alone, abundances eliminated by the Schur
    complement. C, the inverse of the information on the weights that are not zero while the sums
    of the phases stay, gives the covariance, and -C g the step to the likeliest weights: what
    penalties have pulled is taken back, and what is so small that it counts as zero, taken away. A
    weight at zero is freed alone: its variance is the inverse of the information that is left when
    all others follow it.
    """
    found = [
        _of_thinning(data, abundance, weight, constraints)
        for data, abundance, weight in zip(thinnings, abundances, weights, strict=True)
    ]
    n_freed = max(1, *(len(one.best) for one in found))
    direction = np.zeros((len(found), n_freed, *weights.shape[1:]))
    variance, best = np.ones((len(found), n_freed)), np.zeros((len(found), n_freed))
    for t, one in enumerate(found):
        own = slice(len(one.best))
        direction[t, own], variance[t, own], best[t, own] = one.direction, one.variance, one.best
    return Leeway(
        coefficient=np.array(weights),
        covariance=np.stack([one.covariance for one in found]),
        shift=np.stack([one.shift for one in found]),
        direction=direction,
        variance=variance,
        best=best,
    )


def in_coefficients(leeway: Leeway, scale: Array) -> Leeway:
    """The leeway of coefficients, which are weights divided by `scale` (n_phases, n_columns)."""
    return Leeway(
        coefficient=leeway.coefficient / scale,
        covariance=leeway.covariance / (scale[:, :, None] * scale[:, None, :]),
        shift=leeway.shift / scale,
        direction=leeway.direction / scale,
        variance=leeway.variance,
        best=leeway.best,
    )


@dataclass(frozen=True)
class _Part:
    """Leeway of one thinning, as `Leeway` without the first axis."""

    covariance: Array
    shift: Array
    direction: Array
    variance: Array
    best: Array


def _of_thinning(
    data: PooledData, abundance: Array, weight: Array, constraints: Constraints | None
) -> _Part:
    n_phases, n_columns = weight.shape
    reduced, slope, errors = reduced_likelihood(data, abundance, weight)
    free = np.ones(weight.shape, dtype=bool)
    if constraints is not None:
        free = constraints.free
        reduced = reduced + constraints.curvature(weight)
        slope = slope + constraints.gradient(weight).ravel()
    active = (weight > _ZERO * errors) & free
    moving = _directions(active, np.flatnonzero(active & ~_is_last(active)))
    at_zero = np.flatnonzero(~active & free)
    raised = _directions(active, at_zero)
    removed = -raised @ weight.ravel()[at_zero]
    full = moving @ np.linalg.solve(moving.T @ reduced @ moving, moving.T)
    direction = raised - full @ (reduced @ raised)
    left = np.maximum(np.sum(direction * (reduced @ direction), axis=0), 1.0)
    blocks = full.reshape(n_phases, n_columns, n_phases, n_columns)
    return _Part(
        covariance=np.stack([blocks[k, :, k] for k in range(n_phases)]),
        shift=(removed - full @ (slope + reduced @ removed)).reshape(weight.shape),
        direction=direction.T.reshape(-1, *weight.shape),
        variance=1.0 / left,
        best=-(slope @ direction) / left,
    )


def reduced_likelihood(
    data: PooledData, abundance: Array, weight: Array
) -> tuple[Array, Array, Array]:
    """Information and gradient of the weights, abundances eliminated.

    Returns
    -------
    reduced : ndarray of shape (n_phases * n_columns, n_phases * n_columns)
        Since weights lie between 0 and 1, one is added to the diagonal: a prior of standard
        deviation one, which bounds what the counts leave open.
    slope : ndarray of shape (n_phases * n_columns,)
        Derivative of the loss.
    errors : ndarray of shape (n_phases, n_columns)
        Standard errors of each weight, everything else known.
    """
    model = data.model(abundance, weight)
    blocks = information(data, abundance, weight, model)
    by_abundance, by_weight = gradients(data, abundance, weight, model)
    # The gradient as one more row and column: what the abundances take of it, too, is taken out.
    n = weight.size
    shared = np.zeros((n + 1, n + 1))
    shared[:n, :n] = blocks.weight
    shared[:n, n] = shared[n, :n] = by_weight.ravel()
    cross = np.concatenate([blocks.cross, by_abundance[:, :, None]], axis=2)
    reduced = without_abundances(abundance, blocks.abundance, cross, shared)
    conditional = np.maximum(np.diag(blocks.weight), np.finfo(float).tiny)
    errors = (1.0 / np.sqrt(conditional)).reshape(weight.shape)
    return reduced[:n, :n] + np.eye(n), reduced[:n, n], errors


def _directions(active: NDArray[np.bool_], raised: NDArray[np.int64]) -> Array:
    """Directions that raise one weight each, active ones of its phase falling to keep the sum.

    Shape (n_phases * n_columns, n_directions). Directions that raise active weights depend on each
    other: one a phase is to be left out.
    """
    n_columns = active.shape[1]
    share = active / np.maximum(active.sum(axis=1, keepdims=True), 1)
    matrix = np.zeros((active.size, raised.size))
    for place, index in enumerate(raised):
        own = slice(index // n_columns * n_columns, (index // n_columns + 1) * n_columns)
        matrix[own, place] = -share[index // n_columns]
        matrix[index, place] += 1.0 if share[index // n_columns].any() else 0.0
    return matrix


def _is_last(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the last active weight of each phase is."""
    last: NDArray[np.bool_] = active & (np.cumsum(active[:, ::-1], axis=1)[:, ::-1] == 1)
    return last
