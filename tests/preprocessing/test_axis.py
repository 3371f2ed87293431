# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit of energy axis, resolution and line intensities."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem import settings
from mlatem.errors import InputError
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.axis import fit_axis, signed_root_deviance

ENERGY = np.arange(40, 1600) * 0.01
OPTIONS = settings.Calibrate()
EXPECTED = {"noise_ev": 50.0, "fano": 0.118}


def build(energy, noise_ev, fano, *, split="shell", line_factors=None):
    return edxs_dictionary(
        energy,
        elements=["O", "Si", "Ti", "Sr"],
        system_elements=["Cu"],
        beam_energy_kev=200.0,
        noise_ev=noise_ev,
        fano=fano,
        split=split,
        line_factors=line_factors,
    )


def spectrum(total, *, offset_kev, gain, noise_ev, fano=0.118, seed=1, line_factors=None):
    """Poisson counts of a titanate whose axis is off, as the file's energies would show them."""
    axis = ENERGY * (1 + gain) + offset_kev
    dictionary = build(axis, noise_ev, fano, split="element", line_factors=line_factors)
    amounts = np.zeros(dictionary.n_columns)
    amounts[:4] = [3, 1, 1, 1]
    lines = amounts @ dictionary.columns
    background = dictionary.columns[-6:].sum(axis=0)
    expected = 0.7 * lines / lines.sum() + 0.3 * background / background.sum()
    return np.random.default_rng(seed).poisson(total * expected).astype(float)


@pytest.mark.parametrize("total", [2e4, 3e5])
@pytest.mark.parametrize(("offset_kev", "gain"), [(0.0, 0.0), (0.03, -3e-3), (-0.03, 3e-3)])
def test_axis_and_noise_come_back_within_their_uncertainty(total, offset_kev, gain):
    counts = spectrum(total, offset_kev=offset_kev, gain=gain, noise_ev=62.0, fano=0.125)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
    assert fit.fitted
    assert abs(fit.offset_kev - offset_kev) < 5 * fit.offset_sigma_kev
    assert abs(fit.gain - gain) < 5 * fit.gain_sigma
    assert abs(fit.noise_ev - 62.0) < 5 * fit.noise_sigma_ev
    assert abs(fit.fano - 0.125) < 5 * np.sqrt(fit.covariance[3, 3])
    assert fit.offset_sigma_kev < 2e-3


def test_the_uncertainties_are_those_of_repeated_fits():
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(30):
        offset, gain = rng.uniform(-0.03, 0.03), rng.uniform(-3e-3, 3e-3)
        # As the priors say, that their part of the uncertainty is tested too.
        noise, fano = 50.0 + 10.0 * rng.standard_normal(), 0.118 + 0.01 * rng.standard_normal()
        counts = spectrum(3e4, offset_kev=offset, gain=gain, noise_ev=noise, fano=fano, seed=seed)
        fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
        found = [fit.offset_kev, fit.gain, fit.noise_ev, fit.fano]
        error = np.array(found) - [offset, gain, noise, fano]
        scores.append(error / np.sqrt(np.diag(fit.covariance)))
    # The standard deviation of 120 correlated unit normals, in four groups of 30: 1 +- 0.11.
    assert 0.7 < np.std(scores) < 1.3
    assert np.all(np.abs(scores) < 5)


def test_offset_and_gain_are_anticorrelated():
    counts = spectrum(1e5, offset_kev=0.0, gain=0.0, noise_ev=50.0)
    covariance = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS).covariance
    assert -1 < covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) < -0.3


def test_wrong_intensities_of_soft_lines_are_found_and_do_not_bend_the_axis():
    truth = {"Sr L3": 0.8, "Sr L2": 1.2, "Ti L3": 0.5}
    counts = spectrum(3e5, offset_kev=0.01, gain=-1e-3, noise_ev=50.0, line_factors=truth)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
    assert abs(fit.offset_kev - 0.01) < 5 * fit.offset_sigma_kev
    assert abs(fit.gain + 1e-3) < 5 * fit.gain_sigma
    for name in ("Sr L3", "Sr L2"):
        found = fit.line_factors[name]
        assert abs(found.value - truth[name]) < 5 * found.sigma
        assert found.sigma < 0.1
    assert "Sr K" not in fit.line_factors
    without = fit_axis(
        counts, ENERGY, build, **EXPECTED, options=settings.Calibrate(line_factors=False)
    )
    assert without.line_factors == {}


