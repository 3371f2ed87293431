# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums over tiles do not depend on the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.passes import TileSource, block_sums_pass


@pytest.mark.parametrize("tile_shape", [(4, 4), (3, 5), (7, 9)])
def test_block_sums(tile_shape):
    counts = np.random.default_rng(0).poisson(2.0, (7, 9, 5)).astype(np.uint16)
    blocks = block_sums_pass(TileSource(counts, slice(0, 5), tile_shape=tile_shape), 3)
    assert blocks.shape == (3, 3, 5)
    np.testing.assert_array_equal(blocks[1, 2], counts[3:6, 6:9].sum(axis=(0, 1)))
    np.testing.assert_array_equal(blocks[2, 0], counts[6:7, 0:3].sum(axis=(0, 1)))
    assert blocks.sum() == counts.sum()
