# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts and sums of lazy counts: only what is sliced is read and summed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.io.views import bounds_of

#: Counts of the array below that are held at a time while channels are summed.
_BAND_BYTES = 8 << 20


class CroppedCounts:
    """Some rows and columns of counts (y, x, channel).

    Parameters
    ----------
    array : array-like of 3 dimensions
        Anything with `shape` and `dtype` that takes a tuple of slices.
    rows, columns : slice
        With start and stop inside of the array.
    """

    ndim = 3

    def __init__(self, array: Any, rows: slice, columns: slice) -> None:
        self.array = array
        self._first = rows.start, columns.start
        n_energy = int(array.shape[2])
        self.shape = (rows.stop - rows.start, columns.stop - columns.start, n_energy)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        y, x = self._first
        return np.asarray(self.array[y + y0 : y + y1, x + x0 : x + x1, c0:c1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


class BinnedCounts:
    """Counts (y, x, channel) of which so many channels are summed into one, exactly.

    Channels behind the last whole sum are left out.

    Parameters
    ----------
    array : array-like of 3 dimensions
        As for `CroppedCounts`.
    n_summed : int
        Channels that are summed; at most as many as there are.
    """

    ndim = 3

    def __init__(self, array: Any, n_summed: int) -> None:
        self.array = array
        self._n_summed = n_summed
        self.shape = (int(array.shape[0]), int(array.shape[1]), int(array.shape[2]) // n_summed)
        self.dtype = sum_dtype(np.dtype(array.dtype))

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        summed = np.empty((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        channels = slice(c0 * self._n_summed, c1 * self._n_summed)
        row_bytes = (x1 - x0) * (channels.stop - channels.start) * self.array.dtype.itemsize
        step = max(1, _BAND_BYTES // max(row_bytes, 1))
        for start in range(0, y1 - y0, step):
            stop = min(start + step, y1 - y0)
            block = np.asarray(self.array[y0 + start : y0 + stop, x0:x1, channels])
            groups = block.reshape(*block.shape[:2], c1 - c0, self._n_summed)
            np.sum(groups, axis=3, dtype=self.dtype, out=summed[start:stop])
        return summed

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that holds the sum of some ten values of a type."""
    if dtype.kind == "f":
        return np.dtype(np.float64)
    if dtype.kind == "i":
        return np.dtype(np.int64)
    return np.dtype(np.uint32 if dtype.itemsize <= 2 else np.uint64)
