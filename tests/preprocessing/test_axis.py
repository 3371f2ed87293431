# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit of energy axis and resolution."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem import settings
from mlatem.errors import InputError
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.axis import fit_axis, signed_root_deviance

ENERGY = np.arange(40, 1600) * 0.01
OPTIONS = settings.Calibrate()


def build(energy, noise_ev):
    return edxs_dictionary(
        energy,
        elements=["O", "Si", "Ti", "Sr"],
        system_elements=["Cu"],
        beam_energy_kev=200.0,
        noise_ev=noise_ev,
    )


def spectrum(total, *, offset_kev, gain, noise_ev, seed=1):
    """Poisson counts of a titanate whose axis is off, as the file's energies would show them."""
    dictionary = build(ENERGY * (1 + gain) + offset_kev, noise_ev)
    amounts = np.zeros(dictionary.n_columns)
    amounts[:4] = [3, 1, 1, 1]
    lines = amounts @ dictionary.columns
    background = dictionary.columns[-6:].sum(axis=0)
    expected = 0.7 * lines / lines.sum() + 0.3 * background / background.sum()
    return np.random.default_rng(seed).poisson(total * expected).astype(float)


@pytest.mark.parametrize("total", [2e4, 3e5])
@pytest.mark.parametrize(("offset_kev", "gain"), [(0.0, 0.0), (0.03, -3e-3), (-0.03, 3e-3)])
def test_axis_and_noise_come_back_within_their_uncertainty(total, offset_kev, gain):
    counts = spectrum(total, offset_kev=offset_kev, gain=gain, noise_ev=62.0)
    fit = fit_axis(counts, ENERGY, build, noise_ev=50.0, options=OPTIONS)
    assert fit.fitted
    assert abs(fit.offset_kev - offset_kev) < 5 * fit.offset_sigma_kev
    assert abs(fit.gain - gain) < 5 * fit.gain_sigma
    assert abs(fit.noise_ev - 62.0) < 5 * fit.noise_sigma_ev
    assert fit.offset_sigma_kev < 2e-3


def test_the_uncertainty_is_that_of_repeated_fits():
    fits = [
        fit_axis(
            spectrum(5e4, offset_kev=0.004, gain=5e-4, noise_ev=55.0, seed=seed),
            ENERGY,
            build,
            noise_ev=50.0,
            options=OPTIONS,
        )
        for seed in range(20)
    ]
    scores = [(f.offset_kev - 0.004) / f.offset_sigma_kev for f in fits]
    # Standard deviation of 20 unit normals: 1 +- 0.16.
    assert 0.4 < np.std(scores) < 1.8


def test_few_counts_leave_the_axis_alone_and_say_so():
    counts = spectrum(1000, offset_kev=0.02, gain=0, noise_ev=60.0)
    fit = fit_axis(counts, ENERGY, build, noise_ev=50.0, options=OPTIONS)
    assert not fit.fitted
    assert (fit.offset_kev, fit.gain, fit.noise_ev) == (0.0, 0.0, 50.0)
    assert fit.offset_sigma_kev is None
    assert "fewer than 5000" in fit.reason


def test_the_fit_can_be_switched_off():
    counts = spectrum(1e5, offset_kev=0.02, gain=0, noise_ev=60.0)
    fit = fit_axis(counts, ENERGY, build, noise_ev=50.0, options=settings.Calibrate(fit=False))
    assert not fit.fitted
    assert "calibrate.fit" in fit.reason


def test_a_single_line_does_not_determine_everything_and_that_is_said():
    def one_line(energy, noise_ev):
        return edxs_dictionary(
            energy, elements=["O"], beam_energy_kev=200.0, noise_ev=noise_ev, n_background=2
        )

    energy = np.arange(40, 80) * 0.01
    dictionary = one_line(energy, 50.0)
    counts = np.random.default_rng(0).poisson(
        7000 * dictionary.columns[0] / dictionary.columns[0].sum() + 3
    )
    fit = fit_axis(counts.astype(float), energy, one_line, noise_ev=50.0, options=OPTIONS)
    assert "hardly determine" in fit.reason
    assert "gain" in fit.reason


@pytest.mark.parametrize(("offset_kev", "gain"), [(0.08, 0.0), (0.0, 9e-3)])
def test_an_axis_beyond_what_is_looked_for_is_kept_and_that_is_said(offset_kev, gain):
    counts = spectrum(1e5, offset_kev=offset_kev, gain=gain, noise_ev=55.0)
    fit = fit_axis(counts, ENERGY, build, noise_ev=50.0, options=OPTIONS)
    assert not fit.fitted
    assert (fit.offset_kev, fit.gain, fit.noise_ev) == (0.0, 0.0, 50.0)
    assert fit.gain_sigma is None
    assert "calibrate.max_offset_ev" in fit.reason
    wider = settings.Calibrate(max_offset_ev=120.0, max_gain=0.012)
    found = fit_axis(counts, ENERGY, build, noise_ev=50.0, options=wider)
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
        fit_axis(bad, ENERGY, build, noise_ev=50.0, options=OPTIONS)


def test_signed_roots_square_to_the_deviance():
    counts = np.array([0.0, 1.0, 5.0, 12.0])
    model = np.array([0.5, 1.0, 4.0, 20.0])
    logs = np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / model), 0.0)
    roots = signed_root_deviance(counts, model)
    np.testing.assert_allclose(roots**2, 2 * (logs - counts + model), atol=1e-12)
    np.testing.assert_array_equal(np.sign(roots), [-1, 0, 1, -1])
