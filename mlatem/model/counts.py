# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse counts: the form in which spectra are computed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError


@dataclass(frozen=True)
class SparseCounts:
    """Spectra of `n_pixels` pixels in compressed sparse row form; only channels with counts."""

    pointer: NDArray[np.int64]
    """Shape (n_pixels + 1,); the events of pixel p are `pointer[p]:pointer[p + 1]`."""
    channel: NDArray[np.uint16]
    """Shape (n_events,); increasing within a pixel."""
    count: NDArray[np.unsignedinteger]
    """Shape (n_events,); at least 1."""
    n_energy: int
    pixel: NDArray[np.int64]
    """Shape (n_pixels,); index of each pixel in the whole map (row times width plus column)."""

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return len(self.pointer) - 1

    @property
    def n_events(self) -> int:
        """Number of pairs of pixel and channel with at least one count."""
        return len(self.channel)

    def validate(self) -> None:
        """Check shapes and invariants.

        Raises
        ------
        InputError
        """
        if self.n_energy > np.iinfo(np.uint16).max + 1:
            raise InputError(
                f"{self.n_energy} channels: expected at most 65536; bin the energy axis"
            )
        if self.pointer[0] != 0 or self.pointer[-1] != self.n_events:
            raise InputError("sparse counts: the pointer does not span the events")
        if np.any(np.diff(self.pointer) < 0):
            raise InputError("sparse counts: the pointer decreases")
        if self.count.shape != self.channel.shape or self.pixel.shape != (self.n_pixels,):
            raise InputError("sparse counts: the arrays disagree in length")
        if self.n_events and int(self.channel.max()) >= self.n_energy:
            raise InputError("sparse counts: a channel lies outside the energy axis")
