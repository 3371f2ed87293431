# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of maximum likelihood on all pixels: Newton's method on sums over tiles.

Free abundances in every pixel over-fit and bias the compositions, and the likelihood leaves mixing
directions flat: its optimum is not the most accurate answer. For those who want it nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from mlatem.factorization.abundances import most_likely
from mlatem.factorization.pooled import Array, spectral_angle
from mlatem.kernels import poisson
from mlatem.kernels.schur import schur_sums
from mlatem.model import RefinementStatistics, SparseCounts

_FIRST_DAMPING = 1e-2
#: Steps damped more than this are too short for their length to tell convergence.
_TRUSTED_DAMPING = 3e-2
#: Curvatures below this share of the largest, in scaled weights, are no curvature.
_FLAT = 1e-9


@dataclass(frozen=True)
class Refinement:
    """Where the rounds ended."""

    weight: Array
    """Shape (n_phases, n_columns); rows add up to one."""
    loss: tuple[float, ...]
    """Negative log-likelihood of all pixels after each accepted round, nats; it never rises."""
    n_rounds: int
    """Times that all tiles were summed over."""
    converged: bool
    reason: str
    """Why it did not converge; empty if it did."""


def tile_refinement(counts: SparseCounts, columns: Array, weight: Array) -> RefinementStatistics:
    """Loss, gradient and reduced Hessian of a tile, with the abundances at their optimum.

    Parameters
    ----------
    counts : SparseCounts
    columns : ndarray of shape (n_columns, n_energy)
        Each adds up to one.
    weight : ndarray of shape (n_phases, n_columns)
        Rows add up to one.
    """
    spectrum = weight @ columns
    abundance, converged = most_likely(counts, spectrum)
    events = (counts.pointer, counts.channel, counts.count)
    gradient, hessian = schur_sums(*events, columns, weight, abundance)
    by_channel = np.ascontiguousarray(spectrum.T, dtype=np.float32)
    value = float(poisson.loss(*events, by_channel, abundance).sum())
    return RefinementStatistics(value, gradient, hessian, int(np.count_nonzero(~converged)))


def refine(
    evaluate: Callable[[Array], RefinementStatistics],
    weight: Array,
    columns: Array,
    *,
    max_rounds: int = 15,
    tolerance: float = 1e-5,
    indifferent_nats: float = 0.05,
) -> Refinement:
    """Weights that minimize the loss of all pixels, from a start nearby.

    Parameters
    ----------
    evaluate : callable
        Takes weights of shape (n_phases, n_columns) and returns the sum over all tiles of
        `tile_refinement`. Each call is a pass over the data.
    weight : ndarray of shape (n_phases, n_columns)
        Start; rows add up to one.
    columns : ndarray of shape (n_columns, n_energy)
    max_rounds : int, optional
        Most calls of `evaluate`.
    tolerance : float, optional
        Stop when no spectrum turns by more in a full step, radian, ...
    indifferent_nats : float, optional
        ... or when a step promises a smaller decrease, which statistics cannot tell.

    Notes
    -----
    Newton's method on the loss with the abundances eliminated (Golub & Pereyra 1973), with
    Levenberg-Marquardt damping; the quadratic model is minimized over weights that are not
    negative (Lawson & Hanson 1974). A step that does not lower the loss costs a round and is taken
    back.
    """
    current = evaluate(weight)
    losses, damping = [current.loss], _FIRST_DAMPING
    for n_rounds in range(2, max_rounds + 1):
        trial = _moved(weight, current, damping)
        change = (trial - weight).ravel()
        promised = -float(current.gradient.ravel() @ change)
        expected = promised - 0.5 * float(change @ current.hessian @ change)
        if promised < indifferent_nats and damping <= _TRUSTED_DAMPING:
            return _ended(weight, losses, n_rounds - 1, current, "")
        new = evaluate(trial)
        fell = current.loss - new.loss
        if not fell >= 0:
            damping *= 6.0
            continue
        turned = spectral_angle(weight @ columns, trial @ columns).max()
        weight, current = trial, new
        losses.append(new.loss)
        if turned < tolerance and damping <= _TRUSTED_DAMPING:
            return _ended(weight, losses, n_rounds, current, "")
        damping *= 0.2 if fell > 0.75 * expected else 1.0 if fell > 0.25 * expected else 3.0
    reason = f"the compositions still moved after {max_rounds} rounds over all pixels"
    return _ended(weight, losses, max_rounds, current, reason)


def _moved(weight: Array, at: RefinementStatistics, damping: float) -> Array:
    """The weights that minimize the damped quadratic model among those that are not negative."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(at.hessian)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(at.hessian * np.outer(scale, scale))
    # Where the likelihood is flat or bends down, the size of the curvature limits the step.
    root = np.sqrt(np.maximum(np.abs(values), _FLAT * np.abs(values).max()) + damping)
    factor = root[:, None] * vectors.T
    target = factor @ (weight.ravel() / scale) - (vectors.T @ (scale * at.gradient.ravel())) / root
    trial = (scale * nnls(factor, target)[0]).reshape(weight.shape)
    moved: Array = trial / np.maximum(trial.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return moved


def _ended(
    weight: Array, losses: list[float], n_rounds: int, at: RefinementStatistics, reason: str
) -> Refinement:
    if not np.isfinite(losses[-1]):
        reason = "the loss of all pixels is not finite"
    elif at.n_unconverged and not reason:
        reason = f"the abundances of {at.n_unconverged} pixels did not converge"
    return Refinement(weight, tuple(losses), n_rounds, not reason, reason)
