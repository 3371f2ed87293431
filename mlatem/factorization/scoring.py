# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded Fisher scoring of abundances and weights on pooled spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import (
    Array,
    Information,
    PooledData,
    gradients,
    information,
    spectral_angle,
)

_NEAR_ZERO = 1e-9
_SUFFICIENT = 1e-4
_MAX_HALVINGS = 25
_FIRST_DAMPING = 1e-3
_LEAST_DAMPING = 1e-7
_MOST_DAMPING = 1e6
#: Steps damped more than this are too short for their length to tell convergence.
_TRUSTED_DAMPING = 1e-2
#: Bounds that a step may meet one after the other.
_MAX_BOUNDS = 4


@dataclass(frozen=True)
class Penalty:
    """Linear penalty on abundances and weights, nats per count and per weight."""

    abundance: Array
    """Shape (n_regions, n_phases)."""
    weight: Array
    """Shape (n_phases, n_columns)."""

    def value(self, abundance: Array, weight: Array) -> float:
        """The penalty in nats."""
        return float(np.sum(self.abundance * abundance) + np.sum(self.weight * weight))


@dataclass(frozen=True)
class ScoringResult:
    """Where the scoring ended."""

    abundance: Array
    """Shape (n_regions, n_phases); counts."""
    weight: Array
    """Shape (n_phases, n_columns); rows add up to one."""
    loss: tuple[float, ...]
    """Negative log-likelihood without the penalty after each round, nats."""
    converged: bool


def fit(
    data: PooledData,
    abundance: Array,
    weight: Array,
    *,
    penalty: Penalty | None = None,
    constraints: Constraints | None = None,
    hold_weight: bool = False,
    max_rounds: int = 500,
    tolerance: float = 1e-5,
) -> ScoringResult:
    """Minimize the negative log-likelihood plus a linear penalty over non-negative values.

    Parameters
    ----------
    data : PooledData
    abundance : ndarray of shape (n_regions, n_phases)
        Start, counts.
    weight : ndarray of shape (n_phases, n_columns)
        Start; rows add up to one.
    penalty : Penalty, optional
    constraints : Constraints, optional
        What is known of the phases; the start agrees with it (`Constraints.start`).
    hold_weight : bool, optional
        Fit the abundances alone.
    max_rounds : int, optional
    tolerance : float, optional
        Stop when no phase turns by a larger angle in a round, radian.

    Notes
    -----
    Fisher scoring with the abundances eliminated (Schur complement), Levenberg-Marquardt damping
    and two-metric projection (Bertsekas 1982): values at zero that the gradient pushes down are
    held, all others move, so that no zero is locked. The objective never rises.
    """
    penalty = penalty or Penalty(np.zeros_like(abundance), np.zeros_like(weight))
    damping = _FIRST_DAMPING
    model = data.model(abundance, weight)
    objective = data.loss(model) + _beside(abundance, weight, penalty, constraints)
    losses = [data.loss(model)]
    for _ in range(max_rounds):
        slope = _gradient(data, abundance, weight, model, penalty, constraints)
        blocks = information(data, abundance, weight, model)
        moved = False
        while not moved and damping < _MOST_DAMPING:
            step = _step(abundance, weight, slope, blocks, damping, hold_weight, constraints)
            trial = _line_search(
                data, abundance, weight, slope, step, penalty, objective, constraints
            )
            moved = trial is not None
            damping = damping / 5 if moved else damping * 10
        if trial is None:
            # No direction lowers the objective beyond rounding: the gradient's own criterion.
            return ScoringResult(abundance, weight, tuple(losses), _is_stationary(slope, step))
        turned = _largest_angle(data, weight, trial.weight)
        if hold_weight:
            turned = float(np.max(np.abs(trial.abundance - abundance).sum(1) / data.totals))
        shortened = trial.length < 1.0 or damping > _TRUSTED_DAMPING
        abundance, weight, model = trial.abundance, trial.weight, trial.model
        objective, damping = trial.objective, max(damping, _LEAST_DAMPING)
        losses.append(data.loss(model))
        if turned < tolerance and not shortened:
            return ScoringResult(abundance, weight, tuple(losses), True)
    return ScoringResult(abundance, weight, tuple(losses), False)


@dataclass(frozen=True)
class _Trial:
    abundance: Array
    weight: Array
    model: Array
    objective: float
    length: float


def _beside(
    abundance: Array, weight: Array, penalty: Penalty, constraints: Constraints | None
) -> float:
    """What the objective holds beside the loss, nats."""
    known = 0.0 if constraints is None else constraints.cost(weight)
    return penalty.value(abundance, weight) + known


def _gradient(
    data: PooledData,
    abundance: Array,
    weight: Array,
    model: Array,
    penalty: Penalty,
    constraints: Constraints | None,
) -> tuple[Array, Array]:
    """Gradient of the objective as a function that does not change with the phases' scale."""
    by_abundance, by_weight = gradients(data, abundance, weight, model)
    scale = np.sum(penalty.abundance * abundance, axis=0) - np.sum(penalty.weight * weight, axis=1)
    by_weight = by_weight + penalty.weight + scale[:, None]
    if constraints is not None:
        by_weight = by_weight + constraints.gradient(weight)
    return by_abundance + penalty.abundance, by_weight


