# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank
from mlatem.denoising.scores import reconstruct, scores
from mlatem.denoising.smoothing import smooth_scores
from mlatem.errors import InputError
from mlatem.model import SparseCounts

SIDE, N_ENERGY = 64, 256


@pytest.fixture(scope="module")
def case(specimen, dictionary):
    counts, statistics, expected = specimen(side=SIDE, n_energy=N_ENERGY, n_rare=12)
    basis = low_rank(statistics, dictionary(N_ENERGY))
    maps = scores(counts, basis).reshape(SIDE, SIDE, basis.rank)
    return maps, basis, expected


@pytest.fixture(scope="module")
def even(specimen, dictionary):
    """As `case`, with the same thickness everywhere."""
    _, _, expected = specimen(side=SIDE, n_energy=N_ENERGY)
    expected = 100.0 * expected / expected.sum(axis=1, keepdims=True)
    drawn = np.random.default_rng(3).poisson(expected)
    counts = SparseCounts.from_dense(drawn, np.arange(SIDE * SIDE))
    basis = low_rank(tile_statistics(counts), dictionary(N_ENERGY))
    return scores(counts, basis).reshape(SIDE, SIDE, basis.rank), basis, expected


def error(maps, basis, expected):
    found = reconstruct(maps, basis).reshape(expected.shape)
    return np.mean(np.sum((found - expected) ** 2 / expected.mean(axis=0), axis=1))


@pytest.mark.parametrize("spatial", ["wavelet", "total_variation"])
def test_smoothed_maps_are_nearer_to_the_truth(even, spatial):
    maps, basis, expected = even
    smoothed = smooth_scores(maps, basis, spatial=spatial)
    assert error(smoothed.scores, basis, expected) < 0.2 * error(maps, basis, expected)


def test_lone_pixels_of_a_rare_phase_stay_and_are_marked(case, dictionary):
    maps, basis, expected = case
    smoothed = smooth_scores(maps, basis)
    window = np.abs(dictionary(N_ENERGY).energy - 15.7) < 0.2
    rare = np.argsort(-expected[:, window].sum(axis=1))[:12]
    found = reconstruct(smoothed.scores, basis).reshape(expected.shape)
    ratio = found[rare][:, window].sum() / expected[rare][:, window].sum()
    assert abs(ratio - 1) < 5 / np.sqrt(expected[rare][:, window].sum()) + 0.05
    guard = smoothed.guard.ravel()
    assert guard[rare].sum() >= 10
    # By chance one score in 16,000; thickness is random here, so that axis is guarded too.
    assert guard.sum() < 12 + 40


def test_none_changes_nothing_and_marks_nothing(case):
    maps, basis, _ = case
    same = smooth_scores(maps, basis, spatial="none")
    np.testing.assert_array_equal(same.scores, maps)
    assert not same.guard.any()


def test_masked_pixels_take_no_part(case):
    maps, basis, _ = case
    spoilt, masked = maps.copy(), np.zeros((SIDE, SIDE), dtype=bool)
    masked[20:24, 30:34] = True
    spoilt[masked] = np.nan
    result = smooth_scores(spoilt, basis)
    assert np.isnan(result.scores[masked]).all() and not result.guard[masked].any()
    assert np.isfinite(result.scores[~masked]).all()
    # Whatever was in them, and far away nothing changes but the thresholds.
    far = smooth_scores(maps, basis).scores[:, 45:]
    assert np.sqrt(np.mean((result.scores[:, 45:] - far) ** 2)) < 0.1


def test_totals_of_smoothed_pixels_are_unbiased(even):
    maps, basis, expected = even
    totals = (smooth_scores(maps, basis).scores @ basis.root_per_score) ** 2
    np.testing.assert_allclose(totals.sum(), expected.sum(), rtol=5 / np.sqrt(expected.sum()))


def test_wrong_shape_is_named(case):
    maps, basis, _ = case
    with pytest.raises(InputError, match=rf"expected \(ny, nx, {basis.rank}\)"):
        smooth_scores(maps[..., :-1], basis)
