# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit of one spectrum by a non-negative combination of columns, with Poisson noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.special import xlogy

from mlatem.errors import ConvergenceError, InputError

Array = NDArray[np.float64]

#: A channel counts as reached by the columns above this part of their largest value.
REACHED = 1e-12
#: Smallest expected count of a channel, relative to the mean: keeps the logarithm finite.
MODEL_FLOOR = 1e-9
#: Smallest curvature that is added to the scaled normal equations.
RIDGE = 1e-10
#: Gains below this part of the counts are lost in the rounding of the deviance.
RESOLUTION = 1e-10


@dataclass(frozen=True)
class CountsFit:
    """Maximum likelihood fit of one spectrum."""

    coefficient: Array
    """Shape (n_columns,); not negative."""
    covariance: Array
    """Shape (n_columns, n_columns); inverse Fisher information, the bounds disregarded."""
    model: Array
    """Shape (n_energy,); expected counts."""
    deviance: float
    """Twice the log-likelihood ratio to the saturated model."""
    dof: int
    """Channels that are reached by the columns, less the coefficients above zero."""

    @property
    def sigma(self) -> Array:
        """Standard deviation of each coefficient; shape (n_columns,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def deviance_per_dof(self) -> float:
        """Deviance per degree of freedom; near 1 for a good model and plenty of counts."""
        return self.deviance / max(self.dof, 1)


def fit_counts(
    spectrum: ArrayLike,
    columns: ArrayLike,
    *,
    start: ArrayLike | None = None,
    em_rounds: int = 20,
    max_rounds: int = 60,
    tolerance: float = 1e-6,
) -> CountsFit:
    """Non-negative coefficients that make the spectrum most probable under Poisson noise.

    Parameters
    ----------
    spectrum : array-like of shape (n_energy,)
        Counts.
    columns : array-like of shape (n_columns, n_energy)
        Expected counts for a coefficient of one; not negative, none zero.
    start : array-like of shape (n_columns,), optional
        Coefficients to start from.
    em_rounds : int
        Rounds of expectation maximization before the Newton steps.
    max_rounds : int
        Most Newton steps.
    tolerance : float
        Stop when a further step is expected to lower the deviance by less.

    Returns
    -------
    CountsFit

    Raises
    ------
    InputError
        If the spectrum is empty, holds no counts, NaN or negative values, a column is zero, or
        the start has not one value per column.
    ConvergenceError
        If the steps did not reach the tolerance.

    Notes
    -----
    The deviance is convex. It is warmed up by expectation maximization (Shepp and Vardi 1982,
    eq. 2.13) and then minimized by Newton steps; each solves the quadratic model under the bounds
    exactly, as a non-negative least-squares problem of n_columns rows (Lawson and Hanson 1974,
    ch. 23), and is shortened until the deviance falls. Channels that no column reaches are left
    out.
    """
    counts = checked_spectrum(spectrum)
    matrix = _checked_columns(columns, counts.size)
    area = matrix.sum(axis=1)
    scaled = matrix / area[:, None]
    reached = scaled.max(axis=0) > REACHED * scaled.max()
    scaled = scaled[:, reached]
    problem = _Problem(counts[reached], scaled)
    amount = _start_amounts(problem, None if start is None else _checked_start(start, area) * area)
    for _ in range(em_rounds):
        amount = problem.em_step(amount)
    amount = _newton(problem, amount, max_rounds, tolerance)
    model = np.zeros(counts.size)
    model[reached] = amount @ scaled
    dof = int(reached.sum()) - int(np.count_nonzero(amount))
    covariance = problem.covariance(amount) / np.outer(area, area)
    return CountsFit(amount / area, covariance, model, problem.deviance(amount), dof)


def poisson_nnls(spectrum: ArrayLike, columns: ArrayLike) -> Array:
    """Coefficients of `fit_counts`; shape (n_columns,)."""
    return fit_counts(spectrum, columns).coefficient


def checked_spectrum(spectrum: ArrayLike) -> Array:
    """The spectrum as a float array of shape (n_energy,).

    Raises
    ------
    InputError
        If it is not one-dimensional, is empty, holds no counts, NaN or negative values.
    """
    counts = np.asarray(spectrum, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise InputError(f"spectrum has shape {counts.shape}, expected (n_energy,) with channels")
    if not np.all(np.isfinite(counts)):
        raise InputError(
            f"spectrum holds {np.count_nonzero(~np.isfinite(counts))} values that are NaN or "
            "infinite: mask or repair them before the fit"
        )
    if np.any(counts < 0):
        raise InputError(
            f"spectrum holds negative counts (smallest {counts.min():g}): give raw counts, not "
            "background-subtracted ones"
        )
    if not np.any(counts > 0):
        raise InputError("spectrum holds no counts: check the file, the mask and the energy window")
    return counts


def _checked_columns(columns: ArrayLike, n_energy: int) -> Array:
    matrix = np.asarray(columns, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] != n_energy:
        raise InputError(
            f"columns have shape {matrix.shape}, expected (n_columns, {n_energy}) to match the "
            "spectrum"
        )
    if not np.all(np.isfinite(matrix)) or np.any(matrix < 0):
        raise InputError("columns must be finite and not negative")
    zero = np.flatnonzero(matrix.sum(axis=1) == 0)
    if zero.size:
        raise InputError(f"column {zero[0]} is zero on this energy axis: leave it out")
    return matrix


@dataclass(frozen=True)
class _Problem:
    """Counts (n_energy,) and columns (n_columns, n_energy) of unit area; amounts are counts."""

    counts: Array
    columns: Array

    def model(self, amount: Array) -> Array:
        floor = MODEL_FLOOR * max(self.counts.mean(), MODEL_FLOOR)
        expected: Array = np.maximum(amount @ self.columns, floor)
        return expected

    def deviance(self, amount: Array) -> float:
        return poisson_deviance(self.counts, self.model(amount))

    def em_step(self, amount: Array) -> Array:
        return amount * (self.columns @ (self.counts / self.model(amount)))

    def gradient_and_curvature(self, amount: Array) -> tuple[Array, Array]:
        """First and second derivative of half the deviance."""
        ratio = self.counts / self.model(amount)
        gradient = self.columns @ (1.0 - ratio)
        weight = ratio / self.model(amount)
        return gradient, (self.columns * weight) @ self.columns.T

    def covariance(self, amount: Array) -> Array:
        fisher = (self.columns / self.model(amount)) @ self.columns.T
        scale = 1.0 / np.sqrt(np.diag(fisher))
        unit = fisher * np.outer(scale, scale) + RIDGE * np.eye(len(scale))
        inverse: Array = cho_solve(cho_factor(unit), np.eye(len(scale)))
        covariance: Array = inverse * np.outer(scale, scale)
        return covariance


def poisson_deviance(counts: Array, model: Array) -> float:
    """Poisson deviance of counts from a positive model, summed over the channels."""
    return float(2.0 * np.sum(xlogy(counts, counts / model) - counts + model))


def _checked_start(start: ArrayLike, area: Array) -> Array:
    values = np.nan_to_num(np.asarray(start, dtype=np.float64))
    if values.shape != area.shape:
        raise InputError(f"start has shape {values.shape}, expected {area.shape}: one per column")
    return values


def _start_amounts(problem: _Problem, start: Array | None) -> Array:
    total = problem.counts.sum()
    n_columns = len(problem.columns)
    if start is None:
        return np.full(n_columns, total / n_columns)
    # A small part of everything lets columns grow that the start holds at zero.
    lifted: Array = np.maximum(start, 1e-6 * total / n_columns)
    return lifted


def _newton(problem: _Problem, amount: Array, max_rounds: int, tolerance: float) -> Array:
    deviance = problem.deviance(amount)
    for _ in range(max_rounds):
        gradient, curvature = problem.gradient_and_curvature(amount)
        target = _bounded_minimum(amount, gradient, curvature)
        step = target - amount
        expected = -float(gradient @ step)
        if expected < tolerance:
            return target if problem.deviance(target) <= deviance else amount
        length, new = 1.0, problem.deviance(target)
        while new > deviance - 1e-4 * length * expected and length > 1e-8:
            length *= 0.5
            new = problem.deviance(amount + length * step)
        if new >= deviance and expected < RESOLUTION * max(deviance, problem.counts.sum()):
            # The expected gain is below what floating point resolves.
            return amount
        if new >= deviance:
            break
        amount, deviance = np.maximum(amount + length * step, 0.0), new
    raise ConvergenceError(
        f"Poisson fit of {len(amount)} columns did not converge in {max_rounds} rounds (deviance "
        f"{deviance:.6g}): leave out columns that the data cannot tell apart"
    )


def _bounded_minimum(amount: Array, gradient: Array, curvature: Array) -> Array:
    """Amounts >= 0 that minimize the quadratic model around the present ones."""
    diagonal = np.diag(curvature)
    # A column without counts under it has no curvature of its own: give it that of one count.
    scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-6 * max(diagonal.max(), 1e-300)))
    unit = curvature * np.outer(scale, scale) + RIDGE * np.eye(len(scale))
    try:
        root = cholesky(unit)
    except LinAlgError:
        root = cholesky(unit + 1e-6 * np.eye(len(scale)))
    present = amount / scale
    right = root @ present - solve_triangular(root, gradient * scale, trans="T")
    minimum: Array = nnls(root, right, maxiter=30 * len(scale))[0] * scale
    return minimum
