# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit of the factors on lines, together with compositions and abundances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.factor_model import Blocks, FactorModel, Unknowns
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.scoring import Penalty
from mlatem.model.column_parts import ColumnParts

_NEAR_ZERO = 1e-9
_SUFFICIENT = 1e-4
_MAX_HALVINGS = 25
_MAX_ROUNDS = 100
_FIRST_DAMPING = 1e-3
_LEAST_DAMPING = 1e-7
_MOST_DAMPING = 1e6
#: Steps damped more than this are too short for what they gain to tell convergence.
_TRUSTED_DAMPING = 1e-5
#: Stop when a round lowers the objective by less, nats: a step of a twentieth of a sigma.
_TOLERANCE = 1e-3
#: Factors lie between one over this and this.
_LARGEST_FACTOR = 20.0


@dataclass(frozen=True)
class FactorFit:
    """Abundances, weights and factors that go together."""

    abundance: Array
    """Shape (n_regions, n_phases); counts."""
    weight: Array
    """Shape (n_phases, n_columns); of the columns with these factors, scaled to add up to one."""
    log_factor: Array
    """Shape (n_factors,)."""
    objective: tuple[float, ...]
    """Negative log-likelihood, penalty and priors after each round, nats; never rises."""


def fit_factors(
    data: PooledData,
    parts: ColumnParts,
    abundance: Array,
    weight: Array,
    log_factor: Array,
    *,
    penalty: Penalty | None = None,
) -> FactorFit:
    """The most probable factors, with the abundances and weights that go with them.

    Parameters
    ----------
    data : PooledData
        Its columns are not used.
    parts : ColumnParts
    abundance : ndarray of shape (n_regions, n_phases)
        Start, counts.
    weight : ndarray of shape (n_phases, n_columns)
        Start; of the columns with the factors of the start, scaled to add up to one.
    log_factor : ndarray of shape (n_factors,)
        Start.
    penalty : Penalty, optional
        On abundances and weights.

    Notes
    -----
    Fisher scoring of all unknowns at once, abundances eliminated region by region (Schur
    complement), with damping and projection as in `mlatem.factorization.scoring.fit`. Priors are
    Gaussian in the logarithms of the factors, with the errors that sub-shells have in common.
    """
    model = FactorModel.at(data, parts, Unknowns(abundance, weight, log_factor), penalty)
    objective = [model.objective]
    damping = _FIRST_DAMPING
    for _ in range(_MAX_ROUNDS):
        slope, blocks = model.slope(), model.information()
        trial = None
        while trial is None and damping < _MOST_DAMPING:
            trial = _line_search(model, slope, _step(model, slope, blocks, damping))
            damping = damping * 10 if trial is None else max(damping / 5, _LEAST_DAMPING)
        if trial is None:
            break
        model = trial
        objective.append(model.objective)
        if objective[-2] - objective[-1] < _TOLERANCE and damping < _TRUSTED_DAMPING:
            break
    # Weights of columns that add up to one.
    weight = model.values.weight * model.data.columns.sum(axis=-1)
    total = weight.sum(axis=1)
    return FactorFit(
        model.values.abundance * total,
        weight / total[:, None],
        model.values.log_factor,
        tuple(objective),
    )


def _step(model: FactorModel, slope: Unknowns, blocks: Blocks, damping: float) -> Unknowns:
    """Damped scoring step of the values that are free; the others go to zero."""
    values = model.values
    totals = values.abundance.sum(axis=1, keepdims=True)
    free_a = (values.abundance > _NEAR_ZERO * totals) | (slope.abundance < 0)
    free_w = ((values.weight > _NEAR_ZERO) | (slope.weight < 0)).ravel()
    free = np.append(free_w, np.ones(values.log_factor.size, dtype=bool))
    slope_a = np.where(free_a, slope.abundance, 0.0)
    slope_s = np.where(free, slope.shared(), 0.0)
    cross = np.where(free_a[:, :, None] & free, blocks.cross, 0.0)
    inverse = np.linalg.inv(_damped(blocks.abundance, free_a, damping))
    carried = inverse @ cross
    information = blocks.shared.copy()
    information[free_w.size :, free_w.size :] += model.precision
    reduced = _damped(information[None], free[None], damping)[0]
    reduced = reduced - np.tensordot(cross, carried, axes=((0, 1), (0, 1)))
    right = slope_s - np.einsum("rks,rk->s", carried, slope_a)
    step_s = -np.linalg.solve(reduced, right)
    step_a = -np.einsum("rkl,rl->rk", inverse, slope_a + cross @ step_s)
    step_w = np.where(free_w, step_s[: free_w.size], -values.weight.ravel())
    return Unknowns(
        np.where(free_a, step_a, -values.abundance),
        step_w.reshape(values.weight.shape),
        step_s[free_w.size :],
    )


def _damped(matrices: Array, free: NDArray[np.bool_], damping: float) -> Array:
    """The matrices with damping on the diagonal, and an identity where values are held."""
    masked = np.where(free[:, :, None] & free[:, None, :], matrices, 0.0)
    diagonal = np.diagonal(masked, axis1=1, axis2=2)
    largest = np.maximum(diagonal.max(axis=1, keepdims=True), 1e-300)
    index = np.arange(matrices.shape[1])
    masked[:, index, index] += np.where(free, damping * diagonal + 1e-12 * largest, 1.0)
    return masked


def _line_search(model: FactorModel, slope: Unknowns, step: Unknowns) -> FactorModel | None:
    """The longest projected step that lowers the objective enough; None where there is none."""
    start, reach = model.values, np.log(_LARGEST_FACTOR)
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        values = Unknowns(
            np.maximum(start.abundance + length * step.abundance, 0.0),
            np.maximum(start.weight + length * step.weight, 0.0),
            np.clip(start.log_factor + length * step.log_factor, -reach, reach),
        )
        promised = float(np.sum(slope.abundance * (values.abundance - start.abundance)))
        promised += float(slope.shared() @ (values.shared() - start.shared()))
        trial = model.moved(values)
        if (
            trial is not None
            and promised < 0
            and trial.objective <= model.objective + _SUFFICIENT * promised
        ):
            return trial
        length *= 0.5
    return None
