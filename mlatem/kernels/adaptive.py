# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing of vector maps that stops where neighbours differ by more than their noise explains."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Neighbours that differ by less than this share of the limit count fully (Becker & Mathe 2013).
_PLATEAU = 0.25
_MAX_SWEEPS = 200
#: Change of a value, in units of its conditional standard error, that ends the bounded fit.
_SETTLED = 1e-4


def average_alike(
    value: Array, reached: Array, score: Array, information: Array, radius: float, limit: float
) -> tuple[Array, Array]:
    """Averages over the neighbours whose values do not differ significantly.

    Parameters
    ----------
    value : ndarray of shape (ny, nx, n_values)
        Estimates that are compared.
    reached : ndarray of shape (ny, nx, n_values, n_values)
        Information on them.
    score : ndarray of shape (ny, nx, n_values)
        Information times the raw value of every pixel.
    information : ndarray of shape (ny, nx, n_values, n_values)
        On the raw value of every pixel; positive definite.
    radius : float
        Neighbours nearer than this are averaged, pixels.
    limit : float
        Squared difference, in units of the noise, from which on a neighbour has no weight.

    Returns
    -------
    value, reached : ndarray
        Weighted means, and the information on them as if the weights were given.

    Notes
    -----
    Polzehl & Spokoiny (2006), Probab. Theory Relat. Fields 135, 335, section 3. The weight of pixel
    q at r is (1 - r^2 / radius^2) times a function that falls from one to zero as the difference
    (v_p - v_q)' N_p (v_p - v_q) goes to the limit, with N_p what is `reached` at p.
    """
    averaged, gathered = np.empty_like(value), np.empty_like(reached)
    _average(value, reached, score, information, radius, limit, averaged, gathered)
    return averaged, gathered


@njit(cache=True, nogil=True, error_model="numpy")
def _average(  # type: ignore[no-untyped-def]
    value, reached, score, information, radius, limit, averaged, gathered
):
    ny, nx, n = value.shape
    reach = int(np.ceil(radius)) - 1
    difference = np.empty(n)
    right = np.empty(n)
    matrix = np.empty((n, n))
    factor = np.empty((n, n))
    for y in range(ny):
        for x in range(nx):
            right[:] = 0.0
            matrix[:] = 0.0
            for v in range(max(0, y - reach), min(ny, y + reach + 1)):
                for u in range(max(0, x - reach), min(nx, x + reach + 1)):
                    near = 1.0 - ((v - y) ** 2 + (u - x) ** 2) / radius**2
                    if near <= 0.0:
                        continue
                    for i in range(n):
                        difference[i] = value[y, x, i] - value[v, u, i]
                    alike = 1.0 - _quadratic(reached[y, x], difference) / limit
                    if alike <= 0.0:
                        continue
                    weight = near * min(1.0, alike / (1.0 - _PLATEAU))
                    for i in range(n):
                        right[i] += weight * score[v, u, i]
                        for j in range(i + 1):
                            matrix[i, j] += weight * information[v, u, i, j]
            _solve(matrix, right, factor, averaged[y, x])
            for i in range(n):
                for j in range(i + 1):
                    gathered[y, x, i, j] = matrix[i, j]
                    gathered[y, x, j, i] = matrix[i, j]


def bounded(value: Array, information: Array) -> Array:
    """The nearest values that are not negative, in the metric of the information.

    Parameters
    ----------
    value : ndarray of shape (ny, nx, n_values)
    information : ndarray of shape (ny, nx, n_values, n_values)
        Positive definite.
    """
    result = np.zeros_like(value)
    _bounded(value, information, result)
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _bounded(value, information, result):  # type: ignore[no-untyped-def]
    ny, nx, n = value.shape
    for y in range(ny):
        for x in range(nx):
            matrix, target, found = information[y, x], value[y, x], result[y, x]
            for i in range(n):
                found[i] = max(target[i], 0.0)
            for _ in range(_MAX_SWEEPS):
                moved = 0.0
                for i in range(n):
                    slope = 0.0
                    for j in range(n):
                        slope += matrix[i, j] * (target[j] - found[j])
                    new = max(found[i] + slope / matrix[i, i], 0.0)
                    moved = max(moved, abs(new - found[i]) * np.sqrt(matrix[i, i]))
                    found[i] = new
                if moved < _SETTLED:
                    break


@njit(cache=True, nogil=True, error_model="numpy")
def _quadratic(matrix, vector):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(vector)):
        part = 0.5 * matrix[i, i] * vector[i]
        for j in range(i):
            part += matrix[i, j] * vector[j]
        total += vector[i] * part
    return 2.0 * total


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(matrix, right, factor, solution):  # type: ignore[no-untyped-def]
    """Solve with a positive definite matrix of which the lower triangle is given (Cholesky)."""
    n = len(right)
    for i in range(n):
        for j in range(i + 1):
            entry = matrix[i, j]
            for k in range(j):
                entry -= factor[i, k] * factor[j, k]
            if i == j:
                factor[i, i] = np.sqrt(max(entry, 1e-12 * matrix[i, i]))
            else:
                factor[i, j] = entry / factor[j, j]
    for i in range(n):
        entry = right[i]
        for k in range(i):
            entry -= factor[i, k] * solution[k]
        solution[i] = entry / factor[i, i]
    for i in range(n - 1, -1, -1):
        entry = solution[i]
        for k in range(i + 1, n):
            entry -= factor[k, i] * solution[k]
        solution[i] = entry / factor[i, i]
