# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of sparse spectra on a few axes and their sums over labelled regions."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.lanes import add_scaled, load, padded, pattern, store, zeros


def project(
    pointer: NDArray[np.int64],
    channel: NDArray[np.uint16],
    count: NDArray[np.unsignedinteger],
    axes: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Scalar products of every spectrum with a few axes.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    axes : ndarray of shape (n_energy, n_axes)
        Channels first.

    Returns
    -------
    projection : ndarray of shape (n_pixels, n_axes), float32
        Summed in the order of the channels, hence the same to the last bit in any tile.
    """
    n_axes = axes.shape[1]
    table = padded(axes)
    projection = np.empty((len(pointer) - 1, table.shape[1]), dtype=np.float32)
    _project(pointer, channel, count, table, pattern(n_axes), projection)
    return projection[:, :n_axes]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _project(pointer, channel, count, table, like, projection):  # type: ignore[no-untyped-def]
    for p in range(len(pointer) - 1):
        total = zeros(like)
        for event in range(pointer[p], pointer[p + 1]):
            total = add_scaled(total, np.float32(count[event]), load(like, table, channel[event]))
        store(total, projection, p)


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
