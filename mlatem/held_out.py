# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising of one half of the photons, compared with the other half."""

from __future__ import annotations

from dataclasses import replace

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
from mlatem.denoising.scores import scores
from mlatem.denoising.smoothing import smooth_scores
from mlatem.model import Basis, Dictionary, SparseCounts, thin
from mlatem.model.counts import split_counts
from mlatem.parallel import map_tiles
from mlatem.passes import TileSource, statistics_pass
from mlatem.tiling import Tile, plan_tiles

#: The methods of `held_out_check`, in this order.
METHODS = ("none", "binning", "low_rank")

_SEED = 0


def held_out_check(
    source: TileSource, dictionary: Dictionary, options: settings.Denoise
) -> HeldOutSums:
    """Errors of all methods on halves of the photons.

    Parameters
    ----------
    source : TileSource
    dictionary : Dictionary
    options : settings.Denoise

    Returns
    -------
    HeldOutSums
        In the order of `METHODS`. At half the counts: rank and smoothing are those of one half.

    Notes
    -----
    Binomial thinning of Poisson counts gives two independent halves. The basis, the scores and
    their smoothing see the first only.
    """
    statistics = statistics_pass(source, lambda tile: _first_half(source, tile))
    basis = low_rank(statistics, dictionary, options)
    del statistics  # the largest of all arrays here
    smoothed = np.empty((*source.shape, basis.rank), dtype=np.float32)
    of_tiles = map_tiles(
        lambda tile: scores(_first_half(source, tile), basis), source.tiles, threads=source.threads
    )
    for tile, values in zip(source.tiles, of_tiles, strict=True):
        smoothed[tile.slices] = values.reshape(*tile.shape, basis.rank)
    smoothed = smooth_scores(smoothed, basis, spatial=options.spatial).scores
    return _compared(source, basis, smoothed, options)


def _compared(
    source: TileSource, basis: Basis, smoothed: NDArray[np.float32], options: settings.Denoise
) -> HeldOutSums:
    # Whole blocks of binning, so that the tiles change nothing.
    rows, columns = (max(1, n // options.bin_px) * options.bin_px for n in source.tile_shape)
    tiles = plan_tiles(source.shape, (rows, columns))

    def errors(tile: Tile) -> HeldOutSums:
        counts = source.load(tile)
        first, second = (replace(counts, count=part) for part in split_counts(counts, _SEED))
        values = smoothed[tile.slices].reshape(-1, basis.rank)
        measured = np.isfinite(values[:, 0])
        estimates = [
            raw_products(first, second, basis.weights),
            binned_products(
                first,
                second,
                basis.weights,
                tile.shape,
                bin_px=options.bin_px,
                bin_channels=options.bin_channels,
            ),
            low_rank_products(values, basis, second),
        ]
        return compare(estimates, second, basis.weights, measured)

    total = HeldOutSums.zero(len(METHODS))
    for part in map_tiles(errors, tiles, threads=source.threads):
        total = total + part
    return total


def _first_half(source: TileSource, tile: Tile) -> SparseCounts:
    return thin(source.load(tile), _SEED)[0]
