# SPDX-License-Identifier: GPL-3.0-or-later
"""Upper limits of what was not seen, from the likelihood."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from scipy.special import xlogy

from mlatem.errors import ConvergenceError

Array = NDArray[np.float64]

#: Rise of the deviance at the limit: one-sided 95 % (S. S. Wilks, Annals of Mathematical
#: Statistics 9 (1938) 60: the deviance of one amount is chi-square with one degree of freedom).
DEVIANCE_RISE = 2.71

_MAX_STEPS = 60
_MAX_BRACKETS = 60
_TOLERANCE = 1e-4
_RIDGE = 1e-10
#: Smallest expected counts of a channel, relative to the mean: keeps the logarithm finite.
_FLOOR = 1e-9


def upper_limit(counts: Array, columns: Array, index: int, *, known: Array | None = None) -> float:
    """Largest amount of one column that the counts allow, all others free.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    columns : ndarray of shape (n_columns, n_energy)
        Expected counts for an amount of one.
    index : int
        The column in question.
    known : ndarray of shape (n_energy,), optional
        Expected counts of everything else.

    Returns
    -------
    limit : float
        The amount above the most probable one at which the deviance has risen by 2.71, with the
        other amounts refitted and none negative; NaN where the column has no counts.

    Raises
    ------
    ConvergenceError
        If the fits do not converge.

    Notes
    -----
    The profile likelihood (Wilks 1938). The root of the rise is nearly linear in the amount, which
    the search uses.
    """
    known = np.zeros(counts.size) if known is None else known
    area = columns.sum(axis=1)
    if not area[index] > 0:
        return float("nan")
    used = area > 0
    scaled = columns[used] / area[used, None]
    place = int(np.count_nonzero(used[:index]))
    others = np.delete(scaled, place, axis=0)
    least, amounts = _fit(counts, scaled, known, _start(counts, known, len(scaled)))
    best = float(amounts[place])
    rest = np.delete(amounts, place)

    def rise(amount: float) -> float:
        nonlocal rest
        value, rest = _fit(counts, others, known + amount * scaled[place], np.maximum(rest, 1e-3))
        return float(np.sqrt(max(value - least, 0.0)) - np.sqrt(DEVIANCE_RISE))

    low, step = best, np.sqrt(DEVIANCE_RISE) * max(np.sqrt(best), 1.0)
    high = best + step
    below, above = -float(np.sqrt(DEVIANCE_RISE)), rise(high)
    for _ in range(_MAX_BRACKETS):
        if above >= 0:
            break
        low, below, high = high, above, best + 2 * (high - best)
        above = rise(high)
    else:
        raise ConvergenceError(
            "upper limit: the counts do not bound the amount; leave out columns of the same shape"
        )
    return _root(rise, (low, below), (high, above)) / float(area[used][place])


def _root(
    rise: Callable[[float], float], lower: tuple[float, float], upper: tuple[float, float]
) -> float:
    """Regula falsi with halving of the end that stays (Illinois)."""
    (low, below), (high, above) = lower, upper
    for _ in range(_MAX_STEPS):
        middle = high - above * (high - low) / (above - below)
        value = rise(middle)
        if abs(value) < _TOLERANCE:
            return middle
        if value > 0:
            high, above, below = middle, value, 0.5 * below
        else:
            low, below, above = middle, value, 0.5 * above
    return high


def _start(counts: Array, known: Array, n_columns: int) -> Array:
    total = max(float((counts - known).sum()), 1.0)
    return np.full(n_columns, total / n_columns)


def _fit(counts: Array, columns: Array, known: Array, start: Array) -> tuple[float, Array]:
    """Least deviance and non-negative amounts of columns of unit area beside known counts."""
    floor = _FLOOR * max(float(counts.mean()), _FLOOR)

    def model(amount: Array) -> Array:
        expected: Array = np.maximum(amount @ columns + known, floor)
        return expected

    def deviance(amount: Array) -> float:
        expected = model(amount)
        return float(2 * np.sum(xlogy(counts, counts / expected) - counts + expected))

    amount = start
    for _ in range(10):  # expectation maximization (Shepp and Vardi 1982) to come near
        amount = amount * (columns @ (counts / model(amount)))
    value = deviance(amount)
    for _ in range(_MAX_STEPS):
        expected = model(amount)
        gradient = columns @ (1.0 - counts / expected)
        # Expected information: channels without counts bound the amounts as well.
        curvature = (columns / expected) @ columns.T
        step = _bounded_minimum(amount, gradient, curvature) - amount
        promised = -float(gradient @ step)
        if promised < 1e-7 * max(1.0, value):
            return value, amount
        length, trial = 1.0, deviance(amount + step)
        while trial > value - 1e-4 * length * promised and length > 1e-8:
            length *= 0.5
            trial = deviance(amount + length * step)
        if trial >= value:
            return value, amount
        amount, value = np.maximum(amount + length * step, 0.0), trial
    raise ConvergenceError(f"upper limit: the fit did not converge in {_MAX_STEPS} steps")


def _bounded_minimum(amount: Array, gradient: Array, curvature: Array) -> Array:
    """Amounts >= 0 that minimize the quadratic model, by non-negative least squares."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(curvature), 1e-300))
    unit = curvature * np.outer(scale, scale) + _RIDGE * np.eye(len(scale))
    values, vectors = np.linalg.eigh(unit)
    root = np.linalg.qr((vectors * np.sqrt(np.maximum(values, _RIDGE))).T)[1]
    right = root @ (amount / scale) - solve_triangular(root, gradient * scale, trans="T")
    minimum: Array = nnls(root, right, maxiter=50 * len(scale))[0] * scale
    return minimum
