# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem.parallel.tiling import Tile, plan_tiles
from mlatem.passes import TileSource


class Counted:
    """An array that counts how many values are read from it."""

    def __init__(self, values):
        self.values, self.n_read = values, 0
        self.shape, self.ndim = values.shape, values.ndim

    def __getitem__(self, key):
        block = self.values[key]
        self.n_read += block.size
        return block


@pytest.fixture
def cube():
    return Counted(np.random.default_rng(1).poisson(0.3, (11, 9, 20)).astype(np.uint8))


def test_any_rectangle_of_what_was_read_is_cut_out_without_reading_again(cube):
    cube.values[10, 8, 3] = 200
    source = TileSource(cube, slice(2, 20), tile_shape=(4, 5)).kept_in_memory()
    for tile in source.tiles:
        source.load(tile)
    assert cube.n_read == cube.values[:, :, 2:].size
    for tile in [*source.tiles, Tile(0, 11, 0, 9), Tile(3, 6, 2, 8), Tile(5, 6, 4, 5)]:
        counts = source.load(tile)
        counts.validate()
        expected = replace(source, resident=None).counts.values[tile.slices][:, :, 2:]
        assert np.array_equal(counts.to_dense(), expected.reshape(-1, 18))
        assert np.array_equal(counts.pixel, tile.pixel_index(9))
    assert cube.n_read == cube.values[:, :, 2:].size


def test_what_does_not_fit_is_read_again(cube):
    source = TileSource(cube, slice(0, 20), tile_shape=(4, 5))
    one_tile = source.load(source.tiles[0]).n_bytes
    source, cube.n_read = source.kept_in_memory(one_tile), 0
    for _ in range(2):
        for tile in source.tiles:
            source.load(tile)
    first = source.tiles[0].n_pixels
    assert cube.n_read == 20 * (2 * 99 - first)
    assert source.resident.used_bytes <= one_tile
    outer = source.load(Tile(0, 6, 0, 6))
    assert np.array_equal(outer.to_dense(), cube.values[:6, :6].reshape(36, 20))


def test_a_halo_is_cut_from_neighbours_the_same_as_read(cube):
    tiles = plan_tiles((11, 9), (4, 5))
    kept = TileSource(cube, slice(0, 20), tile_shape=(4, 5)).kept_in_memory()
    for tile in tiles:
        kept.load(tile)
    plain = replace(kept, resident=None)
    for tile in tiles:
        outer = tile.padded(2, (11, 9))
        a, b = kept.load(outer), plain.load(outer)
        for name in ("pointer", "channel", "count", "pixel"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