def test_few_counts_leave_the_axis_alone_and_say_so():
    counts = spectrum(1000, offset_kev=0.02, gain=0, noise_ev=60.0)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
    assert not fit.fitted
    assert (fit.offset_kev, fit.gain, fit.noise_ev) == (0.0, 0.0, 50.0)
    assert fit.offset_sigma_kev is None
    assert "fewer than 5000" in fit.reason


def test_the_fit_can_be_switched_off():
    counts = spectrum(1e5, offset_kev=0.02, gain=0, noise_ev=60.0)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=settings.Calibrate(fit=False))
    assert not fit.fitted
    assert "calibrate.fit" in fit.reason


def test_lines_close_together_give_an_offset_only_and_that_is_said():
    def oxide(energy, noise_ev, fano):
        return edxs_dictionary(
            energy,
            elements=["O", "Al", "Si"],
            beam_energy_kev=200.0,
            noise_ev=noise_ev,
            fano=fano,
            n_background=4,
            split="shell",
        )

    energy = np.arange(40, 300) * 0.01
    dictionary = oxide(energy + 0.02, 50.0, 0.118)
    expected = (dictionary.columns / dictionary.columns.sum(axis=1)[:, None]).sum(axis=0)
    counts = np.random.default_rng(0).poisson(1e4 * expected).astype(float)
    fit = fit_axis(counts, energy, oxide, **EXPECTED, options=OPTIONS)
    assert fit.fitted
    assert (fit.gain, fit.gain_sigma) == (0.0, None)
    assert abs(fit.offset_kev - 0.02) < 5 * fit.offset_sigma_kev
    assert "within 1.2 keV, 3 keV are needed" in fit.reason


def test_a_spectrum_without_lines_is_not_fitted():
    counts = np.random.default_rng(0).poisson(np.full(ENERGY.size, 10.0)).astype(float)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
    assert not fit.fitted
    assert "no line of the elements" in fit.reason


@pytest.mark.parametrize(("offset_kev", "gain"), [(0.08, 0.0), (0.0, 9e-3)])
def test_an_axis_beyond_what_is_looked_for_is_kept_and_that_is_said(offset_kev, gain):
    counts = spectrum(1e5, offset_kev=offset_kev, gain=gain, noise_ev=55.0)
    fit = fit_axis(counts, ENERGY, build, **EXPECTED, options=OPTIONS)
    assert not fit.fitted
    assert (fit.offset_kev, fit.gain, fit.noise_ev) == (0.0, 0.0, 50.0)
    assert fit.gain_sigma is None
    assert "calibrate.max_offset_ev" in fit.reason
    wider = settings.Calibrate(max_offset_ev=120.0, max_gain=0.012)
    found = fit_axis(counts, ENERGY, build, **EXPECTED, options=wider)
    assert found.fitted
    assert abs(found.offset_kev - offset_kev) < 5 * found.offset_sigma_kev
    assert abs(found.gain - gain) < 5 * found.gain_sigma


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(ENERGY.size),
        np.full(ENERGY.size, np.nan),
        np.full(ENERGY.size, -1.0),
        np.zeros(0),
    ],
)
def test_unusable_spectra_are_refused(bad):
    with pytest.raises(InputError):
        fit_axis(bad, ENERGY, build, **EXPECTED, options=OPTIONS)


def test_signed_roots_square_to_the_deviance():
    counts = np.array([0.0, 1.0, 5.0, 12.0])
    model = np.array([0.5, 1.0, 4.0, 20.0])
    logs = np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / model), 0.0)
    roots = signed_root_deviance(counts, model)
    np.testing.assert_allclose(roots**2, 2 * (logs - counts + model), atol=1e-12)
    np.testing.assert_array_equal(np.sign(roots), [-1, 0, 1, -1])
