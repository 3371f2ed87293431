# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores and information against a few lines of numpy, and the law of simulated counts."""

import numpy as np
import pytest

from mlatem.kernels import excess
from mlatem.model import SparseCounts


@pytest.fixture(scope="module")
def example():
    rng = np.random.default_rng(3)
    spectra = rng.dirichlet(np.full(40, 2.0), 5)
    phases, columns = spectra[:2], spectra[2:]
    abundance = rng.uniform(20, 200, (6, 2))
    abundance[4, 1] = 0.0
    counts = rng.poisson(abundance @ phases).astype(np.uint8)
    counts[5], abundance[5] = 0, 0.0
    return phases, columns, abundance, counts


def test_scores(example):
    phases, columns, abundance, counts = example
    sparse = SparseCounts.from_dense(counts, np.arange(6))
    found = excess.excess_scores(
        sparse.pointer,
        sparse.channel,
        sparse.count,
        np.ascontiguousarray(phases.T),
        abundance,
        np.ascontiguousarray(columns.T),
    )
    model = abundance[:5] @ phases
    np.testing.assert_allclose(found[:5], (counts[:5] / model - 1) @ columns.T, atol=1e-9)
    np.testing.assert_array_equal(found[5], 0.0)


def test_information_with_the_present_phases_free(example):
    phases, columns, abundance, _ = example
    found = excess.excess_information(
        phases.astype(np.float32), columns.astype(np.float32), abundance
    )
    for pixel in range(5):
        weight = 1 / (abundance[pixel] @ phases)
        free = phases[abundance[pixel] > 0]
        cross = (columns * weight) @ free.T
        taken = cross @ np.linalg.inv((free * weight) @ free.T) @ cross.T
        expected = np.diag((columns * weight) @ columns.T - taken)
        np.testing.assert_allclose(found[pixel], expected, rtol=1e-4)
    np.testing.assert_array_equal(found[5], 0.0)


def test_a_column_that_the_phases_explain_has_no_information(example):
    phases, _, abundance, _ = example
    mixture = (0.3 * phases[:1] + 0.7 * phases[1:]).astype(np.float32)
    found = excess.excess_information(phases.astype(np.float32), mixture, abundance)
    np.testing.assert_array_equal(found[:4], 0.0)


def test_simulated_counts_follow_the_model(example):
    phases, _, _, _ = example
    abundance = np.tile([30.0, 12.0], (4000, 1))
    distribution = np.cumsum(phases, axis=1)
    drawn = SparseCounts(
        *excess.simulate(abundance, distribution, np.arange(4000), 7), 40, np.arange(4000)
    )
    drawn.validate()
    dense = drawn.to_dense().astype(float)
    mean = abundance[0] @ phases
    z = (dense.mean(axis=0) - mean) / np.sqrt(mean / 4000)
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(dense.var(axis=0), mean, rtol=0.15)


def test_simulated_counts_of_a_pixel_depend_on_it_alone(example):
    phases, _, _, _ = example
    abundance = np.random.default_rng(0).uniform(0, 50, (10, 2))
    distribution = np.cumsum(phases, axis=1)

    def drawn(pixels, seed=1):
        parts = excess.simulate(abundance[pixels], distribution, np.array(pixels), seed)
        return SparseCounts(*parts, 40, np.array(pixels)).to_dense()

    whole = drawn(list(range(10)))
    np.testing.assert_array_equal(drawn([7, 2]), whole[[7, 2]])
    assert np.any(drawn(list(range(10)), seed=2) != whole)
