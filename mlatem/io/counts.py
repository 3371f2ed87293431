# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of raw counts, block by block, before they are stored."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.io.ahead import ahead
from mlatem.io.cut_views import BinnedCounts, CroppedCounts
from mlatem.io.layout import plan_layout, shard_regions
from mlatem.io.signals import RawSignals
from mlatem.io.views import AxisView, HdfArray
from mlatem.model import SpectrumImage

#: Files up to this size are checked as they are read; larger ones when they are converted.
EAGER_CHECK_BYTES = 1 << 30
#: Of a file, read at a time.
BAND_BYTES = 8 << 20
#: Bands that are read before they are needed.
BANDS_AHEAD = 2


@dataclass(frozen=True)
class CountSummary:
    """What has to be known of all counts before the first one is written; adds up over blocks."""

    total: float = 0.0
    """Sum of all counts; exact for whole numbers up to 2**53."""
    minimum: float = 0.0
    maximum: float = 0.0
    is_whole: bool = True
    """All counts are whole numbers."""

    def merge(self, other: CountSummary) -> CountSummary:
        """Summary of both sets of counts; `CountSummary()` is the identity."""
        return CountSummary(
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.is_whole and other.is_whole,
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds whole, non-negative counts, else float32."""
        if self.is_whole and self.minimum >= 0:
            for name in ("u1", "u2", "u4", "u8"):
                if self.maximum <= np.iinfo(name).max:
                    return np.dtype(name)
        return np.dtype("f4")


def summarize(block: NDArray[Any]) -> CountSummary:
    """Sum, extremes and kind of the counts of one block.

    Raises
    ------
    InputError
        If a value is NaN or infinite.
    """
    if block.size == 0:
        return CountSummary()
    if block.dtype.kind in "ub":
        return CountSummary(float(block.sum(dtype=np.uint64)), 0.0, float(block.max()), True)
    if block.dtype.kind == "i":
        total = float(block.sum(dtype=np.int64))
        return CountSummary(total, float(block.min()), float(block.max()), True)
    if block.dtype.kind != "f":
        raise InputError(f"counts are of type {block.dtype}, expected numbers")
    if not np.all(np.isfinite(block)):
        bad = np.argwhere(~np.isfinite(block))[0]
        raise InputError(f"a count is NaN or infinite (first at offset {bad.tolist()} of a tile)")
    whole = bool(np.all(block == np.rint(block)))
    total = float(block.sum(dtype=np.float64))
    return CountSummary(total, float(block.min()), float(block.max()), whole)


def check_counts(signals: RawSignals, image: SpectrumImage) -> CountSummary:
    """Read all counts of a signal once, tile by tile, and check that they can be analysed.

    Raises
    ------
    ReadError
        If a count is NaN, negative, or (EDXS) not whole, if there are none at all, or if a part of
        the file cannot be read. An `InputError` where the signals come from no file.
    """
    summary = CountSummary()
    for _, _, so_far in checked_blocks(signals, image):
        summary = so_far
    check_not_empty(signals, image, summary)
    return summary


def checked_blocks(
    signals: RawSignals, image: SpectrumImage
) -> Iterator[tuple[tuple[slice, slice, slice], NDArray[Any], CountSummary]]:
    """Region, counts and summary so far of every shard of a signal, each read once.

    Blocks come in the smallest type for all counts so far. Files are read in bands that are
    given back to the system, or a block would lie in memory twice, and a mapped file whole. Drop a
    block before you ask for the next one.

    Raises
    ------
    ReadError, InputError
        As `check_counts`, in the block where it shows.
    """
    summary = CountSummary()
    band_rows = _band_rows(image)
    parts = _parts(signals, image, band_rows)
    if isinstance(image.counts, HdfArray):
        # Decompressed in threads while the bands before are checked and written.
        parts = ahead(parts, BANDS_AHEAD)
    block: NDArray[Any] | None = None
    for region, rows, part in parts:
        summary = _checked_summary(signals, image, part, summary)
        if band_rows is None:
            block = part.astype(summary.dtype, copy=False)
        else:
            if block is None:
                shape = (region[0].stop - region[0].start, *part.shape[1:])
                block = np.empty(shape, dtype=summary.dtype)
            block = block.astype(summary.dtype, copy=False)
            block[rows.start - region[0].start : rows.stop - region[0].start] = part
            _release(part)
        del part  # or two of them would lie in memory while the next one is read
        if rows.stop == region[0].stop:
            yield region, block, summary
            block = None


def _parts(
    signals: RawSignals, image: SpectrumImage, band_rows: int | None
) -> Iterator[tuple[tuple[slice, slice, slice], slice, NDArray[Any]]]:
    """Region of every shard, and rows and counts of every band of it."""
    for region in shard_regions(image.shape, plan_layout(image.shape)):
        for rows in _bands(region[0], band_rows):
            yield region, rows, read_block(signals, image, (rows, *region[1:]))


def _checked_summary(
    signals: RawSignals, image: SpectrumImage, part: NDArray[Any], summary: CountSummary
) -> CountSummary:
    try:
        summary = summary.merge(summarize(part))
    except InputError as error:
        cause = f"{_label(image)}: {error}"
        signals.refuse(cause, "Repair the file; MLATEM does not guess values")
    if image.technique == "edxs":
        _check_kind(signals, image, summary)
    return summary


def _bands(rows: slice, step: int | None) -> Iterator[slice]:
    """Rows of a region in pieces that end at multiples of `step`; in one piece without it."""
    start = rows.start
    while start < rows.stop:
        stop = rows.stop if step is None else min(start - start % step + step, rows.stop)
        yield slice(start, stop)
        start = stop


def _band_rows(image: SpectrumImage) -> int | None:
    """Rows to read of a file at a time, whole chunks of them; None where counts are in memory."""
    counts: Any = image.counts
    chunk_rows = 1
    while isinstance(counts, AxisView | CroppedCounts | BinnedCounts):
        counts = counts.array
    if isinstance(counts, HdfArray) and counts is image.counts:
        chunk_rows = counts.chunks[0] if counts.chunks else 1
    elif not isinstance(counts, np.memmap):
        return None
    n_columns = min(image.shape[1], plan_layout(image.shape).shards[1])
    row_bytes: int = n_columns * image.shape[2] * image.counts.dtype.itemsize
    return max(1, BAND_BYTES // (row_bytes * chunk_rows)) * chunk_rows


def _check_kind(signals: RawSignals, image: SpectrumImage, summary: CountSummary) -> None:
    if summary.minimum < 0:
        signals.refuse(
            f"{_label(image)} has negative counts (down to {summary.minimum:g})",
            "Give the raw counts, before any background subtraction",
        )
    if not summary.is_whole:
        signals.refuse(
            f"{_label(image)} holds fractions of counts, expected whole numbers",
            "Give the raw counts, before any scaling, filtering or dead-time correction",
        )


def check_not_empty(signals: RawSignals, image: SpectrumImage, summary: CountSummary) -> None:
    """Refuse a map without any counts, or with less than none.

    Raises
    ------
    ReadError, InputError
        If there are none, or the sum is negative.
    """
    if summary.total < 0:
        signals.refuse(
            f"{_label(image)} sums to {summary.total:.6g} counts (lowest value "
            f"{summary.minimum:g})",
            "The file is damaged, or its background was subtracted: give the raw counts of an "
            "undamaged copy",
        )
    if summary.total == 0:
        signals.refuse(
            f"{_label(image)} holds no counts in {image.shape[0]} x {image.shape[1]} pixels",
            "The acquisition may have been interrupted: export the map again",
        )


def _label(image: SpectrumImage) -> str:
    return f"spectrum image {image.name!r}" if image.name else "the spectrum image"


def _release(block: NDArray[Any]) -> None:
    """Give the memory of a memory map's pages back; they are read again where they are needed."""
    base: Any = block
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED") and not block.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)


def read_block(
    signals: RawSignals, image: SpectrumImage, region: tuple[slice, slice, slice]
) -> NDArray[Any]:
    """Counts of a region as an array; a file that breaks off here is a `ReadError`."""
    try:
        return np.asarray(image.counts[region])
    except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
        signals.refuse(
            f"rows {region[0].start} to {region[0].stop} cannot be read "
            f"({type(error).__name__}: {error})",
            "The file may be truncated: copy it again from the instrument",
        )
