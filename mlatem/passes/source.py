# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts that are read tile by tile, and work on each of their tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model import Dictionary, SparseCounts
from mlatem.parallel.map import map_tiles
from mlatem.parallel.resident import ResidentCounts
from mlatem.parallel.tiling import Tile, plan_tiles
from mlatem.parallel.workers import current_workers

#: Called with the number of finished tiles and of all tiles.
Progress = Callable[[int, int], None]

T = TypeVar("T")
R = TypeVar("R")

_DEFAULT_TILE = (64, 128)
#: Memory for counts that stay after they have been read: 3 bytes an event, 16 a pixel.
_RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class TileSource:
    """Counts that are read tile by tile."""

    counts: Any
    """Array-like of shape (ny, nx, n_energy) that slices: numpy, memory map, Zarr, Dask."""
    channels: slice
    """Channels that are read."""
    label: str = "counts"
    tile_shape: tuple[int, int] = _DEFAULT_TILE
    """Rows and columns of a tile; whole shards for a store."""
    threads: int = 1
    """Tiles worked on at a time; -1 as many as there are cores."""
    progress: Progress | None = field(default=None, compare=False)
    mask: NDArray[np.bool_] | None = field(default=None, compare=False)
    """Shape (ny, nx); True in pixels that are left out: they are read as without counts."""
    resident: ResidentCounts | None = field(default=None, compare=False)
    """Where tiles stay once they have been read; None reads them anew in every pass."""

    @classmethod
    def for_dictionary(cls, counts: Any, dictionary: Dictionary, **options: Any) -> TileSource:
        """The part of `counts` that a dictionary describes.

        Raises
        ------
        InputError
            If the counts have fewer channels than the dictionary describes.
        """
        if counts.ndim != 3:
            raise InputError(
                f"counts have {counts.ndim} dimensions, expected 3 (y, x, energy): give a single "
                "spectrum the shape (1, 1, n_energy)"
            )
        n_energy = counts.shape[2]
        if n_energy == dictionary.energy.size:
            return cls(counts, slice(0, n_energy), **options)
        if dictionary.channels.stop > n_energy:
            raise InputError(
                f"the dictionary describes channels {dictionary.channels.start} to "
                f"{dictionary.channels.stop - 1} but the counts have {n_energy}: build it on the "
                "energy axis of the counts"
            )
        return cls(counts, dictionary.channels, **options)

    def __getstate__(self) -> dict[str, Any]:
        # A bar in a terminal stays with the process that has it.
        return {**self.__dict__, "progress": None}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return int(self.counts.shape[0]), int(self.counts.shape[1])

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles of the map."""
        return plan_tiles(self.shape, self.tile_shape)

    @property
    def n_pixels(self) -> int:
        """Number of pixels that are not masked."""
        ny, nx = self.shape
        return ny * nx - (0 if self.mask is None else int(np.count_nonzero(self.mask)))

    def masked_in(self, tile: Tile) -> NDArray[np.bool_] | None:
        """Which pixels of a tile are left out, row by row; None where no pixel of the map is."""
        return None if self.mask is None else self.mask[tile.slices].ravel()

    @property
    def n_energy(self) -> int:
        """Number of channels that are read."""
        return int(self.channels.stop - self.channels.start)

    def kept_in_memory(self, limit_bytes: int = _RESIDENT_BYTES) -> TileSource:
        """The same counts, of which what fits into memory is read only once.

        Processes on this machine share the memory, others have as much each.
        """
        workers = current_workers()
        n_here = 1 if workers is None else workers.n_here
        return replace(self, resident=ResidentCounts(limit_bytes // n_here, self.shape[1]))

    def load(self, tile: Tile) -> SparseCounts:
        """The counts of a tile, or of one with pixels around it."""
        if self.resident is not None:
            counts = self.resident.cut(tile)
            if counts is not None:
                return counts
        rows, columns = tile.slices
        block = np.asarray(self.counts[rows, columns, self.channels])
        if self.mask is not None and self.mask[rows, columns].any():
            block = np.where(self.mask[rows, columns, None], 0, block)
        counts = SparseCounts.from_dense(block, tile.pixel_index(self.shape[1]), label=self.label)
        if self.resident is not None and tile in self.tiles:
            self.resident.keep(tile, counts)
        return counts


def over(source: TileSource, tiles: Sequence[T], function: Callable[[T], R]) -> Iterator[R]:
    """Results of `function` for tiles, in their order, as many at a time as the source allows."""
    return map_tiles(function, tiles, threads=source.threads, progress=source.progress)
