# SPDX-License-Identifier: GPL-3.0-or-later
"""The event stream of a JEOL .pts file: its frames, and the counts of any region of their sum."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.io.signals import Moves
from mlatem.io.views import bounds_of
from mlatem.kernels import jeol_words

#: Positions and channels run from 0 to one less.
FULL_RANGE = 4096
#: Words that are looked through at a time for the marks of rows.
BLOCK_WORDS = 1 << 22


@dataclass(frozen=True)
class Frame:
    """One sweep over the scan, as far as the stream has it."""

    row_starts: NDArray[np.int64]
    """Where in the stream each row begins and the last one ends, shape (ny + 1,)."""
    first_row: int
    last_row: int
    n_rows: int
    """Rows that have a mark."""
    n_counts: int
    n_unplaced: int
    """Counts outside the scan, or before the first column of their row."""
    n_image: int
    """Values of the electron image."""
    n_foreign: int
    """Words of kinds that are not known."""
    n_damaged: int
    """Words that no intact stream of such a scan has."""
    last_column: int

    def is_whole(self, shape: tuple[int, int]) -> bool:
        """Whether the sweep went over all `shape` (ny, nx) and nothing of it is damaged.

        Without an electron image, pixels and rows without counts leave no trace.
        """
        ny, nx = shape
        reached = self.first_row == 0 and self.last_row == ny - 1
        if self.n_image:
            reached = reached and self.n_rows == ny and self.last_column == nx - 1
        return reached and self.n_damaged == 0


def steps(shape: tuple[int, int]) -> tuple[int, int]:
    """Distance of the rows and of the columns of a scan in units of the stream."""
    return FULL_RANGE // shape[0], FULL_RANGE // shape[1]


def frames_of(words: NDArray[np.uint16], shape: tuple[int, int]) -> list[Frame]:
    """The frames of a stream; a new one begins where the row falls.

    Parameters
    ----------
    words : ndarray of shape (n_words,), uint16
        May be a memory map: it is read in blocks.
    shape : tuple of int
        (ny, nx) of the scan.
    """
    positions, rows = _row_marks(words, steps(shape)[0])
    begins = np.concatenate([[0], np.flatnonzero(np.diff(rows) < 0) + 1, [len(rows)]])
    ends = np.append(positions, len(words))
    return [
        _frame(words, ends[begin : end + 1], rows[begin:end], shape)
        for begin, end in pairwise(begins)
        if end > begin
    ]


def _frame(
    words: NDArray[np.uint16],
    positions: NDArray[np.int64],
    rows: NDArray[np.int64],
    shape: tuple[int, int],
) -> Frame:
    found = jeol_words.tally(words[positions[0] : positions[-1]], steps(shape), shape)
    return Frame(
        row_starts=positions[np.searchsorted(rows, np.arange(shape[0] + 1))],
        first_row=int(rows[0]),
        last_row=int(rows[-1]),
        n_rows=len(np.unique(rows)),
        n_counts=int(found[jeol_words.PLACED]),
        n_unplaced=int(found[jeol_words.UNPLACED]),
        n_image=int(found[jeol_words.N_IMAGE]),
        n_foreign=int(found[jeol_words.N_FOREIGN]),
        n_damaged=int(found[jeol_words.N_DAMAGED]),
        last_column=int(found[jeol_words.LAST_COLUMN]),
    )


def _row_marks(words: NDArray[np.uint16], step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Position in the stream and row of every mark of a row, shape (n_marks,) each."""
    positions, rows = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(words), BLOCK_WORDS):
        block = words[start : start + BLOCK_WORDS]
        found = np.flatnonzero(block >> 12 == jeol_words.ROW)
        positions.append(found + start)
        rows.append((block[found] & (FULL_RANGE - 1)).astype(np.int64) // step)
    return np.concatenate(positions), np.concatenate(rows)


def electron_image(
    words: NDArray[np.uint16], frames: Sequence[Frame], shape: tuple[int, int]
) -> NDArray[np.float32] | None:
    """The electron image (ny, nx), averaged over frames; None where the stream has none."""
    if not any(frame.n_image for frame in frames):
        return None
    total, n_values = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for frame in frames:
        stretch = words[frame.row_starts[0] : frame.row_starts[-1]]
        jeol_words.add_image(stretch, steps(shape), total, n_values)
    return (total / np.maximum(n_values, 1)).astype(np.float32)


class FrameCube:
    """Counts (y, x, channel), summed over frames; only what is sliced is decoded.

    Parameters
    ----------
    words : ndarray of shape (n_words,), uint16
    frames : sequence of Frame
    shape : tuple of int
        (ny, nx) of the scan.
    """

    ndim = 3
    dtype: np.dtype[Any] = np.dtype(np.uint32)

    def __init__(
        self, words: NDArray[np.uint16], frames: Sequence[Frame], shape: tuple[int, int]
    ) -> None:
        self.shape = (*shape, FULL_RANGE)
        self._words = words
        self._steps = steps(shape)
        self._row_starts = np.array([frame.row_starts for frame in frames], dtype=np.int64)
        self._moves: Moves = ((0, 0),) * len(frames)

    def moved(self, moves: Moves) -> FrameCube:
        """The counts with each frame moved by so many rows and columns, None to leave it out.

        What leaves the map is lost; nothing is interpolated.
        """
        view = copy.copy(self)
        view._moves = tuple(moves)
        return view

    def totals_of(self, frame: int) -> NDArray[np.int64]:
        """Counts of the pixels (ny, nx) of a frame, where it was recorded."""
        total = np.zeros(self.shape[:2], dtype=np.int64)
        starts = self._row_starts[frame]
        jeol_words.add_totals(self._words[starts[0] : starts[-1]], self._steps, total)
        return total

    @property
    def nbytes(self) -> int:
        """Memory that the positions of the rows take."""
        return self._row_starts.nbytes

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[np.uint32]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        block = np.zeros((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        for starts, move in zip(self._row_starts, self._moves, strict=True):
            if move is None:
                continue
            first, last = max(y0 - move[0], 0), min(y1 - move[0], self.shape[0])
            if first < last:
                stretch = self._words[starts[first] : starts[last]]
                begin = y0 - move[0], x0 - move[1], c0
                jeol_words.add_counts(stretch, self._steps, begin, block)
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)
