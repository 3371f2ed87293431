# SPDX-License-Identifier: GPL-3.0-or-later
"""Lazy arrays of counts: they decode only what is sliced."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mlatem.io.event_streams import (
    NEXT_PIXEL,
    EventStream,
    count_events,
    histogram,
    row_pieces,
    row_starts,
)
from mlatem.io.hdf5_chunks import read_chunks
from mlatem.io.signals import Moves
from mlatem.kernels.events import add_events, events_per_pixel


class AxisView:
    """An array seen in another order of its axes, with some of them reversed.

    Parameters
    ----------
    array : array-like of 3 dimensions
        Anything with `shape` and `dtype` that takes a tuple of slices: a memory map, an HDF5
        dataset, a Dask array.
    order : sequence of int
        `order[i]` is the axis of `array` that becomes axis `i`.
    flipped : sequence of bool
        Whether axis `i` of the view runs against that of the array.
    """

    ndim = 3

    def __init__(
        self,
        array: Any,
        order: Sequence[int] = (0, 1, 2),
        flipped: Sequence[bool] = (False, False, False),
    ) -> None:
        self.array = array
        self._order = tuple(order)
        self._flipped = tuple(flipped)
        self.shape = tuple(int(array.shape[axis]) for axis in self._order)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        bounds = bounds_of(region, self.shape)
        source = [slice(None)] * 3
        for axis, (start, stop) in enumerate(bounds):
            size = self.shape[axis]
            if self._flipped[axis]:
                start, stop = size - stop, size - start  # noqa: PLW2901
            source[self._order[axis]] = slice(start, stop)
        block = np.asarray(self.array[tuple(source)]).transpose(self._order)
        return block[tuple(slice(None, None, -1 if f else 1) for f in self._flipped)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


class HdfArray:
    """A dataset of an HDF5 file, which is open only while a region is read.

    Parameters
    ----------
    path : path-like
    name : str
        Of the dataset in the file.
    """

    def __init__(self, path: str | PathLike[str], name: str) -> None:
        self._path = Path(path).absolute()
        self._name = name
        with h5py.File(self._path, "r") as file:
            dataset = file[name]
            self.shape: tuple[int, ...] = dataset.shape
            self.dtype: np.dtype[Any] = dataset.dtype
            self.chunks: tuple[int, ...] | None = dataset.chunks
        self.ndim = len(self.shape)

    def __getitem__(self, region: Any) -> NDArray[Any]:
        with h5py.File(self._path, "r") as file:
            dataset = file[self._name]
            if _is_plain(region):
                block = read_chunks(dataset, bounds_of(region, self.shape))
                if block is not None:
                    return block
            return np.asarray(dataset[region])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


class StreamCube:
    """Counts (y, x, channel) of Velox event streams, one per detector, summed over all frames.

    A stream lists the channel of every count in the order of the scan; `NEXT_PIXEL` ends a pixel.
    What follows the last frame that is asked for is left out. Its type holds all counts of a pixel,
    so no channel of it can overflow.

    Parameters
    ----------
    streams : sequence of EventStream, or of ndarray of shape (n_events,), uint16
    shape : tuple of int
        (ny, nx, n_channels) of the scan.
    n_frames : int
        Frames to sum.
    """

    ndim = 3

    def __init__(
        self,
        streams: Sequence[EventStream | NDArray[np.uint16]],
        shape: tuple[int, int, int],
        n_frames: int,
    ) -> None:
        self.shape = shape
        self._streams = tuple(streams)
        self._row_starts = tuple(
            row_starts(stream, shape[0] * n_frames, shape[1]) for stream in streams
        )
        self._moves: Moves = ((0, 0),) * n_frames
        self.dtype: np.dtype[Any] = np.min_scalar_type(int(self.pixel_totals().max(initial=0)))

    def pixel_totals(self) -> NDArray[np.int64]:
        """Counts of every pixel, shape (ny, nx)."""
        ny, nx = self.shape[:2]
        total = np.zeros((ny, nx), dtype=np.int64)
        for move, rows, events in self._pieces(0, ny):
            piece = np.zeros((rows.stop - rows.start, nx), dtype=np.int64)
            events_per_pixel(events, NEXT_PIXEL, piece.reshape(-1))
            here, there = overlap(move[1], nx)
            total[rows, here] += piece[:, there]
        return total

    def moved(self, moves: Moves) -> StreamCube:
        """The counts with each frame moved by so many rows and columns, None to leave it out.

        What leaves the map is lost; nothing is interpolated.
        """
        view = copy.copy(self)
        view._moves = tuple(moves)
        view.dtype = np.min_scalar_type(int(view.pixel_totals().max(initial=0)))
        return view

    @property
    def totals(self) -> list[int]:
        """Counts of each stream within the frames, in the order of the streams."""
        return [
            count_events(stream, int(starts[0]), int(starts[-1]))
            for stream, starts in zip(self._streams, self._row_starts, strict=True)
        ]

    @property
    def spectra(self) -> NDArray[np.int64]:
        """Sum spectrum of each stream within the frames, shape (n_streams, n_channels)."""
        spectra = np.zeros((len(self._streams), self.shape[2]), dtype=np.int64)
        for i, (stream, starts) in enumerate(zip(self._streams, self._row_starts, strict=True)):
            spectra[i] = histogram(stream, int(starts[0]), int(starts[-1]))[: self.shape[2]]
        return spectra

    def part(self, *, stream: int | None = None, frames: range | None = None) -> StreamCube:
        """The counts of one stream, or of some consecutive frames; all where None."""
        view = copy.copy(self)
        if stream is not None:
            view._streams = (self._streams[stream],)
            view._row_starts = (self._row_starts[stream],)
        if frames is not None:
            rows = slice(frames.start * self.shape[0], frames.stop * self.shape[0] + 1)
            view._row_starts = tuple(starts[rows] for starts in view._row_starts)
            view._moves = self._moves[frames.start : frames.stop]
        return view

    @property
    def n_dropped(self) -> int:
        """Counts of all streams that lie behind the last frame."""
        return sum(
            count_events(stream, int(starts[-1]))
            for stream, starts in zip(self._streams, self._row_starts, strict=True)
        )

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        block = np.zeros((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        if block.size == 0:
            return block
        for move, rows, events in self._pieces(y0, y1):
            part = block[rows.start - y0 : rows.stop - y0]
            add_events(events, NEXT_PIXEL, self.shape[1], part, x0 - move[1], c0)
        return block

    def _pieces(
        self, y0: int, y1: int
    ) -> Iterator[tuple[tuple[int, int], slice, NDArray[np.uint16]]]:
        """Events of some rows of all streams and frames, a few whole rows at a time.

        With the move of the frame, and the rows where they come to lie.
        """
        ny = self.shape[0]
        for stream, starts in zip(self._streams, self._row_starts, strict=True):
            for frame, move in enumerate(self._moves):
                if move is None:
                    continue
                begin, dy = frame * ny, move[0]
                source = begin + max(y0 - dy, 0), begin + min(y1 - dy, ny)
                for first, last, events in row_pieces(stream, starts, *source):
                    yield move, slice(first - begin + dy, last - begin + dy), events

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


def overlap(move: int, size: int) -> tuple[slice, slice]:
    """Where an axis is covered by itself when it is moved, and the part of it that comes there."""
    first = min(max(move, 0), size)
    here = slice(first, max(size + min(move, 0), first))
    return here, slice(here.start - move, here.stop - move)


def _is_plain(region: Any) -> bool:
    """Whether a region is a tuple of slices of step 1."""
    entries = region if isinstance(region, tuple) else ()
    return bool(entries) and all(
        isinstance(entry, slice) and entry.step in (None, 1) for entry in entries
    )


def bounds_of(region: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Start and stop of a region of unit steps; missing slices cover their axis.

    Raises
    ------
    IndexError
        For anything other than slices of step 1.
    """
    region = region if isinstance(region, tuple) else (region,)
    if len(region) > len(shape):
        raise IndexError(f"{len(region)} indices for {len(shape)} axes")
    bounds = []
    for axis, size in enumerate(shape):
        entry = region[axis] if axis < len(region) else slice(None)
        if not isinstance(entry, slice) or entry.step not in (None, 1):
            raise IndexError(f"axis {axis}: {entry!r}; only slices of step 1 are supported")
        start, stop, _ = entry.indices(size)
        bounds.append((start, max(start, stop)))
    return bounds
