# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles of counts that were read once and stay in memory, as sparse as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from mlatem.kernels.sparse import copy_pixels
from mlatem.model import SparseCounts
from mlatem.parallel.tiling import Tile
from mlatem.parallel.worker_task import kept_here


@dataclass
class ResidentCounts:
    """Counts of tiles, kept as long as they fit; any rectangle of what is there can be cut out.

    In another process it is that process's own, the same in every pass.
    """

    limit_bytes: int
    """Memory that the counts may take."""
    width: int
    """Columns of the whole map."""
    used_bytes: int = 0
    key: str = field(default_factory=lambda: uuid4().hex)
    """The same wherever these counts are kept."""
    _tiles: dict[Tile, SparseCounts] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __reduce__(self) -> tuple[Callable[..., ResidentCounts], tuple[int, int, str]]:
        return _in_this_process, (self.limit_bytes, self.width, self.key)

    def keep(self, tile: Tile, counts: SparseCounts) -> None:
        """Keep the counts of a tile if there is room. Tiles must not overlap."""
        size = counts.n_bytes
        with self._lock:
            if tile not in self._tiles and self.used_bytes + size <= self.limit_bytes:
                self._tiles[tile] = counts
                self.used_bytes += size

    def cut(self, tile: Tile) -> SparseCounts | None:
        """The counts of a tile that may span several of those kept; None where one is missing."""
        if tile in self._tiles:
            return self._tiles[tile]
        with self._lock:
            shared = [(kept, counts) for kept, counts in self._tiles.items() if kept.meets(tile)]
        parts = [(kept.common(tile), kept, counts) for kept, counts in shared]
        if sum(common.n_pixels for common, _, _ in parts) != tile.n_pixels:
            return None
        places = [
            (common.places_in(kept), common.places_in(tile), counts)
            for common, kept, counts in parts
        ]
        n_events = np.zeros(tile.n_pixels, dtype=np.int64)
        for source, target, counts in places:
            n_events[target] = np.diff(counts.pointer)[source]
        pointer = np.zeros(tile.n_pixels + 1, dtype=np.int64)
        np.cumsum(n_events, out=pointer[1:])
        channel = np.empty(pointer[-1], dtype=np.uint16)
        count: NDArray[np.unsignedinteger] = np.empty(
            pointer[-1], dtype=np.result_type(*(counts.count.dtype for _, _, counts in parts))
        )
        for source, target, counts in places:
            copy_pixels(
                counts.pointer,
                counts.channel,
                counts.count,
                source,
                pointer,
                channel,
                count,
                target,
            )
        return SparseCounts(
            pointer, channel, count, parts[0][2].n_energy, tile.pixel_index(self.width)
        )


def _in_this_process(limit_bytes: int, width: int, key: str) -> ResidentCounts:
    return kept_here(key, lambda: ResidentCounts(limit_bytes, width, key=key))
