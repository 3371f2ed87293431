# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements that so few pixels hold that no eigenvalue rises above the edge."""

import numpy as np
import pytest

from mlatem.denoising.rank import low_rank
from mlatem.denoising.rare_axes import (
    Directions,
    RareSums,
    directions,
    find,
    with_eigenvalues,
)
from mlatem.denoising.residuals import LineGroups
from mlatem.denoising.verdicts import rare_verdict
from mlatem.model import Basis
from mlatem.passes import TileSource, scores_pass
from mlatem.passes.rare_axes import with_rare_axes
from mlatem.passes.score_maps import score_moment
from mlatem.settings import Denoise

SIDE, N_ENERGY = 64, 256


@pytest.fixture(scope="module")
def lines(dictionary):
    known = dictionary(N_ENERGY)
    names = [e for e in known.elements if e]
    rows = [known.names.index(name) for name in names]
    return LineGroups(tuple(names), ("K",) * len(names), known.columns[rows])


#: On a map so small the edge would see the rare phase; on a large one it would not.
COMMON = Denoise(rank=3)


def case(specimen, n_rare, seed=0, dose=50.0):
    counts, statistics, expected = specimen(
        side=SIDE, n_energy=N_ENERGY, dose=dose, n_rare=n_rare, seed=seed
    )
    source = TileSource(counts.to_dense().reshape(SIDE, SIDE, -1), slice(0, N_ENERGY))
    return source, statistics, expected


@pytest.mark.parametrize("without", [(), ("Zr",)])
def test_six_pixels_get_an_axis(specimen, dictionary, lines, without):
    source, statistics, expected = case(specimen, 6)
    partial = dictionary(N_ENERGY, without=without)
    basis = low_rank(statistics, partial, COMMON)
    found, axes = with_rare_axes(source, basis, partial, lines)
    assert [axis.element for axis in axes] == ["Zr"]
    assert axes[0].is_listed == (not without) and axes[0].significance > 6
    assert found.n_rare == 1 and found.rank == 4 and not found.is_uncertain[-1]
    scores = scores_pass(source, found)
    found = with_eigenvalues(found, *score_moment(scores))
    window = np.abs(partial.energy - 15.7) < 0.2
    rare = np.argsort(-expected[:, window].sum(axis=1))[:6]
    assert scores.reshape(-1, 4)[rare, -1].mean() > 4
    verdict = rare_verdict(axes)
    assert verdict.status == ("warning" if without else "good") and "Zr" in verdict.message


@pytest.mark.parametrize("seed", range(4))
def test_maps_without_a_rare_phase_get_none(specimen, dictionary, lines, seed):
    source, statistics, _ = case(specimen, 0, seed=seed, dose=20.0)
    basis = low_rank(statistics, dictionary(N_ENERGY), COMMON)
    found, axes = with_rare_axes(source, basis, dictionary(N_ENERGY), lines)
    assert axes == () and found is basis
    assert rare_verdict(axes).status == "good"


def test_tiles_and_threads_change_nothing(specimen, dictionary, lines):
    source, statistics, _ = case(specimen, 6)
    basis = low_rank(statistics, dictionary(N_ENERGY), COMMON)
    whole, _ = with_rare_axes(source, basis, dictionary(N_ENERGY), lines)
    tiles = TileSource(source.counts, source.channels, tile_shape=(13, 30), threads=2)
    parts, _ = with_rare_axes(tiles, basis, dictionary(N_ENERGY), lines)
    np.testing.assert_allclose(parts.axes, whole.axes)


def test_directions_are_off_the_axes_and_of_length_one(specimen, dictionary, lines):
    _, statistics, _ = case(specimen, 0)
    basis = low_rank(statistics, dictionary(N_ENERGY), COMMON)
    found = directions(basis, dictionary(N_ENERGY), lines)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1)
    np.testing.assert_allclose(found.vectors @ basis.axes.T, 0, atol=1e-10)
    assert "Zr" in found.elements


def test_the_number_of_rare_axes_survives_a_file(specimen, dictionary, lines):
    source, statistics, _ = case(specimen, 6)
    basis = low_rank(statistics, dictionary(N_ENERGY), COMMON)
    found, _ = with_rare_axes(source, basis, dictionary(N_ENERGY), lines)
    again = Basis.from_dataset(found.to_dataset())
    assert again.n_rare == 1
    np.testing.assert_array_equal(again.without_rare().axes, basis.axes)


@pytest.mark.parametrize(("of_listed", "expected"), [(8.0, "Zr"), (6.9, "Pt"), (6.0, "Pt")])
def test_a_listed_element_is_taken_before_one_that_hardly_fits_better(
    dictionary, of_listed, expected
):
    sums = RareSums.zero(2)
    n_pixels, score = sums.n_pixels.copy(), sums.score.copy()
    n_pixels[0, 0], score[0, 0] = 4, 2.0 * np.array([8.2, of_listed])
    searched = Directions(("Pt", "Zr"), np.eye(2, N_ENERGY))
    axis, direction = find(RareSums(n_pixels, score), searched, dictionary(N_ENERGY))
    assert axis.element == expected and axis.is_listed == (expected == "Zr")
    np.testing.assert_array_equal(direction, searched.vectors[int(expected == "Zr")])
