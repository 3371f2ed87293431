# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.factorization.abundances import fit_abundances
from mlatem.factorization.smoothing import HALO, smooth_abundances
from mlatem.kernels import information
from mlatem.model import SparseCounts


@pytest.fixture(scope="module")
def spectra(four_phases):
    spectrum = four_phases[0].spectrum
    return spectrum / spectrum.sum(axis=1, keepdims=True)


def fitted(abundance, spectrum, seed=0):
    """Unbounded, covariance and plain abundances of a map drawn from the model."""
    counts = np.random.default_rng(seed).poisson(abundance @ spectrum).astype(np.uint16)
    ny, nx = abundance.shape[:2]
    found = fit_abundances(SparseCounts.from_dense(counts, np.arange(ny * nx)), spectrum)
    k = len(spectrum)
    return (
        found.unbounded.reshape(ny, nx, k),
        found.covariance.reshape(ny, nx, k, k),
        found.abundance.reshape(ny, nx, k),
    )


def squared(found, truth):
    return np.mean((found - truth) ** 2)


def halves(spectrum, counts_per_pixel, size=40):
    """The first phase on the left, the second on the right of a sharp border."""
    abundance = np.zeros((size, size, len(spectrum)))
    abundance[:, : size // 2, 0] = abundance[:, size // 2 :, 1] = counts_per_pixel
    return abundance


@pytest.mark.parametrize(("counts_per_pixel", "at_border"), [(20, 1.0), (200, 0.3)])
def test_noise_falls_in_uniform_grains_and_their_border_stays(spectra, counts_per_pixel, at_border):
    truth = halves(spectra, counts_per_pixel)
    unbounded, covariance, plain = fitted(truth, spectra)
    smooth = smooth_abundances(unbounded, covariance, spectra)
    assert np.all(smooth >= 0)
    assert squared(smooth, truth) < 0.15 * squared(plain, truth)
    border = np.s_[:, 19:21]
    assert squared(smooth[border], truth[border]) < at_border * squared(
        plain[border], truth[border]
    )


def test_a_phase_of_single_pixels_stays(spectra):
    truth = halves(spectra, 200)
    places = np.random.default_rng(3).choice(40 * 40, 20, replace=False)
    truth.reshape(-1, len(spectra))[places] = [0, 0, 100, 100]
    unbounded, covariance, plain = fitted(truth, spectra)
    smooth = smooth_abundances(unbounded, covariance, spectra)
    single = np.unravel_index(places, truth.shape[:2])
    assert smooth[single][:, 2].mean() == pytest.approx(100, rel=0.06)
    assert squared(smooth[single], truth[single]) < 1.25 * squared(plain[single], truth[single])


def test_grains_of_three_pixels_are_no_worse_than_without(spectra):
    rng = np.random.default_rng(5)
    phase = np.kron(rng.integers(0, len(spectra), (12, 12)), np.ones((3, 3), dtype=int))
    truth = 200.0 * np.eye(len(spectra))[phase]
    unbounded, covariance, plain = fitted(truth, spectra)
    smooth = smooth_abundances(unbounded, covariance, spectra)
    assert squared(smooth, truth) < 0.6 * squared(plain, truth)


def test_absent_phases_average_to_nothing(spectra):
    truth = halves(spectra, 30)
    unbounded, covariance, plain = fitted(truth, spectra)
    smooth = smooth_abundances(unbounded, covariance, spectra)
    for phase in (2, 3):
        noise = np.nanmean(np.sqrt(covariance[..., phase, phase])) / truth.shape[0]
        assert abs(unbounded[..., phase].mean()) < 4 * noise
        assert smooth[..., phase].mean() < 0.35 * plain[..., phase].mean()


def test_bands_change_nothing(spectra):
    unbounded, covariance, _ = fitted(halves(spectra, 100), spectra)
    whole = smooth_abundances(unbounded, covariance, spectra)
    for n_rows in (1, 7, HALO, 16):
        bands = smooth_abundances(unbounded, covariance, spectra, band_rows=n_rows)
        assert np.array_equal(bands, whole)


def test_a_hole_stays_empty(spectra):
    truth = halves(spectra, 100)
    truth[10:30, 10:30] = 0
    unbounded, covariance, _ = fitted(truth, spectra)
    assert np.isnan(covariance[12:28, 12:28]).all()
    smooth = smooth_abundances(unbounded, covariance, spectra)
    assert np.all(smooth[12:28, 12:28] < 0.5)


def test_spectra_that_cannot_be_told_apart_are_not_smoothed(spectra):
    twins = spectra[[0, 0]]
    unbounded, covariance, plain = fitted(halves(twins, 100), twins)
    assert smooth_abundances(unbounded, covariance, twins) is None
    assert np.array_equal(unbounded, plain)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30)])
def test_a_single_spectrum_and_a_line(spectra, shape):
    truth = np.full((*shape, len(spectra)), 100.0)
    unbounded, covariance, plain = fitted(truth, spectra)
    smooth = smooth_abundances(unbounded, covariance, spectra)
    assert squared(smooth, truth) <= 1.1 * squared(plain, truth)


def test_unbounded_abundances_are_a_scoring_step(spectra):
    """Beside the five lines of its formula, in pixels of all phases."""
    truth = np.full((2, 2, len(spectra)), 400.0)
    counts = np.random.default_rng(1).poisson(truth @ spectra).astype(np.uint16)
    found = fit_abundances(SparseCounts.from_dense(counts, np.arange(4)), spectra)
    for pixel, y in enumerate(counts.reshape(4, -1)):
        reference = np.maximum(found.abundance[pixel], 1.0)
        slope = spectra @ (y / (reference @ spectra)) - 1.0
        fisher = information.fisher_information(
            information.alike_channels(spectra), reference[None].astype(np.float32)
        )[0]
        expected = reference + np.linalg.solve(fisher, slope)
        assert np.allclose(found.unbounded[pixel], expected, rtol=1e-3, atol=0.5)
