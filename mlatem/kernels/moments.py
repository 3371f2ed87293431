# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighted second moments of sparse counts, and their projections on a few axes."""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 64


@njit(cache=True, nogil=True)
def by_channel(pointer, channel, n_energy):  # type: ignore[no-untyped-def]
    """The events in the order of their channels, and within a channel of their pixels.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    n_energy : int

    Returns
    -------
    start : ndarray of shape (n_energy + 1,), int64
        The events of channel i are `event[start[i]:start[i + 1]]`.
    event : ndarray of shape (n_events,), uint32
        Positions in `channel`.
    pixel : ndarray of shape (n_events,), uint32
        The pixel of each, numbered from 0.
    """
    start = np.zeros(n_energy + 1, dtype=np.int64)
    for i in channel:
        start[np.int64(i) + 1] += 1
    for i in range(n_energy):
        start[i + 1] += start[i]
    place = start[:-1].copy()
    event = np.empty(len(channel), dtype=np.uint32)
    pixel = np.empty(len(channel), dtype=np.uint32)
    for p in range(len(pointer) - 1):
        for e in range(pointer[p], pointer[p + 1]):
            i = channel[e]
            event[place[i]] = e
            pixel[place[i]] = p
            place[i] += 1
    return start, event, pixel


@njit(cache=True, nogil=True)
def add_sparse_moment(pointer, channel, count, totals, moment):  # type: ignore[no-untyped-def]
    """Add the sum over pixels of y y^T / g, with y the spectrum of a pixel and g its total.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
        Increasing within a pixel.
    count : ndarray of shape (n_events,), unsigned
    totals : ndarray of shape (n_pixels,), int64
    moment : ndarray of shape (n_energy, n_energy), float64
        Symmetric; is added to.

    Notes
    -----
    Row by row (Gustavson 1978, ACM Trans. Math. Softw. 4, 250), so that the row being summed
    stays in the fastest cache; only channels from the diagonal upwards, then mirrored. Every row
    is summed by itself first: what is added is, to the last bit, what the sum by itself would be.
    """
    n_energy = len(moment)
    start, events, pixels = by_channel(pointer, channel, n_energy)
    row = np.empty(n_energy)
    for i in range(n_energy):
        if start[i] == start[i + 1]:
            continue
        row[i:] = 0.0
        for place in range(start[i], start[i + 1]):
            first, p = np.int64(events[place]), np.int64(pixels[place])
            weight = np.float64(count[first]) / np.float64(totals[p])
            for e in range(first, pointer[p + 1]):
                row[channel[e]] += weight * np.float64(count[e])
        for k in range(i, n_energy):
            moment[i, k] += row[k]
    mirror(moment)


@njit(cache=True, nogil=True)
def moment_times(pointer, channel, count, totals, vectors):  # type: ignore[no-untyped-def]
    """Sum over pixels of y (y^T V) / g: the product of the moment with columns V, without it.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    totals : ndarray of shape (n_pixels,), int64
    vectors : ndarray of shape (n_energy, n_vectors), float64
        V, contiguous.

    Returns
    -------
    product : ndarray of shape (n_energy, n_vectors), float64
    """
    n_vectors = vectors.shape[1]
    product = np.zeros(vectors.shape)
    along = np.empty(n_vectors)
    for p in range(len(totals)):
        if totals[p] == 0:
            continue
        along[:] = 0.0
        for e in range(pointer[p], pointer[p + 1]):
            row = vectors[channel[e]]
            value = np.float64(count[e])
            for k in range(n_vectors):
                along[k] += value * row[k]
        for e in range(pointer[p], pointer[p + 1]):
            row = product[channel[e]]
            value = np.float64(count[e]) / np.float64(totals[p])
            for k in range(n_vectors):
                row[k] += value * along[k]
    return product


@njit(cache=True, nogil=True)
def mirror(matrix):  # type: ignore[no-untyped-def]
    """Copy the part above the diagonal to the part below, in place.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
    """
    n = len(matrix)
    for top in range(0, n, _BLOCK):
        for left in range(top, n, _BLOCK):
            for i in range(top, min(top + _BLOCK, n)):
                for j in range(max(left, i + 1), min(left + _BLOCK, n)):
                    matrix[j, i] = matrix[i, j]


@njit(cache=True, nogil=True)
def weighted_total(pointer, channel, count, totals, n_energy):  # type: ignore[no-untyped-def]
    """Sum over pixels of y / g.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    totals : ndarray of shape (n_pixels,), int64
    n_energy : int

    Returns
    -------
    spectrum : ndarray of shape (n_energy,), float64
    """
    spectrum = np.zeros(n_energy)
    for p in range(len(totals)):
        for e in range(pointer[p], pointer[p + 1]):
            spectrum[channel[e]] += np.float64(count[e]) / np.float64(totals[p])
    return spectrum


@njit(cache=True, nogil=True)
def project(pointer, channel, count, totals, table):  # type: ignore[no-untyped-def]
    """Sum over channels of y / sqrt(g) times a table of axes.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    totals : ndarray of shape (n_pixels,), int64
    table : ndarray of shape (n_energy, n_axes), float64

    Returns
    -------
    projection : ndarray of shape (n_pixels, n_axes), float32
        Zero for a pixel without counts.
    """
    n_axes = table.shape[1]
    projection = np.zeros((len(totals), n_axes), dtype=np.float32)
    total = np.empty(n_axes)
    for p in range(len(totals)):
        if totals[p] == 0:
            continue
        total[:] = 0.0
        for e in range(pointer[p], pointer[p + 1]):
            value = np.float64(count[e])
            row = table[channel[e]]
            for k in range(n_axes):
                total[k] += value * row[k]
        scale = 1.0 / np.sqrt(np.float64(totals[p]))
        for k in range(n_axes):
            projection[p, k] = total[k] * scale
    return projection
