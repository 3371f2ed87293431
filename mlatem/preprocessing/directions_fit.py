# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson fit of a spectrum by columns and by small deviations of them, known within a sigma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.special import xlogy

Array = NDArray[np.float64]

#: Added to the curvature of unit diagonal; the firm one where the inverse itself is wanted.
_RIDGE, _FIRM_RIDGE = 1e-10, 1e-9
#: Smallest expected count of a channel, relative to the mean.
_FLOOR = 1e-3


@dataclass(frozen=True)
class DirectionsFit:
    """Most probable amounts and deviations."""

    amount: Array
    """Shape (n_columns,); not negative."""
    deviation: Array
    """Shape (n_directions,); of either sign, in units of each direction's sigma."""
    model: Array
    """Shape (n_energy,); expected counts."""
    objective: float
    """Weighted Poisson deviance plus the sum of the squared deviations."""
    curvature: Array
    """Square, of the amounts and then the deviations: second derivative of half the objective."""

    def amount_sigma(self) -> Array:
        """Standard deviation of each amount, the bounds disregarded; shape (n_columns,)."""
        scale = _scale(self.curvature)
        unit = self.curvature * np.outer(scale, scale) + _FIRM_RIDGE * np.eye(len(scale))
        variance = np.diag(cho_solve(cho_factor(unit), np.eye(len(scale)))) * scale**2
        sigma: Array = np.sqrt(variance)[: self.amount.size]
        return sigma


def fit_directions(
    counts: Array,
    columns: Array,
    directions: Array,
    *,
    weight: Array,
    center: Array | None = None,
    start: tuple[Array, Array] | None = None,
    max_rounds: int = 25,
    tolerance: float = 1e-2,
) -> DirectionsFit:
    """Amounts of columns and deviations along directions that make a spectrum most probable.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    columns : ndarray of shape (n_columns, n_energy)
        Not negative; amounts of them are not negative.
    directions : ndarray of shape (n_directions, n_energy)
        Change of the expected counts for a deviation of one standard deviation.
    weight : ndarray of shape (n_energy,)
        Of each channel's deviance, 0 to 1.
    center : ndarray of shape (n_directions,), optional
        Deviations that `columns` contain already.
    start : tuple of ndarray, optional
        Amounts and deviations.
    max_rounds : int
        Most Newton steps.
    tolerance : float
        Stop when a step is expected to lower the objective by less.

    Returns
    -------
    DirectionsFit

    Notes
    -----
    Minimizes ``sum_i weight_i d_i(model) + sum_k deviation_k^2`` with the Poisson deviance d and
    ``model = amount @ columns + (deviation - center) @ directions``: the posterior mode under a
    standard normal prior of every deviation. Fisher scoring; the deviations, which have no bounds,
    are eliminated from each step (Schur complement), which leaves a non-negative least-squares
    problem in the amounts.
    """
    n_columns = len(columns)
    matrix = np.vstack([columns, directions])
    prior = np.concatenate([np.zeros(n_columns), np.ones(len(directions))])
    floor = _FLOOR * max(counts.mean(), 1e-6)
    inside = np.zeros(len(directions)) if center is None else center
    if start is None:
        start = _warm(counts, columns, floor), inside
    place = np.concatenate(start)
    origin = np.concatenate([np.zeros(n_columns), inside])
    value, model = _objective(counts, matrix, weight, prior, place, origin, floor)
    for _ in range(max_rounds):
        gradient = matrix @ (weight * (1.0 - counts / model)) + prior * place
        curvature = _curvature(matrix, weight / model, prior)
        target = _bounded_step(place, gradient, curvature, n_columns)
        step = target - place
        expected = -float(gradient @ step)
        if expected < tolerance:
            break
        length, new = 1.0, np.inf
        while length > 1e-3:
            trial = place + length * step
            new, new_model = _objective(counts, matrix, weight, prior, trial, origin, floor)
            if new <= value - 1e-4 * length * expected:
                break
            length *= 0.5
        if not new < value:
            break
        place, value, model = trial, new, new_model
    return DirectionsFit(
        place[:n_columns],
        place[n_columns:],
        model,
        value,
        _curvature(matrix, weight / model, prior),
    )


def _curvature(matrix: Array, precision: Array, prior: Array) -> Array:
    scaled = matrix * np.sqrt(precision)
    curvature: Array = scaled @ scaled.T + np.diag(prior)
    return curvature


def _scale(curvature: Array) -> Array:
    diagonal = np.diag(curvature)
    scale: Array = 1.0 / np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.max()))
    return scale


def _warm(counts: Array, columns: Array, floor: float) -> Array:
    """A few rounds of expectation maximization."""
    area = columns.sum(axis=1)
    amount: Array = np.full(len(columns), counts.sum() / len(columns)) / area
    for _ in range(10):
        model = np.maximum(amount @ columns, floor)
        amount = amount * (columns @ (counts / model)) / area
    return amount


def _objective(
    counts: Array,
    matrix: Array,
    weight: Array,
    prior: Array,
    place: Array,
    origin: Array,
    floor: float,
) -> tuple[float, Array]:
    model = np.maximum((place - origin) @ matrix, floor)
    deviance = 2.0 * (xlogy(counts, counts / model) - counts + model)
    return float(weight @ deviance + prior @ place**2), model


def _bounded_step(place: Array, gradient: Array, curvature: Array, n_bounded: int) -> Array:
    """Minimum of the quadratic model where the first `n_bounded` values are not negative."""
    scale = _scale(curvature)
    unit = curvature * np.outer(scale, scale) + _RIDGE * np.eye(len(scale))
    slope, present = gradient * scale, place / scale
    bounded, free = slice(0, n_bounded), slice(n_bounded, None)
    if n_bounded < len(place):
        factor = cho_factor(unit[free, free] + _FIRM_RIDGE * np.eye(len(place) - n_bounded))
        carried = cho_solve(factor, np.column_stack([unit[free, bounded], slope[free]]))
        reduced = unit[bounded, bounded] - unit[bounded, free] @ carried[:, :-1]
        reduced_slope = slope[bounded] - unit[bounded, free] @ carried[:, -1]
    else:
        carried, reduced, reduced_slope = np.zeros((0, 1)), unit, slope
    try:
        root = cholesky(reduced)
    except LinAlgError:
        root = cholesky(reduced + 1e-6 * np.eye(n_bounded))
    right = root @ present[bounded] - solve_triangular(root, reduced_slope, trans="T")
    target = np.empty_like(present)
    target[bounded] = nnls(root, right, maxiter=30 * n_bounded)[0]
    if n_bounded < len(place):
        change = target[bounded] - present[bounded]
        target[free] = present[free] - carried[:, -1] - carried[:, :-1] @ change
    return target * scale
