# SPDX-License-Identifier: GPL-3.0-or-later
"""Masked pixels: nothing of a product depends on what they hold, nor on how the map is tiled."""

import numpy as np
import pytest

from mlatem import api
from mlatem.denoising.rank import low_rank
from mlatem.denoising.rare_axes import directions
from mlatem.model import SpectrumImage
from mlatem.passes import TileSource, statistics_pass
from mlatem.passes.held_out import held_out_check
from mlatem.passes.rare_axes import rare_sums
from mlatem.settings import Denoise

SIDE, N_ENERGY = 48, 256
MAPS = ("scores", "smoothed_scores", "guard")


@pytest.fixture(scope="module")
def cube(specimen):
    counts, _, _ = specimen(side=SIDE, n_energy=N_ENERGY, dose=60.0, n_rare=8)
    return counts.to_dense().reshape(SIDE, SIDE, N_ENERGY)


@pytest.fixture(scope="module")
def mask():
    """Single pixels, a row, and a corner."""
    chosen = np.random.default_rng(3).random((SIDE, SIDE)) < 0.04
    chosen[17] = True
    chosen[:6, -7:] = True
    return chosen


def product(counts, mask, dictionary, **options):
    ny, nx, _ = counts.shape
    known = dictionary(N_ENERGY)
    image = SpectrumImage(
        counts, known.energy, np.arange(ny, dtype=float), np.arange(nx, dtype=float), mask=mask
    )
    return api.denoise(image, known, settings=Denoise(rank="edge"), **options)


@pytest.fixture(scope="module")
def masked(cube, mask, dictionary):
    return product(cube, mask, dictionary)


def test_what_masked_pixels_hold_changes_nothing(cube, mask, dictionary, masked):
    wild = cube.astype(np.float64)
    wild[mask] = np.nan
    other = product(wild, mask, dictionary)
    empty = np.where(mask[..., None], 0, cube)
    without = product(empty, mask, dictionary)
    for result in (other, without):
        for name in ("axes", "eigenvalue", "edge", *MAPS):
            np.testing.assert_array_equal(result[name], masked[name])
        assert result.attrs["verdicts"] == masked.attrs["verdicts"]
        assert result.attrs["rare_axes"] == masked.attrs["rare_axes"]
    for name in MAPS[:2]:
        assert np.array_equal(np.isnan(masked[name]).all("axis"), mask)
    assert not masked["guard"].values[mask].any()


@pytest.mark.parametrize("tile_shape", [(7, 9), (64, 128)])
def test_tiles_change_nothing(cube, mask, dictionary, masked, tile_shape):
    other = product(cube, mask, dictionary, tile_shape=tile_shape, threads=2)
    for name in ("axes", "eigenvalue", "edge", *MAPS):
        np.testing.assert_allclose(other[name], masked[name], rtol=1e-6, atol=2e-6)
    assert other.attrs["rare_axes"] == masked.attrs["rare_axes"]


def test_masked_rows_are_as_rows_that_are_not_there(cube, dictionary):
    """The last rows: the index of the other pixels, which keys the thinning, stays."""
    n_rows, known = 32, dictionary(N_ENERGY)
    below = np.zeros((SIDE, SIDE), dtype=bool)
    below[n_rows:] = True
    channels = slice(0, N_ENERGY)
    whole = TileSource(cube, channels, mask=below)
    cut = TileSource(cube[:n_rows], channels)
    basis, other = (low_rank(statistics_pass(source), known) for source in (whole, cut))
    np.testing.assert_allclose(basis.axes, other.axes, rtol=1e-6, atol=1e-9)
    searched = directions(basis, known, None)
    found, expected = (rare_sums(source, searched, basis) for source in (whole, cut))
    np.testing.assert_array_equal(found.n_pixels, expected.n_pixels)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-6)
    options = Denoise(spatial="none")
    left, right = (held_out_check(source, known, options).sums for source in (whole, cut))
    assert left.n_pixels == right.n_pixels == n_rows * SIDE
    np.testing.assert_allclose(left.relative, right.relative, rtol=1e-6)
    np.testing.assert_allclose(left.sigma, right.sigma, rtol=1e-6)


def test_a_block_with_masked_pixels_is_the_mean_of_the_others(dictionary):
    """Of equal pixels any mean is as good as that of all: binning must not be charged for gaps."""
    rate = np.full((SIDE, SIDE, N_ENERGY), 0.5)
    counts = np.random.default_rng(5).poisson(rate)
    gaps = np.zeros((SIDE, SIDE), dtype=bool)
    gaps[::2, ::2] = True
    options, channels = Denoise(bin_px=2, bin_channels=1, spatial="none"), slice(0, N_ENERGY)
    source = TileSource(counts, channels, mask=gaps)
    binning = held_out_check(source, dictionary(N_ENERGY), options).sums.relative[1]
    assert binning == pytest.approx(1 / 3, rel=0.05)
