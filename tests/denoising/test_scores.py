# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem.denoising.rank import low_rank
from mlatem.denoising.scores import reconstruct, scores
from mlatem.errors import InputError
from mlatem.model import SparseCounts, thin


@pytest.fixture(scope="module")
def case(specimen, dictionary):
    counts, statistics, expected = specimen()
    return counts, low_rank(statistics, dictionary(512)), expected


def test_scores_equal_the_formula(case):
    counts, basis, _ = case
    dense = counts.to_dense().astype(float)
    expected = (dense * basis.weights) @ basis.axes.T / np.sqrt(dense.sum(axis=1))[:, None]
    result = scores(counts, basis)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def with_random_axes(basis, n_axes=8):
    """The mean spectrum and directions that were not chosen on the data."""
    used = basis.weights > 0
    drawn = np.random.default_rng(9).standard_normal((used.sum(), n_axes))
    columns = np.column_stack([basis.axes[0, used], drawn])
    axes = np.zeros((n_axes + 1, used.size))
    axes[:, used] = np.linalg.qr(columns)[0].T
    axes[0] = basis.axes[0]
    return replace(
        basis,
        axes=axes,
        eigenvalue=np.zeros(n_axes + 1),
        edge=np.ones(n_axes + 1),
        in_span=np.zeros(n_axes + 1, dtype=bool),
    )


def test_noise_of_scores_is_one_and_the_first_is_the_root_of_the_counts(specimen, dictionary):
    counts, statistics, _ = specimen(side=64, n_energy=256, dose=200.0, n_phases=1)
    basis = with_random_axes(low_rank(statistics, dictionary(256)))
    result = scores(counts, basis)
    np.testing.assert_allclose(result[:, 0], np.sqrt(counts.pixel_totals()), rtol=0.02)
    variance = result[:, 1:].var(axis=0)
    assert np.all(np.abs(variance - 1) < 5 * np.sqrt(2 / len(result)))


def test_reconstruction_is_nearer_to_the_truth_and_keeps_totals(case):
    counts, basis, expected = case
    dense = counts.to_dense().astype(float)
    denoised = reconstruct(scores(counts, basis), basis)
    assert denoised.dtype == np.float32 and denoised.shape == dense.shape
    weight = 1 / np.maximum(expected.mean(axis=0), 1e-9)
    gain = ((dense - expected) ** 2 * weight).sum() / ((denoised - expected) ** 2 * weight).sum()
    assert gain > 0.5 * 512 / basis.rank
    np.testing.assert_allclose(denoised.sum(axis=1), counts.pixel_totals(), rtol=0.03)


def test_rare_phase_survives(specimen, dictionary):
    counts, statistics, expected = specimen(side=64, n_energy=256, n_rare=12)
    basis = low_rank(statistics, dictionary(256))
    denoised = reconstruct(scores(counts, basis), basis)
    lines = dictionary(256)
    window = np.abs(lines.energy - 15.7) < 0.2
    rare = np.argsort(-expected[:, window].sum(axis=1))[:12]
    ratio = denoised[rare][:, window].sum() / expected[rare][:, window].sum()
    noise = 1 / np.sqrt(expected[rare][:, window].sum())
    assert abs(ratio - 1) < 5 * noise + 0.05


def test_scores_of_tiles_are_those_of_the_map(case):
    counts, basis, _ = case
    dense = counts.to_dense()
    tiles = [
        scores(
            SparseCounts.from_dense(dense[i : i + 100], np.arange(len(dense[i : i + 100]))), basis
        )
        for i in range(0, len(dense), 100)
    ]
    assert np.array_equal(np.vstack(tiles), scores(counts, basis))


def test_scores_of_thinned_halves_have_independent_noise(specimen, dictionary):
    counts, statistics, _ = specimen(side=64, n_energy=256, n_phases=1)
    basis = with_random_axes(low_rank(statistics, dictionary(256)))
    first, second = (scores(half, basis) for half in thin(counts, 3))
    for axis in range(1, basis.rank):
        correlation = np.corrcoef(first[:, axis], second[:, axis])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(len(first))
        assert abs(first[:, axis].var() - 1) < 5 * np.sqrt(2 / len(first))


def test_pixels_without_counts(case):
    _, basis, _ = case
    empty = SparseCounts.from_dense(np.zeros((3, 512), dtype=np.uint8), np.arange(3))
    assert not scores(empty, basis).any()
    assert not reconstruct(scores(empty, basis), basis).any()


def test_any_leading_shape(case):
    counts, basis, _ = case
    result = scores(counts, basis)
    maps = reconstruct(result.reshape(32, 32, -1), basis)
    np.testing.assert_allclose(
        maps.reshape(1024, -1), reconstruct(result, basis), rtol=1e-4, atol=1e-5
    )
    assert reconstruct(result[5], basis).shape == (512,)


def test_other_shapes_are_refused(case, dictionary):
    counts, basis, _ = case
    short = SparseCounts.from_dense(counts.to_dense()[:, :100], counts.pixel)
    with pytest.raises(InputError, match="100 channels and the basis 512"):
        scores(short, basis)
    with pytest.raises(InputError, match="last dimension"):
        reconstruct(np.zeros((4, basis.rank + 1)), basis)
