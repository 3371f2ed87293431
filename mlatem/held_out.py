# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising of one half of the photons, compared with the other half."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
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
from mlatem.model import Basis, Dictionary, SparseCounts, thin
from mlatem.model.counts import split_counts
from mlatem.parallel import map_tiles
from mlatem.passes import TileSource, scores_pass, statistics_pass
from mlatem.score_maps import smooth_scores
from mlatem.tiling import Tile, plan_tiles

#: The methods of `held_out_check`, in this order.
METHODS = ("none", "binning", "low_rank")

_SEED = 0


def held_out_check(
    source: TileSource,
    dictionary: Dictionary,
    options: settings.Denoise,
    *,
    guide: NDArray[np.floating] | None = None,
    maps: Maps | None = None,
) -> HeldOutSums:
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

    Returns
    -------
    HeldOutSums
        In the order of `METHODS`. At half the counts: rank and smoothing are those of one half.

    Notes
    -----
    Binomial thinning of Poisson counts gives two independent halves. The basis, the scores and
    their smoothing see the first only. Masked pixels take no part.
    """
    first_half = partial(_first_half, source)
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
    return _compared(source, basis, smoothed, options)


def _compared(
    source: TileSource, basis: Basis, smoothed: Any, options: settings.Denoise
) -> HeldOutSums:
    # Whole blocks of binning, so that the tiles change nothing.
    rows, columns = (max(1, n // options.bin_px) * options.bin_px for n in source.tile_shape)
    tiles = plan_tiles(source.shape, (rows, columns))

    def errors(tile: Tile) -> HeldOutSums:
        counts = source.load(tile)
        first, second = (replace(counts, count=part) for part in split_counts(counts, _SEED))
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
        return compare(estimates, second, basis.weights, measured)

    total = HeldOutSums.zero(len(METHODS))
    for part in map_tiles(errors, tiles, threads=source.threads, progress=source.progress):
        total = total + part
    return total


def _first_half(source: TileSource, tile: Tile) -> SparseCounts:
    return thin(source.load(tile), _SEED)[0]
