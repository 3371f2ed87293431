# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of phases whose columns depend on what they consist of."""

import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization import verdicts
from mlatem.factorization.alignment import matched
from mlatem.factorization.pooled import spectral_angle
from mlatem.factorization.solver import solve_compositions
from mlatem.model import RegionStatistics
from mlatem.model.column_parts import ColumnParts


class Absorbing:
    """Columns that lose photons below 2 keV in proportion to the share of one element."""

    def __init__(self, dictionary, strength):
        self.dictionary = dictionary
        self.soft = np.exp(-strength * np.clip(2.0 - dictionary.energy, 0.0, None))

    def __call__(self, coefficient, abundance, n_pixels):
        assert abundance.shape == (len(n_pixels), len(coefficient))
        quantified = coefficient[:, self.dictionary.quantified]
        share = quantified[:, self.dictionary.names.index("Cr")] / quantified.sum(axis=1)
        return ColumnParts.of_columns(self.dictionary.columns * self.soft ** share[:, None, None])


@pytest.fixture(scope="module")
def absorbed(four_phases):
    """Noise-free regions of four phases, of which the one with chromium absorbs itself."""
    example, _ = four_phases
    dictionary = example.dictionary
    absorb = Absorbing(dictionary, strength=4.0)
    coefficient = np.zeros((4, dictionary.n_columns))
    coefficient[:, dictionary.quantified] = example.atomic
    coefficient[:, -1] = 0.2 * coefficient.sum(axis=1)
    abundance = np.vstack([np.eye(4), 0.5 * (np.eye(4) + np.roll(np.eye(4), 1, axis=1))])
    columns = absorb(coefficient, abundance, np.ones(8)).spectrum
    spectrum = np.einsum("kj,kje->ke", coefficient, columns)
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    counts = 2e5 * abundance @ spectrum
    regions = RegionStatistics(counts, np.full(8, 100))
    return dictionary, absorb, regions, spectrum, example.atomic


def errors(solution, dictionary, spectrum, atomic):
    found = solution.spectrum(dictionary)
    order = matched(spectrum, found)
    percent = solution.coefficient[order][:, dictionary.quantified]
    percent = 100 * percent / percent.sum(axis=1, keepdims=True)
    angle = np.degrees(spectral_angle(spectrum, found[order]))
    return angle.max(), np.abs(percent - 100 * atomic).max()


def test_compositions_and_columns_agree_in_the_end(absorbed):
    dictionary, absorb, regions, spectrum, atomic = absorbed
    shared = solve_compositions([regions], dictionary, 4)
    assert shared.phase_columns is None
    angle, percent = errors(shared, dictionary, spectrum, atomic)
    assert angle > 1.5 and percent > 3
    solution = solve_compositions([regions], dictionary, 4, own_columns=absorb)
    angle, percent = errors(solution, dictionary, spectrum, atomic)
    assert angle < 0.3 and percent < 0.5
    np.testing.assert_allclose(solution.spectrum(dictionary).sum(axis=1), 1.0)
    again = absorb(solution.coefficient, np.ones((1, 4)), np.ones(1))
    np.testing.assert_allclose(solution.phase_columns, again.spectrum, rtol=2e-2)
    assert solution.line_factors == {}


def test_columns_that_do_not_change_change_nothing(absorbed):
    dictionary, _, regions, _, _ = absorbed
    shared = solve_compositions([regions], dictionary, 4)
    parts = ColumnParts.of_columns(
        np.broadcast_to(dictionary.columns, (4, *dictionary.columns.shape))
    )
    own = solve_compositions([regions], dictionary, 4, own_columns=lambda *_: parts)
    np.testing.assert_allclose(
        own.coefficient, shared.coefficient, rtol=1e-2, atol=1e-3 * shared.coefficient.max()
    )


def test_the_covariance_is_in_the_units_of_the_coefficients(absorbed):
    dictionary, absorb, regions, _, _ = absorbed
    solution = solve_compositions([regions], dictionary, 4, own_columns=absorb)
    counts = solution.coefficient * solution.phase_columns.sum(axis=2)
    np.testing.assert_allclose(counts.sum(axis=1), 1.0)
    scale = solution.phase_columns.sum(axis=2)
    in_counts = np.einsum("kj,kji,ki->kji", scale, solution.coefficient_covariance, scale)
    present = counts > 0.05
    sigma = np.sqrt(np.diagonal(in_counts, axis1=1, axis2=2))
    # A share of a few times 1e5 counts is known to about a thousandth.
    assert np.all(sigma[present] > 1e-4) and np.all(sigma[present] < 2e-2)


