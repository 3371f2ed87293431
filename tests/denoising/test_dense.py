# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense spectra with gain and readout noise."""

import numpy as np
import pytest

from mlatem.denoising.dense import dense_reconstruct, dense_scores, dense_statistics
from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank
from mlatem.errors import InputError
from mlatem.model import SparseCounts, TileStatistics

GAIN, READOUT = 3.0, 20.0
N_PIXELS, N_ENERGY = 4000, 200


def drawn(n_phases, seed=0):
    """Power laws with edges; thickness varies. Values and their expectation."""
    rng = np.random.default_rng(seed)
    energy = np.linspace(200.0, 800.0, N_ENERGY)
    background = 2e3 * (energy / 200.0) ** -2.5
    edges = [0.3 * background[60] * (energy > e) * (energy / e) ** -2 for e in (300, 450, 600)]
    phases = np.array([background, *(background + edge for edge in edges)])[:n_phases]
    expected = phases[rng.integers(0, n_phases, N_PIXELS)] * rng.uniform(0.7, 1.3, (N_PIXELS, 1))
    values = GAIN * rng.poisson(expected / GAIN) + READOUT * rng.standard_normal(expected.shape)
    return values, expected


@pytest.mark.parametrize("n_phases", [1, 2, 3, 4])
def test_rank_is_the_number_of_phases(n_phases):
    values, _ = drawn(n_phases)
    basis = low_rank(dense_statistics(values, gain=GAIN, readout=READOUT))
    assert basis.rank == n_phases


def test_noise_of_scores_is_one():
    values, _ = drawn(1)
    basis = low_rank(dense_statistics(values, gain=GAIN, readout=READOUT))
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((N_ENERGY, 6)))[0].T
    axes -= np.outer(axes @ basis.axes[0], basis.axes[0])
    other = (
        basis.weights * values / dense_scores(values, basis, gain=GAIN, readout=READOUT)[1][:, None]
    )
    variance = (other @ axes.T).var(axis=0) / np.sum(axes**2, axis=1)
    # Thickness changes the share of readout in the noise: the weights are a product only nearly.
    assert np.all(np.abs(variance - 1) < 5 * np.sqrt(2 / N_PIXELS) + 0.05)


def test_denoised_spectra_are_near_the_truth():
    values, expected = drawn(3)
    basis = low_rank(dense_statistics(values, gain=GAIN, readout=READOUT))
    denoised = dense_reconstruct(*dense_scores(values, basis, gain=GAIN, readout=READOUT), basis)
    gain = np.sum((values - expected) ** 2) / np.sum((denoised - expected) ** 2)
    assert gain > 0.5 * N_ENERGY / basis.rank


def test_tiles_add_up():
    values, _ = drawn(2)
    whole = dense_statistics(values, gain=GAIN, readout=READOUT)
    parts = TileStatistics.zero(N_ENERGY)
    for part in np.array_split(values, 7):
        parts += dense_statistics(part, gain=GAIN, readout=READOUT)
    for name in ("total", "weighted_total", "moment", "signal"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
    assert parts.n_pixels == whole.n_pixels


def test_counts_are_the_case_without_readout():
    counts = np.random.default_rng(3).poisson(5.0, (300, 40))
    sparse = tile_statistics(SparseCounts.from_dense(counts, np.arange(300)))
    dense = dense_statistics(counts, gain=1.0, readout=0.0)
    for name in ("total", "weighted_total", "moment"):
        np.testing.assert_allclose(getattr(dense, name), getattr(sparse, name), rtol=1e-12)
    np.testing.assert_array_equal(dense.signal, sparse.total)


@pytest.mark.parametrize(
    ("values", "gain", "readout", "named"),
    [
        (np.ones(5), 1.0, 1.0, "expected \\(pixels, channels\\)"),
        (np.full((2, 3), np.nan), 1.0, 1.0, "finite"),
        (np.ones((2, 3)), -1.0, 1.0, "not negative"),
        (np.zeros((2, 3)), 1.0, 0.0, "no variance"),
    ],
)
def test_what_cannot_be_weighted_is_refused(values, gain, readout, named):
    with pytest.raises(InputError, match=named):
        dense_statistics(values, gain=gain, readout=readout)
