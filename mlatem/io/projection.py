# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conversion will need, before anything is converted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlatem.io.layout import projected_memory_bytes
from mlatem.io.signals import RawSignals

#: Uncompressed counts that are checked, compressed and written in a second, on one core and a local
#: disk: measured as 90 to 210 MB/s on a map of 256 x 256 x 2048 with 2 % of the channels filled.
#: Only a guide: a slow disk, a shared one or a file that is itself slow to decode takes longer.
BYTES_PER_SECOND = 100e6


@dataclass(frozen=True)
class Projection:
    """Memory and time of a conversion."""

    memory_bytes: int
    """Peak memory beyond the interpreter's own (see `mlatem.io.layout.projected_memory_bytes`)."""
    count_bytes: int
    """Size of all counts, uncompressed, in the type that the reader returns."""

    @property
    def seconds(self) -> float:
        """Rough time after the file has been opened, from `count_bytes` and `BYTES_PER_SECOND`."""
        return self.count_bytes / BYTES_PER_SECOND


def project(signals: RawSignals) -> Projection:
    """Memory and time that writing `signals` as a store will take.

    Parameters
    ----------
    signals : RawSignals
        Opened, not read.
    """
    images = [(image.shape, image.counts.dtype.itemsize) for image in signals.spectrum_images]
    return Projection(
        memory_bytes=max(
            projected_memory_bytes(shape, itemsize, resident_bytes=signals.resident_bytes)
            for shape, itemsize in images
        ),
        count_bytes=sum(math.prod(shape) * itemsize for shape, itemsize in images)
        + sum(
            math.prod(part.shape) * part.dtype.itemsize
            for split in signals.splits
            for part in split.parts
        ),
    )
