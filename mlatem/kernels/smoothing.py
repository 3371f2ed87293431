# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of maps under a Gaussian, and their variance."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Standard deviations at which the Gaussian is cut off.
TRUNCATE = 3.0


def smooth(
    values: NDArray[np.float32],
    variance: NDArray[np.float32],
    shape: tuple[int, int],
    sigma_px: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps under a Gaussian that adds up to one, nothing beyond their border.

    Parameters
    ----------
    values : ndarray of shape (n_pixels, n_maps), float32
    variance : ndarray of shape (n_pixels, n_variances), float32
        Of independent pixels.
    shape : tuple of int
        Rows and columns of the map.
    sigma_px : float
        Standard deviation of the Gaussian; 0 changes nothing.

    Returns
    -------
    values, variance : ndarray of the same shapes
        A pixel's sum is made of the same pixels in the same order wherever the map is cut.
    """
    if sigma_px <= 0:
        return values, variance
    weight = gaussian(sigma_px).astype(np.float32)
    return _both_ways(values, shape, weight), _both_ways(variance, shape, weight**2)


def gaussian(sigma_px: float) -> NDArray[np.float64]:
    """Weights along one direction, an odd number of them, that add up to one."""
    radius = int(np.ceil(TRUNCATE * sigma_px))
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    normalized: NDArray[np.float64] = weight / weight.sum()
    return normalized


def _both_ways(
    values: NDArray[np.float32], shape: tuple[int, int], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    maps = np.ascontiguousarray(values).reshape(*shape, -1)
    along = np.empty_like(maps)
    _along_columns(maps, weight, along)
    result = np.empty_like(maps)
    _along_rows(along, weight, result)
    return result.reshape(values.shape)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _along_columns(maps, weight, result):  # type: ignore[no-untyped-def]
    n_rows, n_columns, n_maps = maps.shape
    radius = len(weight) // 2
    for y in range(n_rows):
        for x in range(n_columns):
            total = result[y, x]
            total[:] = 0.0
            for other in range(max(0, x - radius), min(n_columns, x + radius + 1)):
                w = weight[other - x + radius]
                for i in range(n_maps):
                    total[i] += w * maps[y, other, i]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _along_rows(maps, weight, result):  # type: ignore[no-untyped-def]
    n_rows, n_columns, n_maps = maps.shape
    radius = len(weight) // 2
    for y in range(n_rows):
        result[y] = 0.0
        for other in range(max(0, y - radius), min(n_rows, y + radius + 1)):
            w = weight[other - y + radius]
            for x in range(n_columns):
                for i in range(n_maps):
                    result[y, x, i] += w * maps[other, x, i]
