# SPDX-License-Identifier: GPL-3.0-or-later
"""Event streams of Velox, walked through in blocks: none is ever held whole.

A stream is anything with a length that gives arrays for slices: an array, or an `EventStream`.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.hdf5 import check_whole

#: Events that are read at a time.
BLOCK_EVENTS = 1 << 20
#: Velox writes this where the probe moves to the next pixel.
NEXT_PIXEL = 65535


class EventStream:
    """The first column of an HDF5 dataset of uint16; the file is open only while a slice is read.

    Parameters
    ----------
    path : path-like
    name : str
        Of the dataset, shape (n_events, 1).

    Raises
    ------
    ReadError
        If the dataset is of another form, or was not written to its end.
    """

    def __init__(self, path: str | PathLike[str], name: str) -> None:
        self._path, self._name = Path(path).absolute(), name
        with h5py.File(self._path, "r") as file:
            data = file[name]
            if data.dtype != np.uint16 or data.ndim != 2:
                raise ReadError(
                    str(path),
                    f"its event stream {name} is of {data.dtype} in {data.ndim} dimensions, "
                    "expected uint16 in 2",
                    "The file is damaged: copy it again from the instrument",
                )
            check_whole(data, str(path))
            self._length = int(data.shape[0])
            self.dtype: np.dtype[Any] = data.dtype

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, region: slice) -> NDArray[np.uint16]:
        with h5py.File(self._path, "r") as file:
            return np.asarray(file[self._name][region, 0])

    @property
    def nbytes(self) -> int:
        """Memory that it takes while it is read: a block, and what is made of it."""
        return min(len(self), BLOCK_EVENTS) * (self.dtype.itemsize + np.dtype(np.int64).itemsize)


def blocks(stream: Any, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint16]]:
    """A stretch of a stream in blocks."""
    stop = len(stream) if stop is None else stop
    for begin in range(start, stop, BLOCK_EVENTS):
        yield stream[begin : min(begin + BLOCK_EVENTS, stop)]


def histogram(stream: Any, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
    """How often each value of uint16 comes in a stretch, shape (65536,)."""
    found = np.zeros(NEXT_PIXEL + 1, dtype=np.int64)
    for block in blocks(stream, start, stop):
        found += np.bincount(block, minlength=len(found))
    return found


def count_events(stream: Any, start: int = 0, stop: int | None = None) -> int:
    """Events of a stretch: whatever is no mark."""
    return sum(int(np.count_nonzero(block != NEXT_PIXEL)) for block in blocks(stream, start, stop))


def row_starts(stream: Any, n_rows: int, n_columns: int) -> NDArray[np.int64]:
    """Positions in a stream where each row starts and the last one ends, shape (n_rows + 1,).

    Rows that the scan did not reach are empty, at the end of the stream.
    """
    starts = np.full(n_rows + 1, len(stream), dtype=np.int64)
    starts[0] = 0
    n_pixels, position = 0, 0
    for block in blocks(stream):
        ends = np.flatnonzero(block == NEXT_PIXEL)
        # The first mark of this block is the mark number `n_pixels`; a row ends at its last one.
        last = ends[(n_columns - 1 - n_pixels) % n_columns :: n_columns]
        first_row = n_pixels // n_columns + 1
        inside = last[: max(n_rows + 1 - first_row, 0)]
        starts[first_row : first_row + len(inside)] = position + inside + 1
        n_pixels += len(ends)
        position += len(block)
    return starts


def row_pieces(
    stream: Any, starts: NDArray[np.int64], first: int, last: int
) -> Iterator[tuple[int, int, NDArray[np.uint16]]]:
    """Rows from `first` to before `last` in pieces of whole rows, each with its events.

    Parameters
    ----------
    stream : EventStream or ndarray
    starts : ndarray of shape (n_rows + 1,)
        See `row_starts`.
    first, last : int

    Yields
    ------
    first, last : int
        Rows of the piece.
    events : ndarray of shape (n_events,), uint16
        Not many more than `BLOCK_EVENTS`, but for rows that have more.
    """
    row = first
    while row < last:
        end = int(np.searchsorted(starts[: last + 1], starts[row] + BLOCK_EVENTS, side="right"))
        stop = min(max(end - 1, row + 1), last)
        yield row, stop, stream[int(starts[row]) : int(starts[stop])]
        row = stop
