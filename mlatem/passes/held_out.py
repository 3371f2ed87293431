# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising of one half of the photons, compared with the other half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.denoising.held_out import (
    HeldOutSums,
    binned_products,
    compare,
    low_rank_products,
    raw_products,
)
from mlatem.denoising.rank import low_rank
from mlatem.io.score_maps import Maps, Scratch
from mlatem.model import Basis, Dictionary, SparseCounts
from mlatem.model.counts import split_counts, with_counts
from mlatem.parallel.map import map_tiles
from mlatem.parallel.tiling import Tile, plan_tiles
from mlatem.passes import TileSource, scores_pass, statistics_pass
from mlatem.passes.score_maps import smooth_scores

#: The methods of `held_out_check`, in this order.
METHODS = ("none", "binning", "low_rank")

_SEED = 0
#: Counts of one half over those of the other, beyond which they are no halves.
_MOST_UNEVEN = 3.0

#: Counts of a tile, and those of both halves at each of its events.
TileHalves = tuple[SparseCounts, NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]


@dataclass(frozen=True)
class Parts:
    """Counts of a map by frame or detector, which add up to those of the map."""

    counts: Any
    """Array-like of shape (n_parts, ny, nx, n_energy) that slices."""
    axis: str
    """"frame" or "detector"."""
    labels: tuple[str, ...]

    @property
    def n_first(self) -> int:
        """How many make the first half."""
        return len(self.labels) // 2

    @property
    def words(self) -> str:
        """The halves in words."""
        first, second = (_listed(part) for part in (self.labels[: self.n_first], self._second))
        return f"{self.axis}s {first} against {second}"

    @property
    def _second(self) -> tuple[str, ...]:
        return self.labels[self.n_first :]

    def halves(self, source: TileSource, tile: Tile) -> TileHalves:
        """The counts of the first parts and of the others; what is masked has none."""
        counts, (rows, columns) = source.load(tile), tile.slices
        first: Any = 0
        for part in range(self.n_first):
            first = first + np.asarray(
                self.counts[part, rows, columns, source.channels], dtype=np.uint32
            )
        pixel = np.repeat(np.arange(counts.n_pixels), np.diff(counts.pointer))
        of_first = first.reshape(counts.n_pixels, -1)[pixel, counts.channel]
        of_first = np.minimum(of_first, counts.count).astype(counts.count.dtype)
        return counts, of_first, counts.count - of_first


def _listed(labels: tuple[str, ...]) -> str:
    """One, "a and b", or "a to d"."""
    if len(labels) < 3:
        return " and ".join(labels)
    return f"{labels[0]} to {labels[-1]}"


@dataclass(frozen=True)
class HeldOut:
    """Errors of all methods, and what the halves were."""

    sums: HeldOutSums
    halves: str


def held_out_check(
    source: TileSource,
    dictionary: Dictionary,
    options: settings.Denoise,
    *,
    guide: NDArray[np.floating] | None = None,
    maps: Maps | None = None,
    parts: Parts | None = None,
) -> HeldOut:
    """Errors of all methods on halves of the photons.

    Parameters
    ----------
    source : TileSource
    dictionary : Dictionary
    options : settings.Denoise
    guide : ndarray of shape (ny, nx), optional
        As in `smooth_scores`.
    maps : Maps, optional
        Where scores are put meanwhile.
    parts : Parts, optional
        Counts by frame or detector. Their halves were measured at other times or by other
        detectors: drift, damage and gains count as errors too.

    Returns
    -------
    HeldOut
        In the order of `METHODS`. At half the counts: rank and smoothing are those of one half.

    Notes
    -----
    Without parts, or where a half would hold less than a third of the other, binomial thinning of
    Poisson counts gives two independent halves. The basis, the scores and their smoothing see the
    first only; it is scaled to the counts of the second. Masked pixels take no part.
    """
    halves, words, scale = _thinned, "one half of the photons", 1.0
    if parts is not None and parts.n_first:
        sizes = _sizes(source, parts.halves)
        if max(sizes) < _MOST_UNEVEN * min(sizes):
            halves, words, scale = parts.halves, parts.words, sizes[1] / sizes[0]

    def first_half(tile: Tile) -> SparseCounts:
        counts, first, _ = halves(source, tile)
        return with_counts(counts, first)

    statistics = statistics_pass(source, first_half)
    basis = low_rank(statistics, dictionary, options)
    del statistics  # the largest of all arrays here
    scratch = Scratch(maps or Maps())
    raw = scratch.create("scores", (*source.shape, basis.rank), np.float32)
    raw = scores_pass(source, basis, first_half, into=raw)
    smoothed = smooth_scores(
        raw,
        basis,
        spatial=options.spatial,
        guide=guide,
        maps=scratch,
        threads=source.threads,
    ).scores
    del raw
    return HeldOut(_compared(source, basis, smoothed, options, halves, scale), words)


def _thinned(source: TileSource, tile: Tile) -> TileHalves:
    counts = source.load(tile)
    return counts, *split_counts(counts, _SEED)


def _sizes(
    source: TileSource, halves: Callable[[TileSource, Tile], TileHalves]
) -> tuple[float, float]:
    """Counts of both halves of the map."""

    def of_tile(tile: Tile) -> tuple[float, float]:
        _, first, second = halves(source, tile)
        return float(first.sum(dtype=np.float64)), float(second.sum(dtype=np.float64))

    parts = map_tiles(of_tile, source.tiles, threads=source.threads, progress=source.progress)
    first, second = zip(*parts, strict=True)
    return sum(first), sum(second)


def _compared(
    source: TileSource,
    basis: Basis,
    smoothed: Any,
    options: settings.Denoise,
    halves: Callable[[TileSource, Tile], TileHalves],
    scale: float,
) -> HeldOutSums:
    # Whole blocks of binning, so that the tiles change nothing.
    rows, columns = (max(1, n // options.bin_px) * options.bin_px for n in source.tile_shape)
    tiles = plan_tiles(source.shape, (rows, columns))

    def errors(tile: Tile) -> HeldOutSums:
        counts, *both = halves(source, tile)
        first, second = (replace(counts, count=part) for part in both)
        values = smoothed[tile.slices].reshape(-1, basis.rank)
        masked = source.masked_in(tile)
        measured = np.ones(len(values), dtype=bool) if masked is None else ~masked
        estimates = [
            raw_products(first, second, basis.weights),
            binned_products(
                first,
                second,
                basis.weights,
                tile.shape,
                measured,
                bin_px=options.bin_px,
                bin_channels=options.bin_channels,
            ),
            low_rank_products(values, basis, second),
        ]
        estimates = [(scale**2 * square, scale * product) for square, product in estimates]
        return compare(estimates, second, basis.weights, measured)

    total = HeldOutSums.zero(len(METHODS))
    for part in map_tiles(errors, tiles, threads=source.threads, progress=source.progress):
        total = total + part
    return total
