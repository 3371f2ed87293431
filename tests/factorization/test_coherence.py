# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes that neighbouring pixels share, against sums over pairs and simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from mlatem import settings
from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank
from mlatem.errors import InputError
from mlatem.factorization.coherence import (
    HALO_PX,
    SIGMA_PX,
    Coherence,
    coherent_axes,
    noise_edge,
    region_axes,
    span_axes,
    tile_coherence,
)
from mlatem.factorization.solution import CompositionSolution
from mlatem.factorization.verdicts import decisions
from mlatem.model import SparseCounts
from mlatem.passes import TileSource, coherence_pass
from mlatem.passes.placement import place_regions


def sparse(dense):
    return SparseCounts.from_dense(dense, np.arange(dense.shape[0] * dense.shape[1]))


def basis_of(counts, dictionary):
    return low_rank(tile_statistics(sparse(counts)), dictionary)


def found_in(counts, dictionary):
    basis = basis_of(counts, dictionary)
    span = span_axes(basis, dictionary)
    sums = tile_coherence(sparse(counts), span * basis.weights, shape=counts.shape[:2])
    return basis, coherent_axes(sums, span, counts.shape[:2])


def weak_specimen(make_specimen, seed, size=64, share=0.06, radius=0.25, shuffled=False):
    """A matrix at 20 counts a pixel, and a little of another phase in one disc of it."""
    example = make_specimen(2, 20.0, seed=seed, size=size)
    rng = np.random.default_rng([7, seed])
    rows, columns = np.mgrid[:size, :size] / size
    disc = share * (np.hypot(rows - 0.4, columns - 0.6) < radius).ravel()
    if shuffled:
        disc = rng.permutation(disc)
    mixed = (1 - disc)[:, None] * example.spectrum[0] + disc[:, None] * example.spectrum[1]
    return rng.poisson(20.0 * mixed).reshape(size, size, -1).astype(np.uint16), example


def test_sums_are_those_over_all_pairs_of_different_pixels(make_specimen):
    example = make_specimen(2, 40.0, size=9)
    basis = basis_of(example.counts, example.dictionary)
    axes = span_axes(basis, example.dictionary) * basis.weights
    found = tile_coherence(sparse(example.counts), axes, shape=(9, 9))
    counts = example.counts.reshape(81, -1).astype(float)
    total = counts.sum(axis=1)[:, None]
    score, variance = counts @ axes.T / np.sqrt(total), counts @ (axes.T**2) / total
    place = np.stack(np.mgrid[:9, :9], axis=-1).reshape(-1, 2)
    weight = np.exp(-0.5 * ((place[:, None] - place) ** 2).sum(axis=2) / SIGMA_PX**2)
    line = np.exp(-0.5 * (np.arange(-HALO_PX, HALO_PX + 1) / SIGMA_PX) ** 2).sum()
    weight = weight / line**2 - np.diag(np.full(81, 1 / line**2))
    np.testing.assert_allclose(found.signal, score.T @ weight @ score, rtol=1e-4, atol=1e-3)
    expected = variance.T @ np.where(weight > 1e-9, weight, 0) ** 2 @ variance
    np.testing.assert_allclose(found.noise, expected, rtol=1e-4)
    assert found.n_pixels == 81


def test_a_phase_that_no_pixel_shows_is_found_and_its_axis_is_the_true_one(make_specimen):
    for seed in range(3):
        counts, example = weak_specimen(make_specimen, seed)
        basis, found = found_in(counts, example.dictionary)
        assert basis.rank == 1 and found.n_phases == 2
        difference = (example.spectrum[1] - example.spectrum[0]) * basis.weights
        difference -= (difference @ basis.axes[0]) * basis.axes[0]
        axes, n_hidden = region_axes(basis, found)
        assert n_hidden == 1 and len(axes) == 2
        assert abs(axes[1] @ difference) > 0.9 * np.linalg.norm(difference)
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-10)


def test_the_same_pixels_in_another_order_share_nothing(make_specimen):
    for seed in range(3):
        counts, example = weak_specimen(make_specimen, seed, shuffled=True)
        assert found_in(counts, example.dictionary)[1].n_phases == 1


@pytest.mark.parametrize(
    ("shape", "counts_per_pixel"), [((64, 64), 50), ((64, 64), 2), ((20, 20), 100), ((1, 300), 200)]
)
def test_noise_stays_below_the_margin(make_specimen, shape, counts_per_pixel):
    example = make_specimen(1, 50.0)
    strongest = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        thickness = rng.uniform(0.3, 2.0, (*shape, 1))
        counts = rng.poisson(counts_per_pixel * thickness * example.spectrum[0]).astype(np.uint16)
        found = found_in(counts, example.dictionary)[1]
        assert found.n_phases == 1
        strongest.append(found.strength[1])
    assert 0.3 < np.median(strongest) < 1.0


