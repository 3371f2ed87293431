# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes that sum the counts of the whole map or score its pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.denoising.moments import add_tile, moment_times, tile_statistics, tile_totals
from mlatem.denoising.scores import scores
from mlatem.factorization.coherence import HALO_PX, Coherence, tile_coherence
from mlatem.model import Basis, SparseCounts, StreamedMoment, TileStatistics
from mlatem.parallel.map import in_a_loop
from mlatem.parallel.tiling import Tile
from mlatem.passes.source import TileSource, over

#: From so many channels the second moment is not formed: a matrix of 128 MB in every worker.
STREAMED_CHANNELS = 4096


def statistics_pass(
    source: TileSource, part: Callable[[Tile], SparseCounts] | None = None
) -> TileStatistics | StreamedMoment:
    """Second moments of the whole map, as a matrix or, for many channels, by products.

    Parameters
    ----------
    source : TileSource
    part : callable, optional
        Gives the counts of a tile that are looked at; all of them if not given.
    """
    load = part or source.load
    if source.n_energy >= STREAMED_CHANNELS:
        return _streamed_moment(source, load)
    total = TileStatistics.zero(source.n_energy)
    if in_a_loop(source.threads):
        # Without a matrix for each tile.
        for counts in over(source, source.tiles, load):
            total = add_tile(total, counts)
            del counts  # before the next ones are read
        return total
    for of_tile in over(source, source.tiles, lambda tile: tile_statistics(load(tile))):
        total += of_tile
        del of_tile  # before the next one is made
    return total


def _streamed_moment(source: TileSource, load: Callable[[Tile], SparseCounts]) -> StreamedMoment:
    n_pixels = 0
    total, weighted_total = np.zeros(source.n_energy), np.zeros(source.n_energy)
    for n, counts, weighted in over(source, source.tiles, lambda tile: tile_totals(load(tile))):
        n_pixels += n
        total += counts
        weighted_total += weighted

    def times(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        product = np.zeros(vectors.shape)
        for part in over(source, source.tiles, lambda tile: moment_times(load(tile), vectors)):
            product += part
        return product

    return StreamedMoment(n_pixels, total, weighted_total, times)


def scores_pass(
    source: TileSource,
    basis: Basis,
    part: Callable[[Tile], SparseCounts] | None = None,
    *,
    into: Any = None,
) -> Any:
    """Scores of all pixels, shape (ny, nx, rank); NaN in masked ones.

    Parameters
    ----------
    source : TileSource
    basis : Basis
    part : callable, optional
        As in `statistics_pass`.
    into : array of that shape, optional
        Is filled tile by tile and returned.
    """
    result = np.empty((*source.shape, basis.rank), dtype=np.float32) if into is None else into
    load = part or source.load
    of_tiles = over(source, source.tiles, lambda tile: scores(load(tile), basis))
    for tile, values in zip(source.tiles, of_tiles, strict=True):
        masked = source.masked_in(tile)
        if masked is not None:
            values[masked] = np.nan
        result[tile.slices] = values.reshape(*tile.shape, basis.rank)
    return result


def sum_spectrum_pass(source: TileSource) -> NDArray[np.float64]:
    """Summed spectrum of the whole map, shape (n_energy,)."""
    total = np.zeros(source.n_energy)
    for part in over(source, source.tiles, lambda tile: source.load(tile).sum_spectrum()):
        total += part
    return total


def block_sums_pass(source: TileSource, block_px: int) -> NDArray[np.float32]:
    """Summed spectra of square blocks of pixels, also where they reach over tiles.

    Parameters
    ----------
    source : TileSource
    block_px : int
        Rows and columns of a block; those at the end of the map may be smaller.

    Returns
    -------
    ndarray of shape (n_rows, n_columns, n_energy)
        Sums of tiles add up: the result does not depend on how the map is tiled.
    """
    ny, nx = source.shape
    shape = -(-ny // block_px), -(-nx // block_px)
    total = np.zeros((*shape, source.n_energy), dtype=np.float32)

    def blocks(tile: Tile) -> tuple[slice, slice, NDArray[np.float64]]:
        rows = slice(tile.y0 // block_px, (tile.y1 - 1) // block_px + 1)
        columns = slice(tile.x0 // block_px, (tile.x1 - 1) // block_px + 1)
        counts = source.load(tile)
        y, x = np.divmod(counts.pixel, nx)
        width = columns.stop - columns.start
        block = (y // block_px - rows.start) * width + (x // block_px - columns.start)
        place = np.repeat(block, np.diff(counts.pointer)) * source.n_energy + counts.channel
        size = (rows.stop - rows.start) * width * source.n_energy
        weights = counts.count.astype(np.float64)
        sums = np.bincount(place, weights=weights, minlength=size).astype(np.float64)
        shape = (rows.stop - rows.start, width, source.n_energy)
        return rows, columns, sums.reshape(shape)

    for rows, columns, sums in over(source, source.tiles, blocks):
        total[rows, columns] += sums
    return total


def coherence_pass(source: TileSource, axes: NDArray[np.float64]) -> Coherence:
    """Sums over the pairs of neighbouring pixels of the whole map.

    Parameters
    ----------
    source : TileSource
    axes : ndarray of shape (n_axes, n_energy)
        See `mlatem.factorization.coherence.tile_coherence`.
    """

    def of_tile(tile: Tile) -> Coherence:
        outer = tile.padded(HALO_PX, source.shape)
        counts = source.load(outer)
        return tile_coherence(counts, axes, shape=outer.shape, core=tile.within(outer))

    total = Coherence.zero(len(axes))
    for part in over(source, source.tiles, of_tile):
        total = total + part
    return total
