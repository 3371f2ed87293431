# SPDX-License-Identifier: GPL-3.0-or-later
"""How counts lie in a store: chunks, shards and the memory that writing them takes.

Pure arithmetic. The numbers were measured on cubes of 256 MB to 1 GB: chunks of (32, 32, 256)
make a channel map 7 to 9 times faster than whole-spectrum chunks, and shards of (128, 128, E)
keep 17 files for a GB instead of 513.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlatem.errors import MemoryLimitError

CHUNK = (32, 32, 256)
SHARD_PIXELS = 128
SHARD_PIXELS_LONG = 64
LONG_SPECTRUM = 4096

#: Copies of one shard held at a time: as read, as its final type, and inside the codec.
SHARD_COPIES = 3


@dataclass(frozen=True)
class Layout:
    """Chunk and shard shapes of an array (y, x, energy); a shard is a whole number of chunks."""

    chunks: tuple[int, int, int]
    shards: tuple[int, int, int]


def plan_layout(shape: tuple[int, int, int]) -> Layout:
    """Chunks and shards for counts of `shape` (ny, nx, n_energy), clipped for small maps."""
    side = SHARD_PIXELS_LONG if shape[2] >= LONG_SPECTRUM else SHARD_PIXELS
    wanted = (side, side, shape[2])
    chunks, shards = [], []
    for size, chunk, shard in zip(shape, CHUNK, wanted, strict=True):
        chunks.append(min(chunk, size))
        shards.append(-(-min(shard, size) // chunks[-1]) * chunks[-1])
    return Layout((chunks[0], chunks[1], chunks[2]), (shards[0], shards[1], shards[2]))


def shard_regions(
    shape: tuple[int, int, int], layout: Layout
) -> Iterator[tuple[slice, slice, slice]]:
    """Region of every shard, clipped to the array; shards span the whole spectrum."""
    ny, nx, n_energy = shape
    for y in range(0, ny, layout.shards[0]):
        for x in range(0, nx, layout.shards[1]):
            yield (
                slice(y, min(y + layout.shards[0], ny)),
                slice(x, min(x + layout.shards[1], nx)),
                slice(0, n_energy),
            )


def n_shards_of(shape: tuple[int, int, int]) -> int:
    """Number of shards of counts of `shape` (ny, nx, n_energy)."""
    return sum(1 for _ in shard_regions(shape, plan_layout(shape)))


def projected_memory_bytes(
    shape: tuple[int, int, int], itemsize: int, *, resident_bytes: int = 0
) -> int:
    """Peak memory of a conversion beyond the interpreter's own.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx, n_energy).
    itemsize : int
        Bytes of one count as the reader returns it.
    resident_bytes : int, optional
        What the open file holds in memory all along (a decoded cube, an event stream).
    """
    layout = plan_layout(shape)
    ny, nx, n_energy = (min(size, shard) for size, shard in zip(shape, layout.shards, strict=True))
    return resident_bytes + SHARD_COPIES * ny * nx * n_energy * itemsize


def refuse_above_limit(needed_bytes: int, limit_gb: float, *, label: str) -> None:
    """Refuse work whose projected memory exceeds the limit.

    Raises
    ------
    MemoryLimitError
        With both numbers and the setting that changes the limit.
    """
    if needed_bytes > limit_gb * 1e9:
        raise MemoryLimitError(
            f"{label}: conversion is projected to need {needed_bytes / 1e9:.3g} GB of memory, more "
            f"than the limit of {limit_gb:g} GB. Raise convert.memory_limit_gb if the machine has "
            "the memory, or convert the file on a larger one"
        )
