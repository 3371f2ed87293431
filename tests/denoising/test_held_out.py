# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem import settings
from mlatem.denoising import held_out as sums
from mlatem.denoising.verdicts import held_out_verdict
from mlatem.model import SparseCounts
from mlatem.model.counts import split_counts
from mlatem.passes import TileSource
from mlatem.passes.held_out import METHODS, Parts, held_out_check

SIDE, N_ENERGY = 32, 256


@pytest.fixture(scope="module")
def case(specimen, dictionary):
    counts, _, expected = specimen(side=SIDE, n_energy=N_ENERGY, dose=200.0)
    cube = counts.to_dense().reshape(SIDE, SIDE, N_ENERGY)
    return cube, expected.reshape(cube.shape), dictionary(N_ENERGY)


def halves(cube):
    counts = SparseCounts.from_dense(cube, np.arange(SIDE * SIDE))
    return tuple(replace(counts, count=part) for part in split_counts(counts, 3))


def dense(half):
    return half.to_dense().reshape(-1, N_ENERGY).astype(float)


def test_products_are_those_of_dense_estimates(case):
    cube, _, _ = case
    first, second = halves(cube)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, N_ENERGY)
    raw, all_used = dense(first), np.ones(SIDE * SIDE, dtype=bool)
    blocks = raw.reshape(16, 2, 16, 2, 64, 4).mean(axis=(1, 3, 5), keepdims=True)
    binned = np.broadcast_to(blocks, (16, 2, 16, 2, 64, 4)).reshape(raw.shape)
    found = (
        sums.raw_products(first, second, weights),
        sums.binned_products(
            first, second, weights, (SIDE, SIDE), all_used, bin_px=2, bin_channels=4
        ),
    )
    for estimate, (square, product) in zip((raw, binned), found, strict=True):
        np.testing.assert_allclose(square, (estimate**2) @ weights**2)
        np.testing.assert_allclose(product, (estimate * dense(second)) @ weights**2)


def test_errors_are_those_from_the_truth(case):
    cube, expected, dictionary = case
    found = held_out_check(
        TileSource(cube, slice(0, N_ENERGY)), dictionary, settings.Denoise()
    ).sums
    first, _ = halves(cube)
    half = expected.reshape(-1, N_ENERGY) / 2
    weight = 1 / np.maximum(half.mean(axis=0), 1e-3)
    raw = np.sum((dense(first) - half) ** 2 * weight) / np.sum(half * weight)
    none, binning, low_rank = found.relative
    assert abs(none - raw) < 5 * found.sigma[0] + 0.05
    # Binning keeps a quarter of the noise and adds what it smears: here thickness at random.
    assert 0.25 < binning < 1
    assert low_rank < 0.05
    assert found.n_pixels == SIDE * SIDE


def test_tiles_and_threads_change_nothing(case):
    cube, _, dictionary = case
    options = settings.Denoise(bin_px=3)
    whole = held_out_check(TileSource(cube, slice(0, N_ENERGY)), dictionary, options).sums
    source = TileSource(cube, slice(0, N_ENERGY), tile_shape=(10, 7), threads=2)
    parts = held_out_check(source, dictionary, options).sums
    np.testing.assert_allclose(parts.error, whole.error, rtol=1e-6, atol=1e-6 * whole.noise)
    np.testing.assert_allclose(parts.noise, whole.noise)


def test_verdict_warns_where_another_method_is_nearer():
    options = settings.Denoise()
    good = sums.HeldOutSums(100, np.array([1e4, 2e3, 10.0]), np.array([1e6, 5e4, 10.0]), 1e4)
    verdict = held_out_verdict(good, METHODS, options)
    assert verdict.status == "good" and verdict.value == pytest.approx(1.001)
    assert "binning by 2 px" in verdict.message
    bad = replace(good, error=np.array([1e4, 10.0, 9e3]))
    assert held_out_verdict(bad, METHODS, options).status == "warning"
    assert "binning is nearer" in held_out_verdict(bad, METHODS, options).message
    chosen = settings.Denoise(method="none")
    assert held_out_verdict(good, METHODS, chosen).status == "good"
    assert held_out_verdict(good, METHODS, chosen).value == pytest.approx(2.0)


def frames(expected, *, moved_px=0, seed=1):
    """Four frames of a map, of which the last two are moved along the rows."""
    rng = np.random.default_rng(seed)
    still = rng.poisson(expected / 4, (2, *expected.shape))
    moved = rng.poisson(np.roll(expected, moved_px, axis=0) / 4, (2, *expected.shape))
    return np.concatenate([still, moved]).astype(np.uint8)


def test_frames_are_halves_and_see_drift(case):
    _, expected, dictionary = case
    # Thickness at random would tell each move.
    even = 200.0 * expected / expected.sum(axis=2, keepdims=True)
    found = {}
    for moved_px in (0, 4):
        parts = frames(even, moved_px=moved_px)
        source = TileSource(parts.sum(axis=0, dtype=np.uint8), slice(0, N_ENERGY))
        halves = Parts(parts, "frame", ("1", "2", "3", "4"))
        found[moved_px] = held_out_check(source, dictionary, settings.Denoise(), parts=halves)
        thinned = held_out_check(source, dictionary, settings.Denoise()).sums
        if moved_px == 0:
            off = np.abs(found[0].sums.relative - thinned.relative)
            assert np.all(off < 5 * (found[0].sums.sigma + thinned.sigma) + 0.02)
    assert found[0].halves == "frames 1 and 2 against 3 and 4"
    assert found[4].sums.relative[2] > 5 * found[0].sums.relative[2]
    verdict = held_out_verdict(found[0].sums, METHODS, settings.Denoise(), found[0].halves)
    assert verdict.message.startswith("frames 1 and 2 against 3 and 4")


def test_uneven_detectors_are_scaled_and_one_without_counts_is_no_half(case):
    _, expected, dictionary = case
    rng = np.random.default_rng(0)
    parts = np.stack([rng.poisson(share * expected) for share in (0.4, 0.6)]).astype(np.uint8)
    source = TileSource(parts.sum(axis=0, dtype=np.uint8), slice(0, N_ENERGY))
    found = held_out_check(
        source, dictionary, settings.Denoise(), parts=Parts(parts, "detector", ("A", "B"))
    )
    assert found.halves == "detectors A against B"
    # Counts of the first are scaled up by 1.5, and so is their noise over that of the second.
    assert abs(found.sums.relative[0] - 1.5) < 5 * found.sums.sigma[0] + 0.02
    assert found.sums.relative[2] < 0.1
    dark = Parts(np.stack([parts.sum(axis=0), 0 * parts[0]]), "detector", ("A", "B"))
    found = held_out_check(source, dictionary, settings.Denoise(), parts=dark)
    assert found.halves == "one half of the photons"
