# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.kernels import moments
from mlatem.model import SparseCounts


def spectra(n_pixels=60, n_energy=150, mean=0.1, seed=4):
    dense = np.random.default_rng(seed).poisson(mean, (n_pixels, n_energy))
    dense[7] = 0
    return dense, SparseCounts.from_dense(dense, np.arange(n_pixels))


@pytest.mark.parametrize("mean", [0.01, 0.1, 3.0])
def test_moment_equals_the_formula(mean):
    dense, counts = spectra(mean=mean)
    totals = counts.pixel_totals()
    moment = np.ones((counts.n_energy, counts.n_energy))
    moments.add_sparse_moment(counts.pointer, counts.channel, counts.count, totals, moment)
    moment -= 1.0
    used = dense[totals > 0]
    expected = (used / used.sum(axis=1)[:, None]).T @ used
    np.testing.assert_allclose(moment, expected, rtol=1e-12, atol=1e-13)
    assert np.array_equal(moment, moment.T)


def test_weighted_total_equals_the_formula():
    dense, counts = spectra()
    total = moments.weighted_total(
        counts.pointer, counts.channel, counts.count, counts.pixel_totals(), counts.n_energy
    )
    used = dense[dense.sum(axis=1) > 0]
    np.testing.assert_allclose(total, (used / used.sum(axis=1)[:, None]).sum(axis=0), rtol=1e-12)


def test_projection_equals_the_formula():
    dense, counts = spectra()
    table = np.random.default_rng(0).standard_normal((counts.n_energy, 5))
    totals = counts.pixel_totals()
    result = moments.project(counts.pointer, counts.channel, counts.count, totals, table)
    expected = dense @ table / np.sqrt(np.maximum(totals, 1))[:, None]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert not result[7].any()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_mirror_makes_symmetric(n):
    matrix = np.random.default_rng(n).standard_normal((n, n))
    expected = np.triu(matrix) + np.triu(matrix, 1).T
    moments.mirror(matrix)
    assert np.array_equal(matrix, expected)


def test_events_by_channel_keep_their_pixels():
    _, counts = spectra()
    start, event, pixel = moments.by_channel(counts.pointer, counts.channel, counts.n_energy)
    order = np.argsort(counts.channel, kind="stable")
    assert np.array_equal(event, order)
    rows = np.repeat(np.arange(counts.n_pixels), np.diff(counts.pointer))
    assert np.array_equal(pixel, rows[order])
    assert np.array_equal(np.diff(start), np.bincount(counts.channel, minlength=counts.n_energy))
