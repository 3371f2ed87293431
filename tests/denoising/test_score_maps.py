# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank
from mlatem.denoising.scores import reconstruct, scores
from mlatem.denoising.smoothing import stands_out
from mlatem.errors import InputError
from mlatem.io.score_maps import StoredMaps
from mlatem.model import SparseCounts
from mlatem.passes.score_maps import score_moment, smooth_scores

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


@pytest.mark.parametrize("spatial", ["wavelet", "total_variation"])
@pytest.mark.parametrize("block_px", [9, 20])
def test_blocks_and_threads_change_nothing(case, spatial, block_px):
    maps, basis, _ = case
    gaps = maps.copy()
    gaps[:3] = gaps[30:44, 20:25] = np.nan
    guide = np.random.default_rng(0).standard_normal((SIDE, SIDE)).cumsum(axis=1)
    whole = smooth_scores(gaps, basis, spatial=spatial, guide=guide)
    parts = smooth_scores(gaps, basis, spatial=spatial, guide=guide, block_px=block_px, threads=2)
    scale = np.nanmax(np.abs(whole.scores))
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=0, atol=1e-6 * scale)
    np.testing.assert_array_equal(parts.guard, whole.guard)


def test_maps_on_disk_are_those_in_memory(case, tmp_path):
    maps, basis, _ = case
    stored = StoredMaps(tmp_path, "maps")
    raw = stored.create("scores", maps.shape, np.float32, compress=False)
    raw[:] = maps
    on_disk = smooth_scores(raw, basis, maps=stored, block_px=20)
    in_memory = smooth_scores(maps, basis)
    np.testing.assert_allclose(on_disk.scores[:], in_memory.scores, atol=1e-5)
    np.testing.assert_array_equal(on_disk.guard[:], in_memory.guard)


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (5, 6)])
def test_line_scans_and_tiny_maps_are_smoothed_where_they_can_be(case, shape):
    maps, basis, _ = case
    part = np.ascontiguousarray(maps[: shape[0], : shape[1]])
    result = smooth_scores(part, basis, block_px=10)
    assert result.scores.shape == part.shape and np.isfinite(result.scores).all()
    whole = smooth_scores(part, basis)
    np.testing.assert_allclose(result.scores, whole.scores, atol=1e-5)


def test_a_square_that_stands_out_only_together_stays():
    deviation, inside = np.zeros((20, 30), dtype=np.float32), np.ones((20, 30), dtype=bool)
    deviation[4:7, 10:13] = 2.5  # of the square 7.5
    deviation[12, 20] = 3.9
    deviation[0, 0] = deviation[19, 3] = -4.1
    inside[19, 3] = False
    found = stands_out(deviation, inside)
    assert found[4:7, 10:13].all() and not found[12, 20]
    assert found[0, 0] and not found[19, 3]
    assert not found[:2, 5:].any() and not found[9:].any()


def test_a_guide_helps_where_it_is_right_and_is_not_imprinted_where_it_is_wrong(even):
    maps, basis, expected = even
    # The stripes of the specimen are rows; the wrong image has columns.
    stripes = (np.arange(SIDE) * 3 // SIDE)[:, None] * np.ones(SIDE)
    noise = 0.02 * np.random.default_rng(1).standard_normal((SIDE, SIDE))
    plain = smooth_scores(maps, basis).scores
    right = smooth_scores(maps, basis, guide=stripes + noise).scores
    wrong = smooth_scores(maps, basis, guide=stripes.T + noise).scores
    assert error(right, basis, expected) < 0.95 * error(plain, basis, expected)
    assert error(wrong, basis, expected) < 1.05 * error(plain, basis, expected)
    # A column of the truth is the same everywhere: steps at those of the wrong image are imprints.
    jumps = np.flatnonzero(np.diff(stripes[0]))
    for k in range(1, basis.rank):
        steps = np.diff(wrong[..., k], axis=1).mean(axis=0)
        assert np.all(np.abs(steps[jumps]) < 5 * np.sqrt(2 / SIDE))
        assert np.all(np.abs(steps[jumps]) < 4 * steps.std() + 0.02)


def test_moment_is_that_of_measured_pixels(case):
    maps, _, _ = case
    gaps = maps.copy()
    gaps[:7] = np.nan
    n_pixels, moment = score_moment(gaps)
    values = maps[7:].reshape(-1, maps.shape[2]).astype(float)
    assert n_pixels == len(values)
    np.testing.assert_allclose(moment, values.T @ values, rtol=1e-9)


def test_a_guide_of_another_shape_is_named(case):
    maps, basis, _ = case
    with pytest.raises(InputError, match="the guide has shape"):
        smooth_scores(maps, basis, guide=np.ones((3, 4)))
