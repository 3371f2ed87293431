# SPDX-License-Identifier: GPL-3.0-or-later
"""What the spectra of pixels hold beyond a model of known phases."""

from __future__ import annotations

import numpy as np
from numba import njit

from mlatem.kernels.dense import FLOOR
from mlatem.kernels.information import blocked_dot

_FAST = {"contract", "nsz"}
#: What is left of a phase's information when the phases before it explain it.
_EXPLAINED = 1e-5


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def excess_scores(pointer, channel, count, spectrum, abundance, columns):  # type: ignore[no-untyped-def]
    """Derivative of every pixel's log-likelihood with respect to the counts in each column.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    spectrum : ndarray of shape (n_energy, n_phases)
        Expected counts for an abundance of one.
    abundance : ndarray of shape (n_pixels, n_phases)
    columns : ndarray of shape (n_energy, n_columns)

    Returns
    -------
    score : ndarray of shape (n_pixels, n_columns), float64
        sum_c column_c (y_c / mu_c - 1) with mu the model of the pixel; 0 where there is no model.
    """
    n_pixels, n_phases = abundance.shape
    n_columns = columns.shape[1]
    sums = np.zeros(n_columns)
    for c in range(columns.shape[0]):
        for j in range(n_columns):
            sums[j] += columns[c, j]
    score = np.zeros((n_pixels, n_columns))
    for p in range(n_pixels):
        if np.sum(abundance[p]) <= 0:
            continue
        for j in range(n_columns):
            score[p, j] = -sums[j]
        for event in range(pointer[p], pointer[p + 1]):
            c = channel[event]
            model = FLOOR
            for k in range(n_phases):
                model += abundance[p, k] * spectrum[c, k]
            ratio = count[event] / model
            for j in range(n_columns):
                score[p, j] += ratio * columns[c, j]
    return score


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def excess_information(phases, columns, abundance):  # type: ignore[no-untyped-def]
    """Expected information on the counts in each column, the abundances of the phases free.

    Parameters
    ----------
    phases : ndarray of shape (n_phases, n_groups), float32
    columns : ndarray of shape (n_columns, n_groups), float32
        Both on groups of alike channels; see `mlatem.kernels.information.alike_channels`.
    abundance : ndarray of shape (n_pixels, n_phases)
        Of maximum likelihood: phases at zero are held there.

    Returns
    -------
    information : ndarray of shape (n_pixels, n_columns), float64
        On each column alone; 0 in pixels without abundance and for columns that the phases explain.

    Notes
    -----
    The phases are eliminated one after the other (symmetric Gauss elimination). One whose spectrum
    the phases before it explain is left out.
    """
    n_phases, n_columns = len(phases), len(columns)
    information = np.zeros((len(abundance), n_columns))
    squares = columns * columns
    weight = np.empty(phases.shape[1], dtype=np.float32)
    scaled = np.empty(phases.shape[1], dtype=np.float32)
    cross = np.empty((n_phases + n_columns, n_phases))
    whole = np.empty(n_phases + n_columns)
    for p in range(len(abundance)):
        if np.sum(abundance[p]) <= 0:
            continue
        weight[:] = np.float32(FLOOR)
        for k in range(n_phases):
            amount = np.float32(abundance[p, k])
            for c in range(len(weight)):
                weight[c] += amount * phases[k, c]
        for c in range(len(weight)):
            weight[c] = np.float32(1.0) / weight[c]
        for k in range(n_phases):
            for c in range(len(weight)):
                scaled[c] = weight[c] * phases[k, c]
            for other in range(n_phases):
                cross[other, k] = blocked_dot(scaled, phases[other])
            for j in range(n_columns):
                cross[n_phases + j, k] = blocked_dot(scaled, columns[j])
            whole[k] = cross[k, k]
        for j in range(n_columns):
            whole[n_phases + j] = blocked_dot(weight, squares[j])
        explained = _explained(cross, abundance[p], whole)
        for j in range(n_columns):
            left = whole[n_phases + j] - explained[n_phases + j]
            if left > _EXPLAINED * whole[n_phases + j]:
                information[p, j] = left
    return information


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _explained(cross, abundance, whole):  # type: ignore[no-untyped-def]
    """Information of every row that the free phases take away; `cross` is overwritten."""
    n_all, n_phases = cross.shape
    explained = np.zeros(n_all)
    for k in range(n_phases):
        pivot = cross[k, k]
        if abundance[k] <= 0 or pivot <= _EXPLAINED * whole[k]:
            continue
        for i in range(n_all):
            explained[i] += cross[i, k] ** 2 / pivot
        for i in range(n_all - 1, k, -1):
            factor = cross[i, k] / pivot
            for other in range(k + 1, n_phases):
                cross[i, other] -= factor * cross[other, k]
    return explained


@njit(cache=True, nogil=True)
def simulate(abundance, distribution, pixel, seed):  # type: ignore[no-untyped-def]
    """Counts drawn from a model, the same for a pixel whatever the others are.

    Parameters
    ----------
    abundance : ndarray of shape (n_pixels, n_phases)
        Expected counts.
    distribution : ndarray of shape (n_phases, n_energy)
        Cumulative sums of phase spectra that add up to one.
    pixel : ndarray of shape (n_pixels,), int64
        Index of each pixel in the whole map.
    seed : int

    Returns
    -------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), uint32

    Notes
    -----
    The generator is the compiled code's own, one per thread, seeded anew for every pixel.
    """
    n_pixels, n_phases = abundance.shape
    n_photons = np.zeros((n_pixels, n_phases), dtype=np.int64)
    for p in range(n_pixels):
        np.random.seed(_stream(seed, pixel[p], 0))  # noqa: NPY002
        for k in range(n_phases):
            n_photons[p, k] = np.random.poisson(abundance[p, k])  # noqa: NPY002
    total = np.sum(n_photons)
    pointer = np.zeros(n_pixels + 1, dtype=np.int64)
    channel = np.empty(total, dtype=np.uint16)
    count = np.empty(total, dtype=np.uint32)
    photons = np.empty(np.max(np.sum(n_photons, axis=1)) if n_pixels else 0, dtype=np.int64)
    n_events = 0
    for p in range(n_pixels):
        np.random.seed(_stream(seed, pixel[p], 1))  # noqa: NPY002
        n = 0
        for k in range(n_phases):
            for _ in range(n_photons[p, k]):
                place = np.random.random()  # noqa: NPY002
                drawn = np.searchsorted(distribution[k], place, side="right")
                photons[n] = min(drawn, distribution.shape[1] - 1)
                n += 1
        photons[:n].sort()
        for i in range(n):
            if i > 0 and photons[i] == photons[i - 1]:
                count[n_events - 1] += np.uint32(1)
            else:
                channel[n_events] = photons[i]
                count[n_events] = 1
                n_events += 1
        pointer[p + 1] = n_events
    return pointer, channel[:n_events].copy(), count[:n_events].copy()


@njit(cache=True, nogil=True, inline="always")
def _stream(seed, pixel, part):  # type: ignore[no-untyped-def]
    """Seed of a pixel's generator: a hash (SplitMix64, Steele, Lea & Flood 2014)."""
    word = np.uint64(pixel * 2 + part) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint32(word ^ (word >> np.uint64(32)))
