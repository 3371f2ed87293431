# SPDX-License-Identifier: GPL-3.0-or-later
"""Second derivatives of the likelihood by the weights of columns, abundances eliminated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels import dense
from mlatem.kernels.lanes import (
    accumulate,
    add_scaled,
    dot,
    load,
    outer,
    padded,
    pattern,
    store,
    zeros,
)
from mlatem.kernels.poisson import Channel, Count, Pointer

_FLOOR = np.float32(dense.FLOOR)
_FAST = {"contract", "arcp", "nsz"}
#: Pivots of the abundances' curvature below this share of its diagonal are no direction.
_SINGULAR = 1e-6
#: Abundances below this share of the pixel's are held at zero.
_NEAR_ZERO = 1e-7
#: Pixels whose sums are formed at a time, in sparse and in dense form.
_BLOCK, _DENSE_BLOCK = 256, 64


def schur_sums(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    columns: NDArray[np.floating],
    weight: NDArray[np.floating],
    abundance: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient and reduced Hessian of the loss by the weights, summed over pixels.

    Parameters
    ----------
    pointer, channel, count : ndarray
        As in `mlatem.kernels.poisson.loss`.
    columns : ndarray of shape (n_columns, n_energy)
    weight : ndarray of shape (n_phases, n_columns)
        The spectra are `weight @ columns`.
    abundance : ndarray of shape (n_pixels, n_phases)
        Of maximum likelihood at these weights; those at zero stay there.

    Returns
    -------
    gradient : ndarray of shape (n_phases, n_columns)
    hessian : ndarray of shape (n_phases * n_columns, n_phases * n_columns)
        The Schur complement: the curvature of the loss when the abundances follow the weights.

    Notes
    -----
    With s the spectra, g the columns and q = y / mu^2 at the events of a pixel of abundances a, the
    blocks are sum q s s^T for the abundances, a_k sum q s g^T + delta (sum g - sum y/mu g) across,
    and a_k a_l sum q g g^T for the weights. The last is gathered by channel, as sum q a a^T.
    """
    n_phases, n_columns = weight.shape
    spectrum = (weight @ columns).T
    curvature = np.zeros((columns.shape[1], len(pattern(n_phases)) ** 2))
    gain = np.zeros((columns.shape[1], len(pattern(n_phases))))
    eliminated = np.zeros((n_phases * n_columns,) * 2)
    events = (pointer, channel, count)
    tables = (padded(spectrum), padded(columns.T), padded(abundance))
    column_sums = columns.sum(axis=1, dtype=np.float64)
    patterns = (pattern(n_phases), pattern(n_columns))
    is_dense = np.diff(pointer) > dense.DENSE_SHARE * columns.shape[1]
    carried = np.zeros((_BLOCK, n_phases, n_phases * n_columns))
    for pixels in _blocks(np.flatnonzero(~is_dense), _BLOCK):
        _sums(*events, tables, pixels, column_sums, patterns, gain, curvature, carried)
        eliminated += squared(carried[: len(pixels)])
    for pixels in _blocks(np.flatnonzero(is_dense), _DENSE_BLOCK):
        _dense_sums(*events, tables, pixels, column_sums, gain, curvature, carried)
        eliminated += squared(carried[: len(pixels)])
    total = np.asarray(abundance).sum(axis=0, dtype=np.float64)
    by_column = np.asarray(columns, dtype=np.float64)
    gradient = np.outer(total, by_column.sum(axis=1)) - gain[:, :n_phases].T @ by_column.T
    n_lanes = gain.shape[1]
    pairs = curvature.reshape(-1, n_lanes, n_lanes)[:, :n_phases, :n_phases]
    hessian = np.einsum("jc,ckl,ic->kjli", by_column, pairs, by_column, optimize=True)
    size = n_phases * n_columns
    reduced = hessian.reshape(size, size) - eliminated
    return gradient, 0.5 * (reduced + reduced.T)


def _blocks(pixels: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(pixels), size):
        yield pixels[first : first + size]


def squared(carried: NDArray[np.float64]) -> NDArray[np.float64]:
    """What following abundances take off the curvature: the squares of the pixels' rows, summed.

    Parameters
    ----------
    carried : ndarray of shape (n_pixels, n_phases, n_phases * n_columns)
        From `eliminate_pixels`.
    """
    rows = carried.reshape(-1, carried.shape[-1])
    product: NDArray[np.float64] = rows.T @ rows
    return product


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _sums(  # type: ignore[no-untyped-def]
    pointer, channel, count, tables, pixels, column_sums, patterns, gain, curvature, carried
):
    """Add the sums of some pixels, and fill a matrix `carried` for each of them."""
    spectrum, columns, abundance = tables
    like, like_columns = patterns
    n_phases = carried.shape[1]
    # Rows of sum q s g^T for each phase, then sum y / mu g.
    rows = np.zeros((n_phases + 1, columns.shape[1]), dtype=np.float32)
    of_abundance = np.zeros((n_phases, n_phases))
    for i in range(len(pixels)):
        p = pixels[i]
        of_pixel = load(like, abundance, p)
        square = outer(of_pixel)
        for k in range(n_phases + 1):
            store(zeros(like_columns), rows, k)
        of_abundance[:] = 0.0
        for event in range(pointer[p], pointer[p + 1]):
            c = channel[event]
            mu = _FLOOR + dot(of_pixel, load(like, spectrum, c))
            ratio = np.float32(count[event]) / mu
            q = ratio / mu
            accumulate(ratio, of_pixel, gain, c)
            accumulate(q, square, curvature, c)
            row = load(like_columns, columns, c)
            store(add_scaled(load(like_columns, rows, n_phases), ratio, row), rows, n_phases)
            for k in range(n_phases):
                scaled = q * spectrum[c, k]
                store(add_scaled(load(like_columns, rows, k), scaled, row), rows, k)
                for j in range(k + 1):
                    of_abundance[k, j] += np.float64(scaled) * spectrum[c, j]
        _eliminate(abundance[p], rows, column_sums, of_abundance, carried[i])


