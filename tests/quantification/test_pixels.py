# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from mlatem.quantification import maps
from mlatem.quantification.edxs import quantify
from mlatem.quantification.maps import dominating_phase, pixel_maps, quantify_pixels
from mlatem.settings import Quantify

#: Fe2O3, Fe2SiO4, and support without elements of the specimen.
PHASES = np.array([[2, 3, 0, 1, 20, 20], [2, 4, 1, 0, 20, 20], [0, 0, 0, 1, 30, 10.0]])


def test_pure_pixels_have_the_composition_of_their_phase(dictionary, new_factorization):
    abundance = [[[1e3, 0, 0], [0, 1e3, 0], [0, 0, 1e3]]]
    factorization = new_factorization(dictionary, PHASES, abundance)
    found = pixel_maps(factorization)
    phases = quantify(factorization).pivot("atomic_percent")
    assert found.elements == tuple(phases.columns)
    np.testing.assert_allclose(found.atomic_percent[0, :2], phases.iloc[:2], rtol=1e-6)
    assert np.isnan(found.atomic_percent[0, 2]).all()
    assert np.isnan(found.sigma[0, 2]).all()
    assert found.phase.tolist() == [[0, 1, -1]]


def test_mixed_pixels_average_the_amounts(dictionary, new_factorization):
    factorization = new_factorization(dictionary, PHASES, [[[300, 700, 100]]])
    amounts = np.array([300, 700, 100]) @ factorization.coefficient[:, :3]
    found = pixel_maps(factorization)
    np.testing.assert_allclose(found.atomic_percent[0, 0], 100 * amounts / amounts.sum(), 1e-6)
    assert found.phase[0, 0] == 1


def test_pixels_below_the_least_counts_are_not_quantified(dictionary, new_factorization):
    abundance = np.array([[[0, 0, 0], [2, 0, 0], [0, 40, 0], [0, 8, 5e4]]])
    factorization = new_factorization(dictionary, PHASES, abundance)
    found = pixel_maps(factorization, settings=Quantify(min_pixel_counts=5))
    empty = np.isnan(found.atomic_percent).all(axis=2)
    np.testing.assert_array_equal(empty, found.phase < 0)
    # Counts of the support are no line counts.
    assert empty.tolist() == [[True, True, False, True]]
    # Even with no least number, a pixel without counts has no composition.
    everything = pixel_maps(factorization, settings=Quantify(min_pixel_counts=0))
    assert np.isnan(everything.atomic_percent[0, 0]).all()
    assert everything.phase.tolist() == [[-1, 0, 1, 2]]


def test_sigma_is_the_scatter_of_the_abundances(dictionary, new_factorization):
    n = 20_000
    mean = np.array([3e4, 5e4, 1e4])
    covariance = np.array([[4e4, -2e4, 0], [-2e4, 6e4, -1e4], [0, -1e4, 3e4]])
    factorization = new_factorization(
        dictionary, PHASES, mean[None, None], None, covariance[None, None]
    )
    repeated = np.random.default_rng(6).multivariate_normal(mean, covariance, size=n)
    percent, stated, _ = quantify_pixels(
        np.vstack([mean, repeated]),
        np.tile(covariance, (n + 1, 1, 1)),
        factorization.coefficient,
        dictionary,
        min_counts=0,
    )
    scatter = percent[1:].astype(np.float64).std(axis=0)
    assert np.all(np.abs(scatter / stated[0] - 1) < 5 / np.sqrt(2 * n) + 0.005)


def test_errors_of_the_compositions_reach_the_pixels(dictionary, new_factorization):
    n = 4000
    rng = np.random.default_rng(7)
    coefficient = new_factorization(dictionary, PHASES, np.ones((1, 1, 3))).coefficient
    covariance = np.zeros((3, 6, 6))
    for phase in (0, 1):
        spread = rng.normal(size=(6, 6)) * 0.02 * coefficient[phase][:, None]
        covariance[phase] = spread @ spread.T
    pixel = np.array([[300.0, 700.0, 100.0]])
    exact = np.zeros((1, 3, 3))
    _, stated, _ = quantify_pixels(
        pixel, exact, coefficient, dictionary, min_counts=0, coefficient_covariance=covariance
    )
    draws = np.stack(
        [
            rng.multivariate_normal(c, v, size=n)
            for c, v in zip(coefficient, covariance, strict=True)
        ]
    )
    percent = [
        quantify_pixels(pixel, exact, draws[:, i], dictionary, min_counts=0)[0][0] for i in range(n)
    ]
    scatter = np.std(np.array(percent, dtype=np.float64), axis=0)
    assert np.all(np.abs(scatter / stated[0] - 1) < 5 / np.sqrt(2 * n) + 0.02)


def test_an_element_that_is_not_seen_has_a_limit_and_never_no_error(dictionary, new_factorization):
    found = pixel_maps(new_factorization(dictionary, PHASES, [[[1e4, 0, 0], [0, 1e4, 0]]]))
    silicon = found.elements.index("Si")
    assert found.atomic_percent[0, 0, silicon] == 0
    assert 0 < found.sigma[0, 0, silicon] < found.upper_limit[0, 0, silicon] < 5
    assert np.isnan(found.upper_limit[0, 1]).all()


def test_unknown_covariance_leaves_the_percent(dictionary, new_factorization):
    unknown = np.full((1, 1, 3, 3), np.nan)
    found = pixel_maps(new_factorization(dictionary, PHASES, [[[900, 0, 0]]], None, unknown))
    assert np.isfinite(found.atomic_percent).all()
    assert np.isnan(found.sigma).all()


def test_blocks_change_nothing(dictionary, new_factorization, monkeypatch):
    abundance = np.random.default_rng(1).gamma(0.5, 60, size=(17, 5, 3))
    factorization = new_factorization(dictionary, PHASES, abundance)
    whole = pixel_maps(factorization)
    monkeypatch.setattr(maps, "_BLOCK_BYTES", 200)
    pieces = pixel_maps(factorization)
    np.testing.assert_allclose(pieces.atomic_percent, whole.atomic_percent, rtol=1e-6)
    np.testing.assert_allclose(pieces.sigma, whole.sigma, rtol=1e-5)
    np.testing.assert_array_equal(pieces.phase, whole.phase)
    assert 0 < np.count_nonzero(whole.phase < 0) < whole.phase.size


@pytest.mark.parametrize("min_counts", [0.0, 10.0, 1e9])
def test_the_phase_with_the_most_counts_dominates(dictionary, new_factorization, min_counts):
    abundance = np.array([[5.0, 40.0, 1.0], [900.0, 20.0, 0.0], [0.0, 0.0, 0.0]])
    coefficient = new_factorization(dictionary, PHASES, abundance[None]).coefficient
    phase = dominating_phase(abundance, coefficient, dictionary, min_counts=min_counts)
    assert phase.dtype == np.int16
    assert phase.tolist() == ([-1, -1, -1] if min_counts > 1e6 else [1, 0, -1])
