# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighted least squares on dense spectra whose noise is given, not that of whole counts.

With w one over the variance of a channel of a pixel, the loss is half the sum of w (y - mu)^2.
What a pixel's abundances need of its spectrum are the sums of w s s^T and of w y s over channels:
the model is never formed for more than some pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.newton import solve_free
from mlatem.kernels.schur import eliminate_pixels, squared

#: Pixels whose second derivatives are formed at a time.
_BLOCK = 64
#: Channels summed in single precision before they go to a double precision sum.
_CHUNK = 512
_FAST = {"reassoc", "contract", "nsz"}
#: Gradients below this share of the largest at zero abundance count as none.
_NONE = 1e-9

Values = NDArray[np.float32]
Array = NDArray[np.float64]


def normal_equations(values: Values, weight: Values, spectrum: Values) -> tuple[Array, Array]:
    """Curvature of every pixel's loss by its abundances, and minus its gradient at zero.

    Parameters
    ----------
    values : ndarray of shape (n_pixels, n_energy), float32
    weight : ndarray of shape (n_pixels, n_energy), float32
        One over the variance; 0 leaves a value out, whatever it is.
    spectrum : ndarray of shape (n_phases, n_energy), float32

    Returns
    -------
    matrix : ndarray of shape (n_pixels, n_phases, n_phases)
    right : ndarray of shape (n_pixels, n_phases)
    """
    n_phases = len(spectrum)
    matrix = np.zeros((len(values), n_phases, n_phases))
    right = np.zeros((len(values), n_phases))
    _normal_equations(values, weight, np.ascontiguousarray(spectrum), matrix, right)
    return matrix, right


@njit(cache=True, nogil=True, fastmath=_FAST)
def _normal_equations(values, weight, spectrum, matrix, right):  # type: ignore[no-untyped-def]
    n_phases, n_energy = spectrum.shape
    scaled = np.empty(_CHUNK, dtype=np.float32)
    for p in range(len(values)):
        for first in range(0, n_energy, _CHUNK):
            w, y = weight[p, first : first + _CHUNK], values[p, first : first + _CHUNK]
            n = len(w)
            for k in range(n_phases):
                row, product = spectrum[k, first : first + n], np.float32(0.0)
                for i in range(n):
                    scaled[i] = w[i] * row[i]
                    product += scaled[i] * y[i] if w[i] > 0 else np.float32(0.0)
                right[p, k] += product
                for j in range(k + 1):
                    other, product = spectrum[j, first : first + n], np.float32(0.0)
                    for i in range(n):
                        product += scaled[i] * other[i]
                    matrix[p, k, j] += product
        for k in range(n_phases):
            for j in range(k):
                matrix[p, j, k] = matrix[p, k, j]


def loss(values: Values, weight: Values, spectrum: Values, abundance: Array) -> Array:
    """Half the weighted sum of squares of every pixel, shape (n_pixels,).

    Parameters
    ----------
    values, weight, spectrum : ndarray
        As in `normal_equations`.
    abundance : ndarray of shape (n_pixels, n_phases)
    """
    result = np.empty(len(values))
    for first in range(0, len(values), _BLOCK):
        some = slice(first, first + _BLOCK)
        known = np.where(weight[some] > 0, values[some], 0)
        residual = known - abundance[some].astype(np.float32) @ spectrum
        result[some] = 0.5 * np.einsum(
            "pc,pc,pc->p", weight[some], residual, residual, dtype=np.float64
        )
    return result


def multiplicative_sweep(matrix: Array, right: Array, abundance: Array) -> Array:
    """One multiplicative update of the abundances; the loss never rises.

    Parameters
    ----------
    matrix, right : ndarray
        From `normal_equations`, of values and spectra that are not negative.
    abundance : ndarray of shape (n_pixels, n_phases)
        Positive.

    Notes
    -----
    Lee & Seung (2001), equation 4, with weights.
    """
    expected = np.einsum("pkl,pl->pk", matrix, abundance)
    updated: Array = abundance * np.maximum(right, 0.0) / np.maximum(expected, 1e-300)
    return updated


