# SPDX-License-Identifier: GPL-3.0-or-later
"""Maximum-likelihood abundances of every pixel by a projected Newton method."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels import dense
from mlatem.kernels.lanes import (
    add_scaled,
    dot,
    load,
    outer,
    padded,
    pattern,
    square_zeros,
    store,
    store_square,
    zeros,
)
from mlatem.kernels.logarithm import weighted_logarithms
from mlatem.kernels.poisson import Channel, Count, Pointer, longest_pixel, models

#: Abundances below this share of the pixel's counts count as zero when the loss pushes them down.
_NEAR_ZERO = 1e-9
#: Relative ridge above rounding: pixels with fewer events than phases have a singular Hessian.
_RIDGE = 1e-6
_MAX_HALVINGS = 30
#: Share of the decrease promised by the gradient that a step must deliver (Armijo).
_SUFFICIENT = 1e-4
#: A step that promises less than this, in nats, and hits no bound lowers the loss: the likelihood
#: of whole counts is self-concordant (Nesterov & Nemirovskii 1994), and a full Newton step does so
#: up to a decrement of 0.68^2. What the next step will promise is then less than the square.
_SURE = 0.2
#: Rounding of a pixel's loss, per count: models are in single precision.
_ROUNDING = 1e-7
_FLOOR = np.float32(dense.FLOOR)
_FAST = {"contract", "arcp", "nsz"}


def newton_abundances(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    start: NDArray[np.floating],
    max_steps: int,
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Non-negative abundances that maximize the Poisson likelihood of every pixel.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    spectrum : ndarray of shape (n_energy, n_phases), float32
        Expected counts for an abundance of one.
    start : ndarray of shape (n_pixels, n_phases)
        Not negative; positive where counts are to be explained.
    max_steps : int
    tolerance : float
        Stop when the decrease of the loss promised by a step is below this, nats.

    Returns
    -------
    abundance : ndarray of shape (n_pixels, n_phases), float64
        Zero in pixels without counts.
    converged : ndarray of shape (n_pixels,), bool

    Notes
    -----
    Two-metric projection, Bertsekas (1982), SIAM J. Control Optim. 20, 221: abundances at zero
    with a positive gradient are held, the others take a Newton step, projected and halved until
    the loss falls enough. The loss is convex and, but for rounding, never rises.
    """
    n_energy, n_phases = spectrum.shape
    abundance = np.zeros((len(pointer) - 1, n_phases))
    converged = np.ones(len(abundance), dtype=np.bool_)
    longest = longest_pixel(pointer)
    least_dense = int(dense.DENSE_SHARE * n_energy) + 1
    if longest >= least_dense:
        longest = n_energy
    _newton(
        pointer,
        channel,
        count,
        (padded(spectrum), dense.rows_of(spectrum)),
        spectrum.sum(axis=0, dtype=np.float64),
        np.ascontiguousarray(start, dtype=np.float64),
        pattern(n_phases),
        (max_steps, tolerance, longest, least_dense),
        abundance,
        converged,
    )
    return abundance, converged


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _newton(  # type: ignore[no-untyped-def]
    pointer, channel, count, tables, sums, start, like, limits, abundance, converged
):
    max_steps, tolerance, longest, least_dense = limits
    n_phases, n_lanes = len(sums), tables[0].shape[1]
    model = np.empty(longest, dtype=np.float32)
    trial_model = np.empty(longest, dtype=np.float32)
    row = np.empty(longest, dtype=np.float32)
    rows = np.zeros((n_lanes, n_lanes), dtype=np.float32)
    vectors = np.empty(n_phases), np.empty(n_phases), np.empty(n_phases)
    hessian, free = np.empty((n_phases, n_phases)), np.empty(n_phases, dtype=np.bool_)
    scratch, ending = (rows, model, trial_model), (max_steps, tolerance)
    for p in range(len(pointer) - 1):
        first, stop = pointer[p], pointer[p + 1]
        if first == stop:
            continue
        x = abundance[p]
        x[:] = start[p]
        events, counts = channel[first:stop], count[first:stop]
        total = 0.0
        for value in counts:
            total += value
        state = x, vectors, hessian, free, total
        if stop - first >= least_dense:
            dense.expand(events, counts, row)
            converged[p] = _fit(None, row, tables, sums, like, ending, scratch, state)
        else:
            converged[p] = _fit(events, counts, tables, sums, like, ending, scratch, state)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _fit(channel, count, tables, sums, like, ending, scratch, state):  # type: ignore[no-untyped-def]
    """Move the abundances of one pixel to their optimum; tells whether they came there.

    `channel` is None where `count` holds all channels: the branches are chosen by its type.
    """
    max_steps, tolerance = ending
    x, (gradient, step, trial), hessian, free, total = state
    for _ in range(max_steps):
        _derivatives(channel, count, tables, sums, x, like, scratch, gradient, hessian)
        promised = _newton_step(x, total, gradient, hessian, free, step)
        if promised < tolerance:
            return True
        if promised < _SURE and _inside(x, step, free):
            for k in range(len(x)):
                x[k] = max(0.0, x[k] + step[k])
            if promised * promised < tolerance:
                return True
        elif not _line_search(
            channel, count, tables, sums, x, like, scratch, (gradient, step, trial), total
        ):
            _multiplicative_step(x, gradient, sums)
    return False


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _derivatives(  # type: ignore[no-untyped-def]
    channel, count, tables, sums, x, like, scratch, gradient, hessian
):
    """Model values, gradient and Hessian (lower triangle) of one pixel's loss."""
    spectrum, by_phase = tables
    rows, model, _ = scratch
    n_phases = len(x)
    for k in range(n_phases):
        rows[0, k] = x[k]
    if channel is None:
        dense.derivatives(count, by_phase, rows[0], model, gradient, hessian)
        for k in range(n_phases):
            gradient[k] = sums[k] - gradient[k]
        return
    of_pixel = load(like, rows, 0)
    gain = zeros(like)
    curvature = square_zeros(like)
    for event in range(len(channel)):
        row = load(like, spectrum, channel[event])
        mu = _FLOOR + dot(of_pixel, row)
        model[event] = mu
        ratio = np.float32(count[event]) / mu
        gain = add_scaled(gain, ratio, row)
        curvature = add_scaled(curvature, ratio / mu, outer(row))
    store(gain, rows, 0)
    for k in range(n_phases):
        gradient[k] = sums[k] - rows[0, k]
    store_square(curvature, rows)
    for k in range(n_phases):
        for j in range(k + 1):
            hessian[k, j] = rows[k, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _newton_step(x, total, gradient, hessian, free, step):  # type: ignore[no-untyped-def]
    """Fill `step`; returns the decrease of the loss that its linear model promises."""
    n_phases = len(x)
    for k in range(n_phases):
        free[k] = x[k] > _NEAR_ZERO * total or gradient[k] < 0
    solve_free(hessian, gradient, free, step)
    promised = 0.0
    for k in range(n_phases):
        step[k] = -step[k] if free[k] else -x[k]
        promised -= gradient[k] * step[k]
    return promised


@njit(cache=True, nogil=True, error_model="numpy")
def _inside(x, step, free):  # type: ignore[no-untyped-def]
    """Whether no free abundance would turn negative."""
    inside = True
    for k in range(len(x)):
        inside &= not free[k] or x[k] + step[k] >= 0
    return inside


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _line_search(  # type: ignore[no-untyped-def]
    channel, count, tables, sums, x, like, scratch, vectors, total
):
    """Move `x` along the projected step where that lowers the loss enough; tells whether it did."""
    rows, model, trial_model = scratch
    gradient, step, trial = vectors
    n_phases = len(x)
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        change, promised = 0.0, 0.0
        for k in range(n_phases):
            trial[k] = max(0.0, x[k] + length * step[k])
            change += sums[k] * (trial[k] - x[k])
            promised += gradient[k] * (trial[k] - x[k])
            rows[0, k] = trial[k]
        if channel is None:
            dense.models(tables[1], rows[0], trial_model)
        else:
            models(channel, tables[0], load(like, rows, 0), like, trial_model)
        for event in range(len(count)):
            trial_model[event] /= model[event]
        change -= weighted_logarithms(trial_model, count)
        if change <= _SUFFICIENT * promised + _ROUNDING * total:
            x[:] = trial
            return True
        length *= 0.5
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _multiplicative_step(x, gradient, sums):  # type: ignore[no-untyped-def]
    """A step that cannot raise the loss, from the gradient at hand."""
    for k in range(len(x)):
        if sums[k] > 0:
            x[k] *= max(0.0, 1.0 - gradient[k] / sums[k])


@njit(cache=True, nogil=True, error_model="numpy")
def solve_free(matrix, right, free, solution):  # type: ignore[no-untyped-def]
    """Solve the free part of a positive semi-definite system by a ridged Cholesky factorization.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float64
        Only the lower triangle is read; it is overwritten by the factor.
    right : ndarray of shape (n,), float64
    free : ndarray of shape (n,), bool
    solution : ndarray of shape (n,), float64
        Overwritten; zero where not free.
    """
    n = len(right)
    largest = 0.0
    for i in range(n):
        if free[i]:
            largest = max(largest, matrix[i, i])
    ridge = _RIDGE * largest + 1e-300
    for i in range(n):
        for j in range(i):
            if not (free[i] and free[j]):
                matrix[i, j] = 0.0
        matrix[i, i] = matrix[i, i] + ridge if free[i] else 1.0
        for j in range(i + 1):
            value = matrix[i, j]
            for m in range(j):
                value -= matrix[i, m] * matrix[j, m]
            matrix[i, j] = np.sqrt(max(value, ridge)) if i == j else value / matrix[j, j]
    for i in range(n):
        value = right[i] if free[i] else 0.0
        for j in range(i):
            value -= matrix[i, j] * solution[j]
        solution[i] = value / matrix[i, i]
    for i in range(n - 1, -1, -1):
        value = solution[i]
        for j in range(i + 1, n):
            value -= matrix[j, i] * solution[j]
        solution[i] = value / matrix[i, i]