def test_noise_reaches_the_edge():
    rng = np.random.default_rng(0)
    n, n_axes = 48, 12
    line = np.exp(-0.5 * (np.subtract.outer(np.arange(n), np.arange(n)) / SIGMA_PX) ** 2)
    line[np.abs(np.subtract.outer(np.arange(n), np.arange(n))) > HALO_PX] = 0
    weight = np.kron(line, line)
    np.fill_diagonal(weight, 0)
    weight /= np.sqrt(np.sum(weight**2))
    largest = []
    for _ in range(10):
        noise = rng.standard_normal((n * n, n_axes))
        largest.append(np.linalg.eigvalsh(noise.T @ weight @ noise)[-1])
    # The largest of n_axes lies below the edge by about as much as it scatters.
    edge = noise_edge((n, n), n * n, n_axes)
    assert 0.75 * edge < np.mean(largest) < edge
    assert edge > 2 * np.sqrt(n_axes)
    assert noise_edge((n, n), 100 * n * n, n_axes) < 1.05 * 2 * np.sqrt(n_axes)


def test_tiles_add_up_to_the_map_and_masked_pixels_are_left_out(make_specimen):
    counts, example = weak_specimen(make_specimen, 1, size=40)
    basis = basis_of(counts, example.dictionary)
    axes = span_axes(basis, example.dictionary) * basis.weights
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:9, 10:30] = True
    spoilt = counts.copy()
    spoilt[mask] = 99
    kept = np.where(mask[..., None], 0, counts)
    whole = tile_coherence(sparse(kept), axes, shape=(40, 40))
    for tile_shape in ((40, 40), (7, 40), (16, 11)):
        source = TileSource.for_dictionary(
            spoilt, example.dictionary, tile_shape=tile_shape, mask=mask
        )
        found = coherence_pass(source, axes)
        np.testing.assert_allclose(found.signal, whole.signal, rtol=1e-10, atol=1e-8)
        np.testing.assert_allclose(found.noise, whole.noise, rtol=1e-10)
        assert found.n_pixels == 1600 - mask.sum() == whole.n_pixels


def test_sums_merge_with_an_identity_and_refuse_other_axes():
    some = Coherence(np.eye(3), 2 * np.eye(3), 7)
    both = some + Coherence.zero(3)
    assert np.array_equal(both.signal, some.signal) and both.n_pixels == 7
    with pytest.raises(InputError, match="3 and 2 axes"):
        some + Coherence.zero(2)


def test_axes_of_single_pixels_stay_where_neighbours_show_no_more(make_specimen):
    example = make_specimen(3, 100.0, size=40)
    basis, found = found_in(example.counts, example.dictionary)
    assert basis.rank == found.n_phases == 3
    nothing = coherent_axes(Coherence.zero(4), np.zeros((4, basis.energy.size)), (40, 40))
    assert nothing.n_phases == 0
    for shared in (found, nothing):
        axes, n_hidden = region_axes(basis, shared)
        assert n_hidden == 0 and np.array_equal(axes, basis.axes)


def test_regions_of_a_weak_phase_differ_from_the_others(make_specimen):
    """Labels by one half of the photons, and sums of the other: what they show is there."""
    counts, example = weak_specimen(make_specimen, 0)
    source = TileSource.for_dictionary(counts, example.dictionary)
    basis = basis_of(counts, example.dictionary)
    placed = place_regions(
        source, basis, example.dictionary, settings.Factorize(), total_counts=float(counts.sum())
    )
    assert placed.n_coherent == 2 and placed.plan.n_wide == 1
    assert placed.plan.halo_px >= HALO_PX - 1
    assert placed.centroids.shape[2] == len(placed.axes) == 2


def test_the_decision_log_says_where_neighbours_share_more_than_there_are_phases():
    one = CompositionSolution(
        coefficient=np.ones((1, 1)),
        coefficient_covariance=np.zeros((1, 1, 1)),
        loss=np.zeros(1),
        spread_deg=np.zeros(1),
        n_carried=1,
        n_rounds=2,
        converged=True,
        reason="",
    )
    options = settings.Factorize()
    assert "neighbouring" not in decisions(replace(one, n_coherent=1), options)[0].reason
    told = decisions(replace(one, n_coherent=3), options)[0]
    assert told.choice == "1 phase" and "neighbouring pixels share 3 axes" in told.reason
