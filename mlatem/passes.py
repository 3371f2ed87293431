# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over the tiles of a spectrum image. Each returns sums, or maps of the pixels it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlatem.denoising.moments import add_tile, moment_times, tile_statistics, tile_totals
from mlatem.denoising.scores import scores
from mlatem.errors import InputError
from mlatem.factorization import rare
from mlatem.factorization.abundances import (
    DominantSums,
    PixelAbundances,
    dominant,
    fit_abundances,
    fit_other,
    fit_where_allowed,
)
from mlatem.factorization.outliers import (
    OutlierSearch,
    OutlierSums,
    tile_regions_and_outliers,
)
from mlatem.factorization.prior_places import PhasePatterns
from mlatem.factorization.rare_candidates import PlaceSums
from mlatem.factorization.refinement import tile_refinement
from mlatem.factorization.regions import (
    PoolingPlan,
    ScoreSample,
    add_regions,
    place_centroids,
    tile_regions,
    tile_sample,
)
from mlatem.model import (
    Basis,
    Dictionary,
    RefinementStatistics,
    RegionStatistics,
    SparseCounts,
    StreamedMoment,
    TileStatistics,
)
from mlatem.parallel import map_tiles, n_threads
from mlatem.resident import ResidentCounts
from mlatem.tiling import Tile, plan_tiles

#: Called with the number of finished tiles and of all tiles.
Progress = Callable[[int, int], None]

R = TypeVar("R")

_DEFAULT_TILE = (64, 128)
#: From so many channels the second moment is not formed: a matrix of 128 MB in every worker.
STREAMED_CHANNELS = 4096
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
        """The same counts, of which what fits into memory is read only once."""
        return replace(self, resident=ResidentCounts(limit_bytes, self.shape[1]))

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
    if n_threads(source.threads) == 1:
        # Without a matrix for each tile.
        for counts in _over(source, source.tiles, load):
            total = add_tile(total, counts)
            del counts  # before the next ones are read
        return total
    for of_tile in _over(source, source.tiles, lambda tile: tile_statistics(load(tile))):
        total += of_tile
        del of_tile  # before the next one is made
    return total


