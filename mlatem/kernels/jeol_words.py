# SPDX-License-Identifier: GPL-3.0-or-later
"""The 16-bit words of a JEOL event stream: kind in the upper 4 bits, value in the lower 12.

Positions run over 0 to 4095 whatever the size of the scan. Facts of the format as in the reader of
RosettaSciIO (https://github.com/hyperspy/rosettasciio, `jeol`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Kinds of words: column, row, value of the electron image, channel of a count.
COLUMN, ROW, IMAGE, COUNT = 8, 9, 10, 11
#: Smaller kinds do not occur (6 and 7 are ticks of the clocks); zeros are missing data.
FIRST_KIND = 6

#: Fields that `tally` returns.
N_TALLY = 6
PLACED, UNPLACED, N_IMAGE, N_FOREIGN, N_DAMAGED, LAST_COLUMN = range(N_TALLY)


@njit(cache=True, nogil=True)
def add_counts(words, step, first, block):  # type: ignore[no-untyped-def]
    """Add the counts of a stretch of the stream that lie in a block.

    Parameters
    ----------
    words : ndarray of shape (n_words,), uint16
        Begins with the mark of a row.
    step : tuple of int
        Distance of rows and of columns in units of the stream.
    first : tuple of int
        Row, column and channel of the block's first element.
    block : ndarray of shape (ny, nx, n_channels), uint32
        Changed in place.
    """
    n_rows, n_columns, n_channels = block.shape
    row, column = -1, -1
    for word in words:
        kind, value = word >> 12, np.int64(word & 0xFFF)
        if kind == COUNT:
            channel = value - first[2]
            if 0 <= row < n_rows and 0 <= column < n_columns and 0 <= channel < n_channels:
                block[row, column, channel] += 1
        elif kind == COLUMN:
            column = value // step[1] - first[1]
        elif kind == ROW:
            row, column = value // step[0] - first[0], -1


@njit(cache=True, nogil=True)
def add_image(words, step, total, n_values):  # type: ignore[no-untyped-def]
    """Add the values of the electron image in a stretch of the stream.

    Parameters
    ----------
    words, step
        As for `add_counts`.
    total, n_values : ndarray of shape (ny, nx), uint32
        Sum of the values of a pixel and how many there were; changed in place.
    """
    n_rows, n_columns = total.shape
    row, column = -1, -1
    for word in words:
        kind, value = word >> 12, np.int64(word & 0xFFF)
        if kind == IMAGE:
            if 0 <= row < n_rows and 0 <= column < n_columns:
                total[row, column] += value
                n_values[row, column] += 1
        elif kind == COLUMN:
            column = value // step[1]
        elif kind == ROW:
            row, column = value // step[0], -1


@njit(cache=True, nogil=True)
def add_totals(words, step, total):  # type: ignore[no-untyped-def]
    """Add the number of counts of every pixel in a stretch of the stream.

    Parameters
    ----------
    words, step
        As for `add_counts`.
    total : ndarray of shape (ny, nx), int64
        Changed in place.
    """
    n_rows, n_columns = total.shape
    row, column = -1, -1
    for word in words:
        kind, value = word >> 12, np.int64(word & 0xFFF)
        if kind == COUNT:
            if 0 <= row < n_rows and 0 <= column < n_columns:
                total[row, column] += 1
        elif kind == COLUMN:
            column = value // step[1]
        elif kind == ROW:
            row, column = value // step[0], -1


@njit(cache=True, nogil=True)
def tally(words, step, shape):  # type: ignore[no-untyped-def]
    """What a stretch of the stream holds.

    Parameters
    ----------
    words, step
        As for `add_counts`.
    shape : tuple of int
        Rows and columns of the scan.

    Returns
    -------
    tally : ndarray of shape (N_TALLY,), int64
        Counts with a position in the scan (`PLACED`) and without (`UNPLACED`), values of the image
        (`N_IMAGE`), words of kinds above `COUNT` (`N_FOREIGN`), words that no stream of such a
        scan has (`N_DAMAGED`: of kinds below `FIRST_KIND`, or marks beside the rows and columns),
        and the last column (`LAST_COLUMN`; -1 where the last row has none).
    """
    found = np.zeros(N_TALLY, dtype=np.int64)
    row, column = -1, -1
    for word in words:
        kind, value = word >> 12, np.int64(word & 0xFFF)
        if kind == COUNT:
            is_placed = 0 <= row < shape[0] and 0 <= column < shape[1]
            found[PLACED if is_placed else UNPLACED] += 1
        elif kind == COLUMN:
            column = value // step[1]
            if value % step[1] or column >= shape[1]:
                found[N_DAMAGED] += 1
        elif kind == ROW:
            row, column = value // step[0], -1
            if value % step[0] or row >= shape[0]:
                found[N_DAMAGED] += 1
        elif kind == IMAGE:
            found[N_IMAGE] += 1
        elif kind > COUNT:
            found[N_FOREIGN] += 1
        elif kind < FIRST_KIND:
            found[N_DAMAGED] += 1
    found[LAST_COLUMN] = column
    return found
