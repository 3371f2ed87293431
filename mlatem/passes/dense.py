# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over dense spectra whose noise has a gain and a readout part, as those of EELS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.denoising.dense import dense_scores, dense_statistics
from mlatem.model import Basis, TileStatistics
from mlatem.parallel.map import map_tiles
from mlatem.parallel.tiling import Tile, plan_tiles

_DEFAULT_TILE = (64, 128)


@dataclass(frozen=True)
class DenseSource:
    """Spectra that are read tile by tile."""

    spectra: Any
    """Array-like of shape (ny, nx, n_energy) that slices."""
    gain: float
    """Variance of a voxel over its expectation, without the readout."""
    readout_sigma: float
    """Standard deviation of the readout noise, in the unit of the spectra."""
    mask: NDArray[np.bool_] | None = field(default=None, compare=False)
    """Shape (ny, nx); True in pixels that are left out."""
    tile_shape: tuple[int, int] = _DEFAULT_TILE
    threads: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return int(self.spectra.shape[0]), int(self.spectra.shape[1])

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles of the map."""
        return plan_tiles(self.shape, self.tile_shape)

    def load(self, tile: Tile) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Spectra of the pixels of a tile that have a variance, and which those are."""
        values = np.asarray(self.spectra[tile.slices], dtype=np.float64)
        values = values.reshape(tile.n_pixels, -1)
        used = np.ones(len(values), dtype=bool)
        if self.mask is not None:
            used &= ~self.mask[tile.slices].ravel()
        if self.readout_sigma == 0:
            used &= ~(values.sum(axis=1) <= 0)
        return values[used], used


def dense_statistics_pass(source: DenseSource) -> TileStatistics:
    """Second moments of the whole map."""

    def of_tile(tile: Tile) -> TileStatistics:
        values, _ = source.load(tile)
        return dense_statistics(values, gain=source.gain, readout=source.readout_sigma)

    total = TileStatistics.zero(int(source.spectra.shape[2]))
    for part in map_tiles(of_tile, source.tiles, threads=source.threads):
        total += part
    return total


def dense_scores_pass(source: DenseSource, basis: Basis, *, into: Any, scale: Any) -> None:
    """Fill arrays with the scores (ny, nx, rank) and the noise scales (ny, nx) of all pixels.

    Pixels that are left out get NaN.
    """

    def of_tile(tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        values, used = source.load(tile)
        scores = np.full((used.size, basis.rank), np.nan, dtype=np.float32)
        scales = np.full(used.size, np.nan, dtype=np.float32)
        scores[used], scales[used] = dense_scores(
            values, basis, gain=source.gain, readout=source.readout_sigma
        )
        return scores, scales

    parts = map_tiles(of_tile, source.tiles, threads=source.threads)
    for tile, (scores, scales) in zip(source.tiles, parts, strict=True):
        into[tile.slices] = scores.reshape(*tile.shape, basis.rank)
        scale[tile.slices] = scales.reshape(tile.shape)