def _streamed_moment(source: TileSource, load: Callable[[Tile], SparseCounts]) -> StreamedMoment:
    n_pixels = 0
    total, weighted_total = np.zeros(source.n_energy), np.zeros(source.n_energy)
    for n, counts, weighted in _over(source, source.tiles, lambda tile: tile_totals(load(tile))):
        n_pixels += n
        total += counts
        weighted_total += weighted

    def times(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        product = np.zeros(vectors.shape)
        for part in _over(source, source.tiles, lambda tile: moment_times(load(tile), vectors)):
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
    of_tiles = _over(source, source.tiles, lambda tile: scores(load(tile), basis))
    for tile, values in zip(source.tiles, of_tiles, strict=True):
        masked = source.masked_in(tile)
        if masked is not None:
            values[masked] = np.nan
        result[tile.slices] = values.reshape(*tile.shape, basis.rank)
    return result


def sum_spectrum_pass(source: TileSource) -> NDArray[np.float64]:
    """Summed spectrum of the whole map, shape (n_energy,)."""
    total = np.zeros(source.n_energy)
    for part in _over(source, source.tiles, lambda tile: source.load(tile).sum_spectrum()):
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

    for rows, columns, sums in _over(source, source.tiles, blocks):
        total[rows, columns] += sums
    return total


def centroids_pass(
    source: TileSource, axes: NDArray[np.float64], plan: PoolingPlan
) -> NDArray[np.float64]:
    """Centroids of the regions, shared by all tiles, shape (n_halves, n_regions, n_axes)."""

    def sample(tile: Tile) -> ScoreSample:
        outer = tile.padded(plan.halo_px, source.shape)
        return tile_sample(
            source.load(outer),
            axes,
            plan,
            shape=outer.shape,
            core=tile.within(outer),
            masked=source.masked_in(outer),
        )

    return place_centroids(reduce(add, _over(source, source.tiles, sample)), plan)


def regions_pass(
    source: TileSource,
    axes: NDArray[np.float64],
    centroids: NDArray[np.float64],
    plan: PoolingPlan,
    search: OutlierSearch,
    tiles: Sequence[Tile],
    patterns: PhasePatterns | None = None,
) -> tuple[tuple[RegionStatistics, ...], OutlierSums]:
    """Summed spectra of the regions of some tiles, one record per thinning, and of outliers.

    Records of other tiles of the same map add up to those of the map. With patterns, each region
    lies in one of them.
    """
    n_patterns = 1 if patterns is None else patterns.n_patterns
    n_rows = 2 * plan.n_regions * n_patterns
    total = tuple(RegionStatistics.zero(n_rows, source.n_energy) for _ in range(plan.n_thinnings))
    outliers = OutlierSums.zero(source.n_energy, len(search.directions))

    def pool(tile: Tile) -> tuple[tuple[RegionStatistics, ...], OutlierSums]:
        outer = tile.padded(plan.halo_px, source.shape)
        counts, core = source.load(outer), tile.within(outer)
        masked = source.masked_in(outer)
        if patterns is None:
            return tile_regions_and_outliers(
                counts, axes, centroids, plan, search, shape=outer.shape, core=core, masked=masked
            )
        pattern = patterns.pattern.ravel()[counts.pixel]
        parts = tile_regions(
            counts,
            axes,
            centroids,
            plan,
            shape=outer.shape,
            core=core,
            pattern=pattern,
            n_patterns=n_patterns,
            masked=masked,
        )
        return parts, OutlierSums.zero(source.n_energy, len(search.directions))

    for part, apart in _over(source, tiles, pool):
        total, outliers = add_regions(total, part), outliers + apart
    return total, outliers


def refinement_pass(
    source: TileSource, columns: NDArray[np.float64], weight: NDArray[np.float64]
) -> RefinementStatistics:
    """Loss, gradient and reduced Hessian of the whole map at given weights of the phases."""
    total = RefinementStatistics.zero(*weight.shape)
    parts = _over(
        source, source.tiles, lambda tile: tile_refinement(source.load(tile), columns, weight)
    )
    for part in parts:
        total = total + part
    return total


def rare_pass(
    source: TileSource, expected: rare.Expected, *, seed: int, n_simulated: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Tests of all pixels for rare phases, and the largest values of blocks.

    Parameters
    ----------
    source : TileSource
        Its own tiles play no part: what is compared is the same however the map is read.
    expected : rare.Expected
    seed : int
    n_simulated : int
        Blocks to simulate, at least; a large map is simulated in part, a small one repeatedly.

    Returns
    -------
    value : ndarray of shape (n_windows, ny, nx), float32
    measured, by_chance : ndarray of shape (n_windows, n_blocks)
        Largest values of the blocks of the map, and of simulated ones.
    """
    tiles = plan_tiles(source.shape, rare.TILE_SHAPE)
    per_tile = rare.TILE_SHAPE[0] * rare.TILE_SHAPE[1] / rare.BLOCK_PX**2
    wanted = max(1.0, n_simulated / per_tile) / len(tiles)
    n_times, every = max(1, round(wanted)), max(1, round(1.0 / wanted))

    def tests(numbered: tuple[int, Tile]) -> tuple[rare.TileTests, list[NDArray[np.float32]]]:
        number, tile = numbered
        outer = tile.padded(rare.HALO_PX, source.shape)
        counts, masked = source.load(outer), source.masked_in(outer)
        tested = partial(
            rare.tile_tests,
            expected=expected,
            shape=outer.shape,
            core=tile.within(outer),
            masked=masked,
        )
        chances = []
        for i in range(n_times if number % every == 0 else 0):
            drawn = rare.simulated(counts, expected, seed=seed + i)
            chances.append(tested(drawn).block_maxima)
        return tested(counts), chances

    value = np.empty((len(rare.WINDOWS), *source.shape), dtype=np.float32)
    measured, by_chance = [], []
    parts = map_tiles(
        tests, list(enumerate(tiles)), threads=source.threads, progress=source.progress
    )
    for tile, (part, chances) in zip(tiles, parts, strict=True):
        value[(slice(None), *tile.slices)] = part.value
        measured.append(part.block_maxima)
        by_chance.extend(chances)
    return (
        value,
        np.concatenate(measured, axis=1).astype(np.float64),
        np.concatenate(by_chance, axis=1).astype(np.float64),
    )


def places_pass(source: TileSource, expected: rare.Expected, label: NDArray[np.int32]) -> PlaceSums:
    """Sums over the pixels of every place; `label` of shape (ny, nx), -1 outside all of them."""
    n_places = int(label.max(initial=-1)) + 1
    sizes = len(expected.spectrum), len(expected.columns)
    total = PlaceSums.zero(n_places, source.n_energy, *sizes)
    tiles = [t for t in plan_tiles(source.shape, rare.TILE_SHAPE) if (label[t.slices] >= 0).any()]

    def sums(tile: Tile) -> PlaceSums:
        outer = tile.padded(rare.HALO_PX, source.shape)
        counts = source.load(outer)
        inside = np.full(outer.shape, -1, dtype=np.int32)
        inside[tile.within(outer)] = label[tile.slices]
        scores = rare.tile_scores(counts, expected, masked=source.masked_in(outer))
        return PlaceSums.of_tile(counts, inside.ravel(), n_places, **vars(scores))

    for part in _over(source, tiles, sums):
        total = total + part
    return total


TileAbundances = tuple[NDArray[np.int64], PixelAbundances, DominantSums]


def abundances_pass(
    source: TileSource,
    spectrum: NDArray[np.float64],
    tiles: Sequence[Tile],
    patterns: PhasePatterns | None = None,
    other_spectrum: NDArray[np.float64] | None = None,
) -> Iterator[TileAbundances]:
    """Abundances in every pixel of some tiles, for phase spectra of shape (n_phases, n_energy).

    With patterns, for the phases in the order of the spectra, phases are only where they may be.
    With the spectra of another answer, its abundances are fitted too, while a tile is at hand.

    Yields
    ------
    pixel, abundances, sums
        What `mlatem.factorization.merge.merge` takes, tile by tile.
    """

    def fit(tile: Tile) -> TileAbundances:
        counts = source.load(tile)
        if patterns is None:
            allowed, result = None, fit_abundances(counts, spectrum)
        else:
            allowed = patterns.allowed[patterns.pattern.ravel()[counts.pixel]]
            result = fit_where_allowed(counts, spectrum, allowed)
        if other_spectrum is not None:
            result = replace(result, other=fit_other(counts, other_spectrum, allowed))
        return counts.pixel, result, dominant(counts, result.abundance)

    return _over(source, tiles, fit)


def _over(source: TileSource, tiles: Sequence[Tile], function: Callable[[Tile], R]) -> Iterator[R]:
    return map_tiles(function, tiles, threads=source.threads, progress=source.progress)
