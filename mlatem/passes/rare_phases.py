# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes that look for phases that a factorisation lacks."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization import rare
from mlatem.factorization.rare_candidates import PlaceSums
from mlatem.parallel.tiling import Tile, plan_tiles
from mlatem.passes.source import TileSource, over


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
    parts = over(source, list(enumerate(tiles)), tests)
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

    for part in over(source, tiles, sums):
        total = total + part
    return total
