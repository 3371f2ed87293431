# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of sparse spectra on a few axes and their sums over labelled regions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def project(pointer, channel, count, axes):  # type: ignore[no-untyped-def]
    """Scalar products of every spectrum with a few axes.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    axes : ndarray of shape (n_energy, n_axes), float64
        Channels first.

    Returns
    -------
    projection : ndarray of shape (n_pixels, n_axes), float64
        Summed in the order of the channels, hence the same to the last bit in any tile.
    """
    n_axes = axes.shape[1]
    projection = np.zeros((len(pointer) - 1, n_axes))
    for p in range(len(pointer) - 1):
        for event in range(pointer[p], pointer[p + 1]):
            c, y = channel[event], np.float64(count[event])
            for i in range(n_axes):
                projection[p, i] += y * axes[c, i]
    return projection


@njit(cache=True, nogil=True)
def sum_by_label(pointer, channel, count, label, n_labels, n_energy):  # type: ignore[no-untyped-def]
    """Summed spectrum and number of pixels of every label.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    label : ndarray of shape (n_pixels,), integer
        Pixels with a negative label are left out.
    n_labels : int
    n_energy : int

    Returns
    -------
    counts : ndarray of shape (n_labels, n_energy), int64
    n_pixels : ndarray of shape (n_labels,), int64
    """
    counts = np.zeros((n_labels, n_energy), dtype=np.int64)
    n_pixels = np.zeros(n_labels, dtype=np.int64)
    for p in range(len(label)):
        region = label[p]
        if region < 0:
            continue
        n_pixels[region] += 1
        for event in range(pointer[p], pointer[p + 1]):
            counts[region, channel[event]] += np.int64(count[event])
    return counts, n_pixels
