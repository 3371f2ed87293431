# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of a factorisation: pooled spectra of regions, refinement, abundances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

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
from mlatem.factorization.refinement import tile_refinement
from mlatem.factorization.regions import (
    PoolingPlan,
    ScoreSample,
    add_regions,
    place_centroids,
    tile_regions,
    tile_sample,
)
from mlatem.model import RefinementStatistics, RegionStatistics
from mlatem.parallel.tiling import Tile
from mlatem.passes.source import TileSource, over

TileAbundances = tuple[NDArray[np.int64], PixelAbundances, DominantSums]


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

    return place_centroids(reduce(add, over(source, source.tiles, sample)), plan)


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

    for part, apart in over(source, tiles, pool):
        total, outliers = add_regions(total, part), outliers + apart
    return total, outliers


def refinement_pass(
    source: TileSource, columns: NDArray[np.float64], weight: NDArray[np.float64]
) -> RefinementStatistics:
    """Loss, gradient and reduced Hessian of the whole map at given weights of the phases."""
    total = RefinementStatistics.zero(*weight.shape)
    parts = over(
        source, source.tiles, lambda tile: tile_refinement(source.load(tile), columns, weight)
    )
    for part in parts:
        total = total + part
    return total


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

    return over(source, tiles, fit)
