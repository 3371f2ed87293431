# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of tiles: pure arithmetic, made before any pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError


@dataclass(frozen=True)
class Tile:
    """A rectangle of pixels, half-open: rows y0 to y1 and columns x0 to x1."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices in y and x."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    def padded(self, halo: int, shape: tuple[int, int]) -> Tile:
        """The tile with `halo` pixels around it, less where the map of `shape` ends."""
        ny, nx = shape
        return Tile(
            max(self.y0 - halo, 0),
            min(self.y1 + halo, ny),
            max(self.x0 - halo, 0),
            min(self.x1 + halo, nx),
        )

    def meets(self, other: Tile) -> bool:
        """Whether the tiles share a pixel."""
        return max(self.y0, other.y0) < min(self.y1, other.y1) and max(self.x0, other.x0) < min(
            self.x1, other.x1
        )

    def common(self, other: Tile) -> Tile:
        """The rectangle that two tiles that meet share."""
        return Tile(
            max(self.y0, other.y0),
            min(self.y1, other.y1),
            max(self.x0, other.x0),
            min(self.x1, other.x1),
        )

    def places_in(self, outer: Tile) -> NDArray[np.int64]:
        """Places of this tile's pixels among those of a larger one around it, row by row."""
        rows = np.arange(self.y0 - outer.y0, self.y1 - outer.y0, dtype=np.int64)[:, None]
        columns = np.arange(self.x0 - outer.x0, self.x1 - outer.x0, dtype=np.int64)[None, :]
        return (rows * outer.shape[1] + columns).ravel()

    def within(self, outer: Tile) -> tuple[slice, slice]:
        """Slices in y and x that cut this tile out of a larger one around it."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def pixel_index(self, width: int) -> NDArray[np.int64]:
        """Index in a map of `width` columns of every pixel of the tile, shape (n_pixels,)."""
        rows = np.arange(self.y0, self.y1, dtype=np.int64)[:, None]
        columns = np.arange(self.x0, self.x1, dtype=np.int64)[None, :]
        return (rows * width + columns).ravel()


def plan_tiles(shape: tuple[int, int], tile_shape: tuple[int, int]) -> tuple[Tile, ...]:
    """Tiles that cover a map of `shape` (ny, nx), row by row; those at the edges may be smaller.

    Raises
    ------
    InputError
        If the map or the tile is empty.
    """
    (ny, nx), (ty, tx) = shape, tile_shape
    if min(ny, nx, ty, tx) < 1:
        raise InputError(f"map of {ny} x {nx} pixels and tiles of {ty} x {tx}: expected at least 1")
    return tuple(
        Tile(y, min(y + ty, ny), x, min(x + tx, nx))
        for y in range(0, ny, ty)
        for x in range(0, nx, tx)
    )


def block_of_tiles(tiles: Sequence[Tile], block: int, n_blocks: int) -> tuple[Tile, ...]:
    """The tiles of one of `n_blocks` jobs: consecutive, as even as possible, possibly none.

    Raises
    ------
    InputError
        If `block` is not in 0..n_blocks - 1.
    """
    if n_blocks < 1:
        raise InputError(f"{n_blocks} blocks: expected at least 1 (setting factorize.blocks)")
    if not 0 <= block < n_blocks:
        raise InputError(f"block {block} does not exist: expected 0 to {n_blocks - 1}")
    start = len(tiles) * block // n_blocks
    stop = len(tiles) * (block + 1) // n_blocks
    return tuple(tiles[start:stop])