def _step(
    abundance: Array,
    weight: Array,
    slope: tuple[Array, Array],
    blocks: Information,
    damping: float,
    hold_weight: bool,
    constraints: Constraints | None,
) -> tuple[Array, Array]:
    """Damped scoring step of the values that are free; the others go to zero, or stay if known."""
    n_regions, n_phases = abundance.shape
    totals = abundance.sum(axis=1, keepdims=True)
    free_a = (abundance > _NEAR_ZERO * totals) | (slope[0] < 0)
    free_w = ((weight > _NEAR_ZERO) | (slope[1] < 0)).ravel() & (not hold_weight)
    held = np.zeros(weight.size) if hold_weight else -weight.ravel()
    if constraints is not None:
        free_a, free_w = free_a & constraints.present, free_w & constraints.free.ravel()
        held = np.where(np.repeat(constraints.fixed, weight.shape[1]), 0.0, held)
    slope_a = np.where(free_a, slope[0], 0.0)
    slope_w = np.where(free_w, slope[1].ravel(), 0.0)
    cross = np.where(free_a[:, :, None] & free_w, blocks.cross, 0.0)
    inverse = np.linalg.inv(_damped(blocks.abundance, free_a, damping))
    carried = inverse @ cross
    reduced = _damped(blocks.weight[None], free_w[None], damping)[0]
    flat = cross.reshape(n_regions * n_phases, -1)
    reduced = reduced - flat.T @ carried.reshape(n_regions * n_phases, -1)
    right = slope_w - np.einsum("rks,rk->s", carried, slope_a)
    if constraints is None or hold_weight:
        step_w = -np.linalg.solve(reduced, right)
    else:
        step_w = _constrained_step(reduced, right, free_w, held, weight, constraints)
    step_a = -np.einsum("rkl,rl->rk", inverse, slope_a + cross @ step_w)
    step_w = np.where(free_w, step_w, held).reshape(weight.shape)
    return np.where(free_a, step_a, -abundance), step_w


def _constrained_step(
    matrix: Array,
    right: Array,
    free: NDArray[np.bool_],
    held: Array,
    weight: Array,
    constraints: Constraints,
) -> Array:
    """Step of the weights that stops at what is known of them."""
    both = free[:, None] & free
    matrix = matrix + np.where(both, constraints.curvature(weight), 0.0)
    step = -np.linalg.solve(matrix, right)
    bound = np.full(len(constraints.statements), np.nan)
    for _ in range(_MAX_BOUNDS):
        met = constraints.overrun(weight, np.where(free, step, held).reshape(weight.shape))
        if not np.any(np.isfinite(met) & np.isnan(bound)):
            break
        bound = np.where(np.isnan(bound), met, bound)
        curvature, gradient = constraints.at_bounds(weight, bound)
        ended = matrix + np.where(both, curvature, 0.0)
        step = -np.linalg.solve(ended, right + np.where(free, gradient, 0.0))
    return np.asarray(step, dtype=np.float64)


def _damped(matrices: Array, free: NDArray[np.bool_], damping: float) -> Array:
    """The matrices with damping on the diagonal, and an identity where values are held."""
    masked = np.where(free[:, :, None] & free[:, None, :], matrices, 0.0)
    diagonal = np.diagonal(masked, axis1=1, axis2=2)
    largest = np.maximum(diagonal.max(axis=1, keepdims=True), 1e-300)
    lifted = np.where(free, damping * diagonal + 1e-12 * largest, 1.0)
    index = np.arange(matrices.shape[1])
    masked[:, index, index] += lifted
    return masked


def _line_search(
    data: PooledData,
    abundance: Array,
    weight: Array,
    slope: tuple[Array, Array],
    step: tuple[Array, Array],
    penalty: Penalty,
    objective: float,
    constraints: Constraints | None,
) -> _Trial | None:
    """The longest projected step that lowers the objective enough; None where there is none."""
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        new_a = np.maximum(abundance + length * step[0], 0.0)
        new_w = np.maximum(weight + length * step[1], 0.0)
        promised = np.sum(slope[0] * (new_a - abundance)) + np.sum(slope[1] * (new_w - weight))
        scale = new_w.sum(axis=1)
        if np.all(scale > 0):
            new_a, new_w = new_a * scale, new_w / scale[:, None]
            model = data.model(new_a, new_w)
            value = data.loss(model) + _beside(new_a, new_w, penalty, constraints)
            if value <= objective + _SUFFICIENT * promised and promised < 0:
                return _Trial(new_a, new_w, model, value, length)
        length *= 0.5
    return None


def _is_stationary(slope: tuple[Array, Array], step: tuple[Array, Array]) -> bool:
    """Whether the last step promised less than a thousandth of a nat."""
    return bool(abs(np.sum(slope[0] * step[0]) + np.sum(slope[1] * step[1])) < 1e-3)


def _largest_angle(data: PooledData, first: Array, second: Array) -> float:
    """Largest angle between old and new spectrum of a phase, radian."""
    return float(np.max(spectral_angle(data.spectrum(first), data.spectrum(second))))