def abundances(matrix: Array, right: Array) -> Array:
    """Abundances of every pixel that are not negative and minimize its loss.

    Parameters
    ----------
    matrix, right : ndarray
        From `normal_equations`.

    Notes
    -----
    Active set of Lawson & Hanson (1974), chapter 23.
    """
    result = np.zeros_like(right)
    _abundances(matrix, right, result)
    return result


@njit(cache=True, nogil=True)
def _abundances(matrix, right, abundance):  # type: ignore[no-untyped-def]
    n_phases = right.shape[1]
    free = np.empty(n_phases, dtype=np.bool_)
    step, factor = np.empty(n_phases), np.empty((n_phases, n_phases))
    for p in range(len(right)):
        x = abundance[p]
        free[:] = False
        least = _NONE * np.max(np.abs(right[p]))
        for _ in range(3 * n_phases):
            slope = right[p] - matrix[p] @ x
            best, entering = least, -1
            for k in range(n_phases):
                if not free[k] and slope[k] > best:
                    best, entering = slope[k], k
            if entering < 0:
                break
            free[entering] = True
            _settle(matrix[p], right[p], x, free, step, factor)


@njit(cache=True, nogil=True)
def _settle(matrix, right, x, free, step, factor):  # type: ignore[no-untyped-def]
    """Minimize over the free abundances; those that would turn negative are held at zero."""
    n_phases = len(x)
    for _ in range(2 * n_phases + 2):
        factor[:] = matrix
        solve_free(factor, right - matrix @ x, free, step)
        length, blocking = 1.0, -1
        for k in range(n_phases):
            if free[k] and x[k] + step[k] < 0 and -x[k] / step[k] < length:
                length, blocking = -x[k] / step[k], k
        for k in range(n_phases):
            x[k] = max(0.0, x[k] + length * step[k]) if free[k] else 0.0
        if blocking >= 0:
            free[blocking], x[blocking] = False, 0.0
        elif np.max(np.abs(step)) <= 1e-10 * np.max(x):
            return


def schur_sums(
    values: Values, weight: Values, columns: Array, weights: Array, abundance: Array
) -> tuple[Array, Array]:
    """Gradient and reduced Hessian of the loss by the weights of columns, summed over pixels.

    Parameters
    ----------
    values, weight : ndarray
        As in `normal_equations`.
    columns : ndarray of shape (n_columns, n_energy)
    weights : ndarray of shape (n_phases, n_columns)
        The spectra are `weights @ columns`.
    abundance : ndarray of shape (n_pixels, n_phases)
        From `abundances`; those at zero stay there.

    Returns
    -------
    gradient : ndarray of shape (n_phases, n_columns)
    hessian : ndarray of shape (n_phases * n_columns, n_phases * n_columns)

    Notes
    -----
    As `mlatem.kernels.schur.schur_sums`, with w in place of y / mu^2 and w (mu - y) of 1 - y / mu.
    """
    n_phases, n_columns = weights.shape
    table = np.asarray(columns, dtype=np.float32)
    spectrum = (weights @ columns).astype(np.float32)
    gradient = np.zeros((n_phases, n_columns))
    by_channel = np.zeros((columns.shape[1], n_phases**2))
    size = n_phases * n_columns
    eliminated, nothing = np.zeros((size, size)), np.zeros(n_columns)
    carried = np.zeros((_BLOCK, n_phases, size))
    for first in range(0, len(values), _BLOCK):
        some = slice(first, first + _BLOCK)
        amount, w = abundance[some].astype(np.float32), weight[some]
        excess = w * (np.where(w > 0, values[some], 0) - amount @ spectrum)
        scaled = w[:, None, :] * spectrum
        rows = np.concatenate([scaled, excess[:, None, :]], axis=1) @ table.T
        gradient -= amount.T @ rows[:, -1]
        by_channel += w.T @ (amount[:, :, None] * amount[:, None, :]).reshape(len(amount), -1)
        of_abundance = (scaled @ spectrum.T).astype(np.float64)
        eliminate_pixels(amount, rows, nothing, of_abundance, carried)
        eliminated += squared(carried[: len(amount)])
    pairs = by_channel.reshape(-1, n_phases, n_phases)
    hessian = np.einsum("jc,ckl,ic->kjli", columns, pairs, columns, optimize=True)
    reduced = hessian.reshape(size, size) - eliminated
    return gradient, 0.5 * (reduced + reduced.T)
