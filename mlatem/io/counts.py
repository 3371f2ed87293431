# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of raw counts, block by block, before they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.io.layout import plan_layout, shard_regions
from mlatem.io.signals import RawSignals
from mlatem.model import SpectrumImage

#: Files up to this size are checked as they are read; larger ones when they are converted.
EAGER_CHECK_BYTES = 1 << 30


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
    label = f"spectrum image {image.name!r}" if image.name else "the spectrum image"
    summary = CountSummary()
    for region in shard_regions(image.shape, plan_layout(image.shape)):
        try:
            summary = summary.merge(summarize(read_block(signals, image, region)))
        except InputError as error:
            signals.refuse(f"{label}: {error}", "Repair the file; MLATEM does not guess values")
    if image.technique == "edxs":
        if summary.minimum < 0:
            signals.refuse(
                f"{label} has negative counts (down to {summary.minimum:g})",
                "Give the raw counts, before any background subtraction",
            )
        if not summary.is_whole:
            signals.refuse(
                f"{label} holds fractions of counts, expected whole numbers",
                "Give the raw counts, before any scaling, filtering or dead-time correction",
            )
    if summary.total < 0:
        signals.refuse(
            f"{label} sums to {summary.total:.6g} counts (lowest value {summary.minimum:g})",
            "The file is damaged, or its background was subtracted: give the raw counts of an "
            "undamaged copy",
        )
    if summary.total == 0:
        signals.refuse(
            f"{label} holds no counts in {image.shape[0]} x {image.shape[1]} pixels",
            "The acquisition may have been interrupted: export the map again",
        )
    return summary


def read_block(
    signals: RawSignals, image: SpectrumImage, region: tuple[slice, slice, slice]
) -> NDArray[Any]:
    """Counts of a region as an array; a file that breaks off here is a `ReadError`."""
    try:
        return np.asarray(image.counts[region])
    except (OSError, ValueError, IndexError) as error:
        signals.refuse(
            f"rows {region[0].start} to {region[0].stop} cannot be read "
            f"({type(error).__name__}: {error})",
            "The file may be truncated: copy it again from the instrument",
        )