def _dense_sums(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    tables: tuple[NDArray[np.float32], ...],
    pixels: NDArray[np.int64],
    column_sums: NDArray[np.float64],
    gain: NDArray[np.float64],
    curvature: NDArray[np.float64],
    carried: NDArray[np.float64],
) -> None:
    """As `_sums`, for pixels with counts in many channels: products of matrices."""
    spectrum, columns = (np.ascontiguousarray(table.T) for table in tables[:2])
    amount, n_phases = tables[2][pixels], carried.shape[1]
    ratio = np.zeros((len(pixels), spectrum.shape[1]), dtype=np.float32)
    dense.expand_pixels(pointer, channel, count, pixels, ratio)
    inverse = 1.0 / (amount @ spectrum + _FLOOR)
    ratio *= inverse
    q = ratio * inverse
    gain += ratio.T @ amount
    curvature += q.T @ (amount[:, :, None] * amount[:, None, :]).reshape(len(amount), -1)
    scaled = q[:, None, :] * spectrum[:n_phases]
    rows = np.concatenate([scaled, ratio[:, None, :]], axis=1) @ columns.T
    of_abundance = (scaled @ spectrum[:n_phases].T).astype(np.float64)
    eliminate_pixels(amount, rows, column_sums, of_abundance, carried)


@njit(cache=True, nogil=True, error_model="numpy")
def eliminate_pixels(abundance, rows, column_sums, of_abundance, carried):  # type: ignore[no-untyped-def]
    """Fill, for every pixel, the rows whose squares following abundances take off the curvature.

    Parameters
    ----------
    abundance : ndarray of shape (n_pixels, at least n_phases), float32
    rows : ndarray of shape (n_pixels, n_phases + 1, n_columns), float32
        Sums over channels of q s g^T for every phase, then of y / mu g.
    column_sums : ndarray of shape (n_columns,), float64
    of_abundance : ndarray of shape (n_pixels, n_phases, n_phases), float64
        Overwritten.
    carried : ndarray of shape (at least n_pixels, n_phases, n_phases * n_columns), float64
        Overwritten.
    """
    for i in range(len(rows)):
        _eliminate(abundance[i], rows[i], column_sums, of_abundance[i], carried[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _eliminate(abundance, rows, column_sums, of_abundance, cross):  # type: ignore[no-untyped-def]
    """Fill the rows whose squares following abundances take off the curvature of one pixel.

    Forward substitution by the Cholesky factor of the abundances' curvature, direction by
    direction; zeros where an abundance is held or tells no direction.
    """
    n_phases, size = cross.shape
    total = 0.0
    for k in range(n_phases):
        total += abundance[k]
    for k in range(n_phases):
        row = cross[k]
        held = abundance[k] <= _NEAR_ZERO * total
        if not _pivot(of_abundance, k) or held:
            of_abundance[k, k] = 0.0
            row[:] = 0.0
            continue
        _fill_cross(abundance, rows, column_sums, k, row)
        for j in range(k):
            if of_abundance[j, j] > 0:
                for i in range(size):
                    row[i] -= of_abundance[k, j] * cross[j, i]
        for i in range(size):
            row[i] /= of_abundance[k, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _pivot(matrix, k):  # type: ignore[no-untyped-def]
    """Row `k` of the Cholesky factor, in place; false where there is no such direction."""
    diagonal = matrix[k, k]
    for j in range(k):
        if matrix[j, j] > 0:
            factor = matrix[k, j]
            for m in range(j):
                factor -= matrix[k, m] * matrix[j, m]
            matrix[k, j] = factor / matrix[j, j]
            matrix[k, k] -= matrix[k, j] ** 2
        else:
            matrix[k, j] = 0.0
    if matrix[k, k] <= _SINGULAR * diagonal:
        return False
    matrix[k, k] = np.sqrt(matrix[k, k])
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_cross(abundance, rows, column_sums, k, cross):  # type: ignore[no-untyped-def]
    """Derivatives by the abundance of phase `k` and all weights."""
    n_columns = len(column_sums)
    for phase in range(len(rows) - 1):
        for column in range(n_columns):
            cross[phase * n_columns + column] = abundance[phase] * rows[k, column]
    for column in range(n_columns):
        cross[k * n_columns + column] += column_sums[column] - rows[len(rows) - 1, column]
