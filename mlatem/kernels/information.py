# SPDX-License-Identifier: GPL-3.0-or-later
"""Fisher information and covariance of the abundances of every pixel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.dense import FLOOR

#: Channels that are summed in single precision before they go to a double precision sum.
_BLOCK = 256
#: Width of the cells in which channels are alike, in the logarithm of a phase's share.
_CELL = 0.25
#: Shares of a phase in a channel below this are alike.
_LEAST_SHARE = 1e-3
#: Smallest pivot of the normalized information that counts as regular.
_SINGULAR = 1e-6


def alike_channels(spectrum: NDArray[np.float64]) -> NDArray[np.float32]:
    """Spectra on groups of channels to which the phases contribute in like shares.

    Parameters
    ----------
    spectrum : ndarray of shape (n_phases, n_energy)

    Returns
    -------
    grouped : ndarray of shape (n_phases, n_groups), float32
        Summed over the channels of each group.

    Notes
    -----
    Channels of equal shares tell exactly as much of the abundances as their sum. Shares within a
    cell lose a little information, never gain any: standard deviations grow by less than 1 %, and
    some hundred groups stand for thousands of channels.
    """
    total = spectrum.sum(axis=0)
    share = spectrum[:, total > 0] / total[total > 0]
    cell = np.floor(np.log(share + _LEAST_SHARE) / _CELL).astype(np.int32)
    group = np.unique(cell, axis=1, return_inverse=True)[1].ravel()
    sums = [np.bincount(group, row[total > 0]) for row in spectrum]
    return np.array(sums, dtype=np.float32)


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def fisher_information(spectrum, abundance):  # type: ignore[no-untyped-def]
    """Expected information on the abundances of all phases, compositions fixed.

    Parameters
    ----------
    spectrum : ndarray of shape (n_phases, n_energy), float32
        Expected counts for an abundance of one.
    abundance : ndarray of shape (n_pixels, n_phases), float32

    Returns
    -------
    information : ndarray of shape (n_pixels, n_phases, n_phases), float64
        sum_c spectrum_kc spectrum_lc / mu_c, with mu the model of the pixel; 0 in pixels without
        abundance.

    Notes
    -----
    Expected, not observed, information: a phase that is absent is bounded by the counts that are
    missing at its lines, which an observed information does not see.
    """
    n_phases, n_energy = spectrum.shape
    information = np.zeros((len(abundance), n_phases, n_phases))
    weight = np.empty(n_energy, dtype=np.float32)
    scaled = np.empty(n_energy, dtype=np.float32)
    for p in range(len(abundance)):
        if np.sum(abundance[p]) <= 0:
            continue
        weight[:] = np.float32(FLOOR)
        for k in range(n_phases):
            amount, row = abundance[p, k], spectrum[k]
            for c in range(n_energy):
                weight[c] += amount * row[c]
        for c in range(n_energy):
            weight[c] = np.float32(1.0) / weight[c]
        for k in range(n_phases):
            row = spectrum[k]
            for c in range(n_energy):
                scaled[c] = weight[c] * row[c]
            for j in range(k + 1):
                value = blocked_dot(scaled, spectrum[j])
                information[p, k, j] = value
                information[p, j, k] = value
    return information


@njit(cache=True, nogil=True)
def blocked_dot(first, second):  # type: ignore[no-untyped-def]
    """Scalar product in single precision, blocks of channels summed in double precision."""
    value = 0.0
    for start in range(0, len(first), _BLOCK):
        value += _dot(first[start : start + _BLOCK], second[start : start + _BLOCK])
    return value


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _dot(first, second):  # type: ignore[no-untyped-def]
    value = np.float32(0.0)
    for c in range(len(first)):
        value += first[c] * second[c]
    return value


def covariance(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of every information matrix.

    Parameters
    ----------
    information : ndarray of shape (n_pixels, n_phases, n_phases)

    Returns
    -------
    covariance : ndarray of the same shape
        NaN where the information is singular.
    """
    result: NDArray[np.float64] = _inverses(np.ascontiguousarray(information, dtype=np.float64))
    return result


@njit(cache=True, nogil=True)
def _inverses(information):  # type: ignore[no-untyped-def]
    n_phases = information.shape[1]
    result = np.full(information.shape, np.nan)
    factor = np.zeros((n_phases, n_phases))
    scale = np.empty(n_phases)
    for p in range(len(information)):
        if _normalized_cholesky(information[p], factor, scale):
            _invert(factor, scale, result[p])
    return result


@njit(cache=True, nogil=True)
def _normalized_cholesky(matrix, factor, scale):  # type: ignore[no-untyped-def]
    """Factor of the matrix scaled to a unit diagonal; false where it is singular."""
    n = len(matrix)
    for i in range(n):
        if not matrix[i, i] > 0:
            return False
        scale[i] = 1.0 / np.sqrt(matrix[i, i])
    for i in range(n):
        for j in range(i + 1):
            value = matrix[i, j] * scale[i] * scale[j]
            for m in range(j):
                value -= factor[i, m] * factor[j, m]
            if i == j:
                if not value > _SINGULAR:
                    return False
                factor[i, i] = np.sqrt(value)
            else:
                factor[i, j] = value / factor[j, j]
    return True


@njit(cache=True, nogil=True)
def _invert(factor, scale, result):  # type: ignore[no-untyped-def]
    """Inverse of the scaled matrix from its Cholesky factor, column by column."""
    n = len(factor)
    column = np.empty(n)
    for target in range(n):
        for i in range(n):
            value = scale[i] if i == target else 0.0
            for j in range(i):
                value -= factor[i, j] * column[j]
            column[i] = value / factor[i, i]
        for i in range(n - 1, -1, -1):
            value = column[i]
            for j in range(i + 1, n):
                value -= factor[j, i] * column[j]
            column[i] = value / factor[i, i]
        for i in range(n):
            result[i, target] = column[i] * scale[i]
