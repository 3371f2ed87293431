# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.denoising import moments
from mlatem.denoising.moments import add_tile, tile_statistics
from mlatem.model import SparseCounts, TileStatistics

N_ENERGY = 12
FIELDS = ("n_pixels", "total", "weighted_total", "moment")


def sparse(dense):
    return SparseCounts.from_dense(dense, np.arange(len(dense)))


def assert_same(one, other):
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-12, err_msg=name
        )


def test_statistics_equal_the_formula():
    dense = np.random.default_rng(0).poisson(0.2, (50, 40))
    dense[3] = 0
    statistics = tile_statistics(sparse(dense))
    statistics.validate()
    used = dense[dense.sum(axis=1) > 0]
    weighted = used / used.sum(axis=1)[:, None]
    expected = TileStatistics(
        n_pixels=len(used),
        total=used.sum(axis=0).astype(float),
        weighted_total=weighted.sum(axis=0),
        moment=weighted.T @ used,
    )
    assert_same(statistics, expected)


@pytest.mark.parametrize("mean", [0.01, 0.3, 5.0])
def test_sparse_and_dense_paths_agree(mean, monkeypatch):
    counts = sparse(np.random.default_rng(1).poisson(mean, (70, 90)))
    monkeypatch.setattr(moments, "_DENSE_BLOCK_BYTES", 17 * 8 * 90)
    monkeypatch.setattr(moments, "DENSE_OCCUPANCY", 0.0)
    dense_path = tile_statistics(counts)
    monkeypatch.setattr(moments, "DENSE_OCCUPANCY", 1.0)
    assert_same(tile_statistics(counts), dense_path)
    assert dense_path.moment.flags.c_contiguous


def test_tiles_add_up_to_the_map():
    dense = np.random.default_rng(2).poisson(0.3, (61, 33))
    whole = tile_statistics(sparse(dense))
    total = TileStatistics.zero(33)
    for start in range(0, 61, 13):
        total = total + tile_statistics(sparse(dense[start : start + 13]))
    assert_same(total, whole)


def test_tile_without_counts_is_the_identity():
    empty = tile_statistics(sparse(np.zeros((5, N_ENERGY), dtype=np.uint8)))
    assert_same(empty, TileStatistics.zero(N_ENERGY))


tiles = st.integers(0, 2**32 - 1).map(
    lambda seed: tile_statistics(
        sparse(np.random.default_rng(seed).poisson(0.5, (seed % 7 + 1, N_ENERGY)))
    )
)


@given(tiles, tiles, tiles)
def test_merge_laws(a, b, c):
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, b + a)
    assert_same(a + TileStatistics.zero(N_ENERGY), a)


@pytest.mark.parametrize("dose", [20.0, 2000.0])
def test_a_tile_added_is_the_sum_of_both_to_the_last_bit(specimen, dose):
    first, second = (specimen(side=16, n_energy=128, dose=dose, seed=i)[0] for i in (0, 1))
    expected = tile_statistics(first) + tile_statistics(second)
    total = add_tile(tile_statistics(first), second)
    assert total.n_pixels == expected.n_pixels
    for name in ("total", "weighted_total", "moment"):
        np.testing.assert_array_equal(getattr(total, name), getattr(expected, name))
