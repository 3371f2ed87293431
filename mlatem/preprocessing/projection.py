# SPDX-License-Identifier: GPL-3.0-or-later
"""Variable projection for counts: few parameters that shape columns, and their coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.preprocessing.poisson_fit import REACHED, CountsFit, fit_counts, poisson_deviance

Array = NDArray[np.float64]

#: Columns (n_columns, n_energy) for a vector of parameters.
ColumnsOf = Callable[[Array], Array]
#: Change of the model with each free parameter, shape (n_free, n_energy), for parameters and
#: coefficients.
SlopesOf = Callable[[Array, Array], Array]

_MAX_ROUNDS = 40
_MAX_SHORTENINGS = 8
#: Stop when a step is expected to lower the deviance by less: a step of a thirtieth of a sigma.
_TOLERANCE = 1e-3
_RIDGE = 1e-12


@dataclass(frozen=True)
class Parameters:
    """What is searched: where it starts, what is known of it before, how far it may go."""

    start: Array
    """Shape (n_parameters,); so for all."""
    centre: Array
    """Of the Gaussian priors."""
    sigma: Array
    """Standard deviations of the Gaussian priors; a parameter with 0 is held at its start."""
    lower: Array
    upper: Array
    correlation: Array | None = None
    """Shape (n_parameters, n_parameters); of the Gaussian priors. None: they are independent."""
    step: Array | None = None
    """For differences of the columns, where nothing else tells the slopes."""

    @property
    def free(self) -> NDArray[np.bool_]:
        """Mask of the parameters that are searched."""
        return self.sigma > 0

    def precision(self) -> Array:
        """Inverse covariance of the priors of the free parameters, shape (n_free, n_free)."""
        free = np.flatnonzero(self.free)
        scale = np.diag(1.0 / self.sigma[free])
        if self.correlation is None:
            return scale**2
        inverse: Array = scale @ np.linalg.inv(self.correlation[np.ix_(free, free)]) @ scale
        return inverse


@dataclass(frozen=True)
class Projected:
    """The most probable parameters, and the coefficients that go with them."""

    parameter: Array
    """Shape (n_parameters,)."""
    covariance: Array
    """Shape (n_parameters, n_parameters); zero for those that were held."""
    fit: CountsFit
    """Of the counts at these parameters, with the weights."""
    objective: float
    """Weighted deviance and priors."""


def project(
    counts: Array,
    columns_of: ColumnsOf,
    parameters: Parameters,
    *,
    weight: Array | None = None,
    slopes_of: SlopesOf | None = None,
) -> Projected:
    """Parameters and non-negative coefficients that make the counts most probable.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    columns_of : callable
        From parameters (n_parameters,) to columns (n_columns, n_energy); always as many columns.
    parameters : Parameters
    weight : ndarray of shape (n_energy,), optional
        Of each channel's deviance; 1 if not given.
    slopes_of : callable, optional
        Slopes of the model. An error of a percent moves the parameters by about a percent of their
        standard deviations. Differences of the columns if not given.

    Returns
    -------
    Projected

    Raises
    ------
    InputError
        As `fit_counts`.
    ConvergenceError
        As `fit_counts`.

    Notes
    -----
    Minimizes ``sum_i w_i d(n_i, m_i) + (theta - centre)' C^-1 (theta - centre)`` with the Poisson
    deviance d and the covariance C of the priors, by scoring steps on theta with the Fisher
    information from which the coefficients have been projected out (Golub and Pereyra 1973; for a
    likelihood the Schur complement of the joint information). The coefficients are the best ones
    for every trial. A step is divided by the curvature that the deviance showed along the one
    before, where that was larger than the information's.

    The covariance is that of an estimating equation, ``A^-1 B A^-1`` with ``A = J' W M^-1 J`` and
    ``B = J' W^2 M^-1 J`` (Huber 1967; variance M of the counts), coefficients included: right for
    Poisson counts whatever the weights.
    """
    weight = np.ones(counts.size) if weight is None else weight
    slopes_of = slopes_of or partial(_differences, columns_of, parameters)
    free = np.flatnonzero(parameters.free)
    precision = parameters.precision()
    theta = parameters.start.astype(np.float64).copy()

    def attempt(trial: Array, start: Array | None) -> tuple[CountsFit, float]:
        fit = fit_counts(counts * weight, columns_of(trial) * weight, start=start)
        off = (trial - parameters.centre)[free]
        return fit, fit.deviance + float(off @ precision @ off)

    fit, objective = attempt(theta, None)
    stiffness = 1.0
    for _ in range(_MAX_ROUNDS if free.size else 0):
        gradient, information = _projected_step(
            counts, weight, columns_of(theta), fit.coefficient, slopes_of(theta, fit.coefficient)
        )
        gradient = gradient + precision @ (theta - parameters.centre)[free]
        information = information + precision
        direction = -_solved(information, gradient[:, None])[:, 0]
        for _ in range(_MAX_SHORTENINGS):
            trial = theta.copy()
            trial[free] = np.clip(
                theta[free] + direction / stiffness, parameters.lower[free], parameters.upper[free]
            )
            moved = (trial - theta)[free]
            slope, bend = -2.0 * float(gradient @ moved), float(moved @ information @ moved)
            if slope - bend < _TOLERANCE:
                break
            new_fit, new_objective = attempt(trial, fit.coefficient)
            # The curvature along the step, in units of the information's, as the deviance shows it.
            found = (slope - (objective - new_objective)) / bend
            stiffness = min(max(found, 1.0), 4.0 * stiffness)
            if new_objective < objective:
                break
        if slope - bend < _TOLERANCE or not new_objective < objective:
            break
        theta, fit, objective = trial, new_fit, new_objective
    covariance = np.zeros((theta.size, theta.size))
    if free.size:
        slopes = slopes_of(theta, fit.coefficient)
        block = _covariance(weight, columns_of(theta), fit.coefficient, slopes, precision)
        covariance[np.ix_(free, free)] = block
    return Projected(theta, covariance, fit, objective)


def _differences(
    columns_of: ColumnsOf, parameters: Parameters, theta: Array, coefficient: Array
) -> Array:
    """Change of the model with each free parameter, shape (n_free, n_energy)."""
    if parameters.step is None:
        raise InputError("slopes need steps of the parameters: give `step` or `slopes_of`")
    here = columns_of(theta)
    steps = np.diag(parameters.step)[parameters.free]
    rows = [coefficient @ (columns_of(theta + step) - here) / step.sum() for step in steps]
    return np.array(rows)


def _projected_step(
    counts: Array, weight: Array, columns: Array, coefficient: Array, slopes: Array
) -> tuple[Array, Array]:
    """Gradient of half the deviance and projected Fisher information of the free parameters."""
    used, model = _reached(columns, coefficient)
    change = slopes[:, used]
    own = columns[coefficient > 0][:, used]
    share = weight[used] / model
    gradient = change @ (weight[used] * (1.0 - counts[used] / model))
    mixed = (change * share) @ own.T
    inner = (own * share) @ own.T
    return gradient, (change * share) @ change.T - mixed @ _solved(inner, mixed.T)


def _covariance(
    weight: Array, columns: Array, coefficient: Array, slopes: Array, precision: Array
) -> Array:
    used, model = _reached(columns, coefficient)
    change = slopes[:, used]
    joint = np.vstack([change, columns[coefficient > 0][:, used]])
    n_free = len(change)
    prior = np.zeros((len(joint), len(joint)))
    prior[:n_free, :n_free] = precision
    bread = (joint * (weight[used] / model)) @ joint.T + prior
    filling = (joint * (weight[used] ** 2 / model)) @ joint.T + prior
    half = _solved(bread, filling)
    covariance: Array = _solved(bread, half.T)[:n_free, :n_free]
    return 0.5 * (covariance + covariance.T)


def _reached(columns: Array, coefficient: Array) -> tuple[NDArray[np.bool_], Array]:
    """Channels that the model reaches, and what it expects there."""
    model = coefficient @ columns
    used = model > REACHED * model.max()
    return used, model[used]


def _solved(matrix: Array, right: Array) -> Array:
    """Solution of a symmetric system whose unknowns have very different units."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    unit = matrix * np.outer(scale, scale) + _RIDGE * np.eye(len(scale))
    solved: Array = scale[:, None] * np.linalg.solve(unit, scale[:, None] * right)
    return solved


def weighted_deviance(counts: Array, model: Array, weight: Array) -> float:
    """Poisson deviance with a weight for every channel."""
    return poisson_deviance(counts * weight, model * weight)
