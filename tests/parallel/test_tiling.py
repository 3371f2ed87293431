# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.errors import InputError
from mlatem.parallel.tiling import Tile, block_of_tiles, plan_tiles

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
tile_sizes = st.tuples(st.integers(1, 80), st.integers(1, 80))


@given(shape=sizes, tile_shape=tile_sizes)
def test_tiles_partition_the_map(shape: tuple[int, int], tile_shape: tuple[int, int]):
    times_covered = np.zeros(shape, dtype=int)
    for tile in plan_tiles(shape, tile_shape):
        assert tile.n_pixels > 0
        assert tile.shape[0] <= tile_shape[0]
        assert tile.shape[1] <= tile_shape[1]
        times_covered[tile.slices] += 1
    assert np.all(times_covered == 1)


@given(shape=sizes, tile_shape=tile_sizes)
def test_tiles_begin_on_multiples_of_the_tile(shape: tuple[int, int], tile_shape: tuple[int, int]):
    for tile in plan_tiles(shape, tile_shape):
        assert tile.y0 % tile_shape[0] == 0
        assert tile.x0 % tile_shape[1] == 0


@given(shape=sizes, tile_shape=tile_sizes)
def test_pixel_indices_number_the_map(shape: tuple[int, int], tile_shape: tuple[int, int]):
    whole = np.arange(shape[0] * shape[1]).reshape(shape)
    for tile in plan_tiles(shape, tile_shape):
        np.testing.assert_array_equal(tile.pixel_index(shape[1]), whole[tile.slices].ravel())


@given(shape=sizes, tile_shape=tile_sizes, n_blocks=st.integers(1, 40))
def test_blocks_partition_the_tiles(
    shape: tuple[int, int], tile_shape: tuple[int, int], n_blocks: int
):
    tiles = plan_tiles(shape, tile_shape)
    blocks = [block_of_tiles(tiles, block, n_blocks) for block in range(n_blocks)]
    assert tuple(tile for block in blocks for tile in block) == tiles
    lengths = [len(block) for block in blocks]
    assert max(lengths) - min(lengths) <= 1


def test_more_blocks_than_tiles_leaves_blocks_empty():
    tiles = plan_tiles((4, 4), (4, 4))
    assert sum(len(block_of_tiles(tiles, block, 3)) for block in range(3)) == 1


@pytest.mark.parametrize(
    ("shape", "tile_shape"), [((0, 4), (2, 2)), ((4, 0), (2, 2)), ((4, 4), (0, 2))]
)
def test_empty_map_or_tile_is_refused(shape: tuple[int, int], tile_shape: tuple[int, int]):
    with pytest.raises(InputError, match="expected at least 1"):
        plan_tiles(shape, tile_shape)


@pytest.mark.parametrize("block", [-1, 2])
def test_block_that_does_not_exist(block: int):
    with pytest.raises(InputError, match=f"block {block} does not exist: expected 0 to 1"):
        block_of_tiles((Tile(0, 1, 0, 1),), block, 2)


def test_no_blocks_at_all():
    with pytest.raises(InputError, match="0 blocks: expected at least 1"):
        block_of_tiles((Tile(0, 1, 0, 1),), 0, 0)


@given(shape=sizes, tile_shape=tile_sizes, halo=st.integers(0, 9))
def test_a_padded_tile_stays_in_the_map_and_holds_the_tile(
    shape: tuple[int, int], tile_shape: tuple[int, int], halo: int
):
    whole = np.arange(shape[0] * shape[1]).reshape(shape)
    for tile in plan_tiles(shape, tile_shape):
        outer = tile.padded(halo, shape)
        assert outer.y0 == max(0, tile.y0 - halo)
        assert outer.x1 == min(shape[1], tile.x1 + halo)
        np.testing.assert_array_equal(whole[outer.slices][tile.within(outer)], whole[tile.slices])
