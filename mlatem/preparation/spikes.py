# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts without spikes, lazily, and what is to be said of the spikes that were found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.io.signals import RawSignals
from mlatem.io.views import bounds_of
from mlatem.model import Decision, SpectrumImage, Verdict
from mlatem.preparation.notes import noted, with_map
from mlatem.preprocessing.spikes import HALO_PX, REACH, find_spikes

#: Counts that are looked through at a time.
_BAND_BYTES = 16 << 20
#: Share of the pixels with a spike above which what is found is worth a look.
_MANY = 1e-3


class CountsWithoutSpikes:
    """Counts (y, x, channel) in which spikes have the value of the pixels around them.

    What a region holds does not depend on how the counts are cut into regions.

    Parameters
    ----------
    array : array-like of 3 dimensions
        Whole numbers; with `shape` and `dtype`, takes a tuple of slices.
    false_alarm : float
        Spikes of the whole array that noise alone would give.
    """

    ndim = 3

    def __init__(self, array: Any, false_alarm: float) -> None:
        self.array = array
        self.shape = tuple(int(size) for size in array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.found: dict[tuple[int, int, int], tuple[int, int]] = {}
        """Counts of every spike in the regions read so far, and what they were replaced by."""
        self._least_chance = false_alarm / float(np.prod(self.shape))

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        result = np.empty((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        row_bytes = max(1, (x1 - x0) * (c1 - c0) * self.dtype.itemsize)
        step = max(1, _BAND_BYTES // row_bytes)
        for start in range(y0, y1, step):
            rows = slice(start, min(start + step, y1))
            band = self._band(rows, slice(x0, x1), slice(c0, c1))
            result[rows.start - y0 : rows.stop - y0] = band
        return result

    def _band(self, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        outer = tuple(
            slice(max(part.start - halo, 0), min(part.stop + halo, size))
            for part, halo, size in zip(
                (rows, columns, channels), (HALO_PX, HALO_PX, REACH), self.shape, strict=True
            )
        )
        block = np.asarray(self.array[outer])
        core = tuple(
            slice(part.start - all_.start, part.stop - all_.start)
            for part, all_ in zip((rows, columns, channels), outer, strict=True)
        )
        spikes = find_spikes(block, (core[0], core[1]), least_chance=self._least_chance)
        band = block[core].copy()
        for y, x, c, value in zip(
            spikes.row.tolist(),
            spikes.column.tolist(),
            spikes.channel.tolist(),
            spikes.replaced_by.tolist(),
            strict=True,
        ):
            channel = c - core[2].start
            if 0 <= channel < band.shape[2]:
                place = rows.start + y, columns.start + x, channels.start + channel
                self.found[place] = int(band[y, x, channel]), value
                band[y, x, channel] = value
        return band

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


def without_spikes(
    signals: RawSignals, image: SpectrumImage, false_alarm: float, label: str
) -> tuple[RawSignals, CountsWithoutSpikes]:
    """The signals with an X-ray map, `image`, without spikes, which are found as it is read.

    Raises
    ------
    InputError
        If detectors or frames are to be stored apart too.
    """
    if signals.splits:
        raise InputError(
            f"{label}: spikes cannot be replaced where detectors or frames are stored apart: set "
            "preprocess.spikes, or convert.separate_detectors and convert.separate_frames, to false"
        )
    counts = CountsWithoutSpikes(image.counts, false_alarm)
    return with_map(signals, replace(image, counts=counts)), counts


def with_spikes_noted(image: SpectrumImage, counts: CountsWithoutSpikes) -> SpectrumImage:
    """The map with the spikes in its details, once all of it has been read."""
    n_found = len(counts.found)
    n_pixels = counts.shape[0] * counts.shape[1]
    verdict = Verdict(
        "spikes",
        float(n_found),
        _MANY * n_pixels,
        "",
        "good" if n_found <= max(1.0, _MANY * n_pixels) else "warning",
        f"{n_found} single values far above the channels and pixels around were replaced by the "
        "median of the pixels around",
    )
    choice = f"{n_found} spikes replaced" if n_found else "no spike to replace"
    reason = "compared with the channels and the pixels around, beyond chance"
    decision = Decision("convert", choice, reason, "preprocess.spikes")
    # Row, column and channel of the stored map before channels are summed, counts, replacement.
    table = [[*place, *values] for place, values in sorted(counts.found.items())]
    return noted(image, [decision], [verdict], spikes=table)
