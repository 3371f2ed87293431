# SPDX-License-Identifier: GPL-3.0-or-later
"""Maximum-likelihood abundances of every pixel by a projected Newton method."""

from __future__ import annotations

import numpy as np
from numba import njit

from mlatem.kernels.poisson import model_value, spectrum_sums

#: Abundances below this share of the pixel's counts count as zero when the loss pushes them down.
_NEAR_ZERO = 1e-9
#: Relative ridge: pixels with fewer events than phases have a singular Hessian.
_RIDGE = 1e-9
_MAX_HALVINGS = 30
#: Share of the decrease promised by the gradient that a step must deliver (Armijo).
_SUFFICIENT = 1e-4


@njit(cache=True, nogil=True)
def newton_abundances(  # type: ignore[no-untyped-def]
    pointer, channel, count, spectrum, start, max_steps, tolerance
):
    """Non-negative abundances that maximize the Poisson likelihood of every pixel.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    spectrum : ndarray of shape (n_energy, n_phases), float32
        Expected counts for an abundance of one.
    start : ndarray of shape (n_pixels, n_phases), float64
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
    the loss falls enough. The loss is convex and never rises.
    """
    n_pixels, n_phases = start.shape
    sums = spectrum_sums(spectrum)
    abundance = np.zeros((n_pixels, n_phases))
    converged = np.ones(n_pixels, dtype=np.bool_)
    longest = 0
    for p in range(n_pixels):
        longest = max(longest, pointer[p + 1] - pointer[p])
    model = np.empty(longest)
    gradient, step, trial = np.empty(n_phases), np.empty(n_phases), np.empty(n_phases)
    hessian, free = np.empty((n_phases, n_phases)), np.empty(n_phases, dtype=np.bool_)
    for p in range(n_pixels):
        first, stop = pointer[p], pointer[p + 1]
        if first == stop:
            continue
        x = abundance[p]
        x[:] = start[p]
        events, counts = channel[first:stop], count[first:stop]
        converged[p] = False
        for _ in range(max_steps):
            _derivatives(events, counts, spectrum, sums, x, model, gradient, hessian)
            promised = _newton_step(x, counts, gradient, hessian, free, step)
            if promised < tolerance:
                converged[p] = True
                break
            if not _line_search(events, counts, spectrum, sums, x, model, gradient, step, trial):
                _multiplicative_step(x, gradient, sums)
    return abundance, converged


@njit(cache=True, nogil=True)
def _derivatives(  # type: ignore[no-untyped-def]
    channel, count, spectrum, sums, x, model, gradient, hessian
):
    """Model values, gradient and Hessian (lower triangle) of one pixel's loss."""
    n_phases = len(x)
    gradient[:] = sums
    hessian[:] = 0.0
    for event in range(len(channel)):
        c = channel[event]
        mu = model_value(x, spectrum, c)
        model[event] = mu
        ratio = count[event] / mu
        curvature = ratio / mu
        for k in range(n_phases):
            gradient[k] -= ratio * spectrum[c, k]
            scaled = curvature * spectrum[c, k]
            for j in range(k + 1):
                hessian[k, j] += scaled * spectrum[c, j]


@njit(cache=True, nogil=True)
def _newton_step(x, count, gradient, hessian, free, step):  # type: ignore[no-untyped-def]
    """Fill `step`; returns the decrease of the loss that its linear model promises."""
    n_phases = len(x)
    total = 0.0
    for value in count:
        total += value
    for k in range(n_phases):
        free[k] = x[k] > _NEAR_ZERO * total or gradient[k] < 0
    solve_free(hessian, gradient, free, step)
    promised = 0.0
    for k in range(n_phases):
        step[k] = -step[k] if free[k] else -x[k]
        promised -= gradient[k] * step[k]
    return promised


@njit(cache=True, nogil=True)
def _line_search(  # type: ignore[no-untyped-def]
    channel, count, spectrum, sums, x, model, gradient, step, trial
):
    """Move `x` along the projected step where that lowers the loss enough; tells whether it did."""
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        change, promised = 0.0, 0.0
        for k in range(len(x)):
            trial[k] = max(0.0, x[k] + length * step[k])
            change += sums[k] * (trial[k] - x[k])
            promised += gradient[k] * (trial[k] - x[k])
        for event in range(len(channel)):
            mu = model_value(trial, spectrum, channel[event])
            change -= count[event] * np.log(mu / model[event])
        if change <= _SUFFICIENT * promised:
            x[:] = trial
            return True
        length *= 0.5
    return False


@njit(cache=True, nogil=True)
def _multiplicative_step(x, gradient, sums):  # type: ignore[no-untyped-def]
    """A step that cannot raise the loss, from the gradient at hand."""
    for k in range(len(x)):
        if sums[k] > 0:
            x[k] *= max(0.0, 1.0 - gradient[k] / sums[k])


@njit(cache=True, nogil=True)
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
