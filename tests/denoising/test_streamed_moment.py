# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks and axes without a matrix of the channels."""

import numpy as np
import pytest

from mlatem.denoising.eigen import eigenpairs_of_few_products
from mlatem.denoising.moments import moment_times
from mlatem.denoising.rank import low_rank
from mlatem.model import StreamedMoment
from mlatem.passes import TileSource, statistics_pass, sums

SIDE, N_ENERGY = 48, 512


@pytest.fixture(scope="module")
def case(specimen):
    counts, statistics, _ = specimen(side=SIDE, n_energy=N_ENERGY, dose=200.0, n_rare=12)
    return counts, statistics


def test_products_are_those_of_the_moment(case):
    counts, statistics = case
    vectors = np.random.default_rng(0).standard_normal((N_ENERGY, 3))
    np.testing.assert_allclose(
        moment_times(counts, vectors), statistics.moment @ vectors, rtol=1e-9, atol=1e-8
    )


@pytest.mark.parametrize("without", [(), ("Zr",), ("Fe", "Si")])
def test_rank_axes_and_eigenvalues_are_those_of_the_matrix(case, dictionary, monkeypatch, without):
    counts, statistics = case
    source = TileSource(counts.to_dense().reshape(SIDE, SIDE, -1), slice(0, N_ENERGY))
    monkeypatch.setattr(sums, "STREAMED_CHANNELS", N_ENERGY)
    streamed = statistics_pass(source)
    assert isinstance(streamed, StreamedMoment)
    np.testing.assert_array_equal(streamed.total, statistics.total)
    partial = dictionary(N_ENERGY, without=without)
    found, exact = low_rank(streamed, partial), low_rank(statistics, partial)
    is_certain = ~exact.is_uncertain
    n = np.count_nonzero(is_certain)
    np.testing.assert_allclose(found.eigenvalue[:n], exact.eigenvalue[is_certain], rtol=1e-3)
    overlap = np.abs(np.sum(found.axes[:n] * exact.axes[is_certain], axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-2)
    np.testing.assert_allclose(found.scree_in_span, exact.scree_in_span, rtol=1e-6, atol=1e-4)


def test_noise_alone_gives_no_axis(specimen, dictionary, monkeypatch):
    counts, _, _ = specimen(side=SIDE, n_energy=N_ENERGY, n_phases=1)
    source = TileSource(counts.to_dense().reshape(SIDE, SIDE, -1), slice(0, N_ENERGY))
    monkeypatch.setattr(sums, "STREAMED_CHANNELS", N_ENERGY)
    assert low_rank(statistics_pass(source), dictionary(N_ENERGY)).rank == 1


@pytest.mark.parametrize("n", [3, 40, 300])
def test_few_products_find_what_stands_off(n):
    rng = np.random.default_rng(n)
    noise = rng.standard_normal((n, n)) / np.sqrt(n)
    known, _ = np.linalg.qr(rng.standard_normal((n, 2)))
    one = rng.standard_normal(n)
    one -= known @ (known.T @ one)
    one /= np.linalg.norm(one)
    matrix = noise + noise.T + 8.0 * np.outer(one, one)

    def times(columns):
        off = columns - known @ (known.T @ columns)
        product = matrix @ off
        return product - known @ (known.T @ product)

    values, vectors = eigenpairs_of_few_products(times, known, 1)
    rest = np.eye(n) - known @ known.T
    exact = np.linalg.eigvalsh(rest @ matrix @ rest)[-1]
    assert values[0] == pytest.approx(exact, rel=1e-4)
    np.testing.assert_allclose(vectors.T @ known, 0, atol=1e-9)
    assert np.linalg.norm(vectors) == pytest.approx(1)
