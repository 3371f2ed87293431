# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of damage or of an interrupted scan that the counts themselves show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mlatem.io.mapped import MappedArray

#: Shortest run of zero bytes that looks like a block of a disk that was never written.
MIN_RUN_BYTES = 4096
#: Share of zeros elsewhere up to which such a run is no matter of chance.
MAX_ZERO_SHARE = 0.01


def suspicions_of(counts: MappedArray) -> list[str]:
    """What looks wrong with the counts of an EELS map, as sentences; empty where nothing does.

    Cameras have noise and an offset in every channel, so that long runs of exact zeros are signs
    of a damaged file or of pixels that the scan did not reach. Maps of counting cameras, in which
    zeros are common, are not suspected.

    Parameters
    ----------
    counts : MappedArray of shape (n_energy, ny, nx)
        Energy first, as Gatan stores it. It is read once, a part at a time.
    """
    seen = np.zeros(counts.shape[1:], dtype=bool)

    def blocks() -> Iterable[NDArray[np.bool_]]:
        for _, part in counts.parts():
            filled = np.asarray(part != 0)
            np.logical_or(seen, filled.any(axis=0), out=seen)
            yield filled.reshape(-1)

    start, length, n_zeros = longest_gap(blocks())
    size = int(np.prod(counts.shape))
    n_empty = int(np.count_nonzero(~seen))
    sentences = []
    if 0 < n_empty < seen.size:
        row, column = np.argwhere(~seen)[0]
        sentences.append(
            f"{n_empty} of {seen.size} pixels hold no counts in any channel, the first in row "
            f"{row}, column {column}: the acquisition was interrupted or the file is damaged"
        )
    if (
        length * counts.dtype.itemsize >= MIN_RUN_BYTES
        and length < size
        and n_zeros - length <= MAX_ZERO_SHARE * size
    ):
        plane = seen.size
        sentences.append(
            f"{length} of {size} counts are exactly zero in one run, from channel {start // plane} "
            f"to {(start + length - 1) // plane}, while elsewhere hardly any are: the file is "
            "probably damaged there, copy it again from the instrument"
        )
    return sentences


def longest_gap(blocks: Iterable[NDArray[np.bool_]]) -> tuple[int, int, int]:
    """Start and length of the longest run of False, and how many there are in all.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n,), bool
        Consecutive parts of one sequence.
    """
    best_start = best_length = n_false = position = run = 0
    for block in blocks:
        filled = np.flatnonzero(block)
        n_false += block.size - filled.size
        if filled.size == 0:
            run += block.size
            position += block.size
            continue
        lengths = np.diff(filled, prepend=-1) - 1
        lengths[0] += run
        longest = int(lengths.argmax())
        if lengths[longest] > best_length:
            best_length = int(lengths[longest])
            best_start = position + int(filled[longest]) - best_length
        run = block.size - 1 - int(filled[-1])
        position += block.size
    if run > best_length:
        best_start, best_length = position - run, run
    return best_start, best_length, n_false
