# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters whose taps lie apart, as of wavelet transforms that are not decimated."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def add_filtered(image, taps, origin, step, result):  # type: ignore[no-untyped-def]
    """Add the sum over k of taps[k] * image[y + y0 + k dy, x + x0 + k dx] to every result[y, x].

    Parameters
    ----------
    image : ndarray of shape (ny, nx), float32
    taps : ndarray of shape (n_taps,), float32
    origin : tuple of int
        Row y0 and column x0 at which the first tap meets the first pixel.
    step : tuple of int
        Rows dy and columns dx from tap to tap.
    result : ndarray of shape (my, mx), float32
        Is added to. All pixels that the taps meet must lie in the image.
    """
    (y0, x0), (dy, dx) = origin, step
    n_rows, n_columns = result.shape
    for y in range(n_rows):
        for k in range(len(taps)):
            tap = taps[k]
            row = y + y0 + k * dy
            first = x0 + k * dx
            for x in range(n_columns):
                result[y, x] += tap * image[row, first + x]