def test_factors_that_all_phases_share_are_fitted_with_their_compositions(four_phases):
    example, _ = four_phases
    dictionary = example.dictionary
    absorb = Absorbing(dictionary, strength=4.0)
    iron = dictionary.names.index("Fe")
    every = np.arange(dictionary.n_columns)

    def own(coefficient, abundance, n_pixels):
        """The soft line of iron as a part of its own, of unknown intensity."""
        columns = absorb(coefficient, abundance, n_pixels).spectrum
        soft = columns[:, iron] * (dictionary.energy < 1.0)
        spectrum = np.concatenate([columns, soft[:, None]], axis=1)
        spectrum[:, iron] -= soft
        factor = np.append(np.full(every.size, -1), 0)
        return ColumnParts(spectrum, np.append(every, iron), factor, ("Fe L3",), np.array([[0.16]]))

    coefficient = np.zeros((4, dictionary.n_columns))
    coefficient[:, dictionary.quantified] = example.atomic
    coefficient[:, -1] = 0.2 * coefficient.sum(axis=1)
    abundance = np.vstack([np.eye(4), 0.5 * (np.eye(4) + np.roll(np.eye(4), 1, axis=1))])
    columns = own(coefficient, abundance, np.ones(8)).columns(np.log([0.6]))
    spectrum = np.einsum("kj,kje->ke", coefficient, columns)
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    regions = RegionStatistics(2e5 * abundance @ spectrum, np.full(8, 100))
    solution = solve_compositions([regions], dictionary, 4, own_columns=own)
    angle, percent = errors(solution, dictionary, spectrum, example.atomic)
    assert angle < 0.3 and percent < 0.5
    factor, of_counts, of_tables = solution.line_factors["Fe L3"]
    assert factor == pytest.approx(0.6, abs=0.02)
    assert 0 < of_tables < of_counts < 0.05
    told = verdicts.decisions(solution, settings.Factorize(n_phases=4))
    (fitted,) = [decision.choice for decision in told if "fitted together" in decision.choice]
    assert "1 sub-shells" not in fitted and "Fe L3 0.6" in fitted


def test_a_phase_is_freed_of_its_matrix_though_the_mixture_absorbs_like_a_mixture(four_phases):
    dictionary = four_phases[0].dictionary
    silicon, titanium = (dictionary.names.index(name) for name in ("Si", "Ti"))
    depth = np.clip(2.0 - dictionary.energy, 0.0, None)

    def absorbing(coefficient, *_):
        quantified = coefficient[:, dictionary.quantified]
        share = quantified / quantified.sum(axis=1, keepdims=True)
        lost = 3.0 * (share[:, silicon] + share[:, titanium])
        return ColumnParts.of_columns(dictionary.columns * np.exp(-lost[:, None, None] * depth))

    glass, rutile = {"O": 0.62, "Si": 0.28, "Al": 0.06, "Mg": 0.04}, {"O": 0.667, "Ti": 0.333}
    coefficient = np.zeros((2, dictionary.n_columns))
    for phase, composition in enumerate((glass, rutile)):
        for element, fraction in composition.items():
            coefficient[phase, dictionary.names.index(element)] = fraction
    coefficient[:, -2] = 0.15 * coefficient.sum(axis=1)
    spectrum = np.einsum("kj,kje->ke", coefficient, absorbing(coefficient).spectrum)
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    embedded = np.concatenate([np.zeros(20), np.linspace(0.05, 0.5, 16)])
    expected = 40_000 * np.stack([1 - embedded, embedded], axis=1) @ spectrum
    rng = np.random.default_rng(0)
    regions = [RegionStatistics(rng.poisson(expected).astype(float), np.full(36, 20)) for _ in "ab"]
    solution = solve_compositions(regions, dictionary, 2, own_columns=absorbing)
    atomic = coefficient[:, dictionary.quantified]
    angle, percent = errors(
        solution, dictionary, spectrum, atomic / atomic.sum(axis=1, keepdims=True)
    )
    assert angle < 1.0 and percent < 1.5  # 35 degrees where the mixture is where it begins
    assert solution.ambiguity.geometry_class == "CORNER"
