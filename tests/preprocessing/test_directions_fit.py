# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson fit with columns that are known within a sigma."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.preprocessing.directions_fit import fit_directions
from mlatem.preprocessing.poisson_fit import fit_counts

CHANNELS = np.arange(200.0)


def peak(center, width=6.0):
    return np.exp(-0.5 * ((CHANNELS - center) / width) ** 2)


COLUMNS = np.array([np.full(200, 1.0), peak(60), peak(120)])
NONE = np.zeros((0, 200))
WEIGHT = np.ones(200)


def test_without_directions_it_is_the_poisson_fit():
    counts = np.random.default_rng(0).poisson(np.array([5.0, 300.0, 40.0]) @ COLUMNS)
    ours = fit_directions(counts.astype(float), COLUMNS, NONE, weight=WEIGHT, tolerance=1e-8)
    reference = fit_counts(counts, COLUMNS)
    np.testing.assert_allclose(ours.amount, reference.coefficient, rtol=1e-3)
    assert ours.objective == pytest.approx(reference.deviance, rel=1e-4)
    np.testing.assert_allclose(ours.amount_sigma(), reference.sigma, rtol=0.1)


def test_a_deviation_is_the_posterior_mode():
    # A strong peak whose place is known to one channel lies half a channel off.
    truth = 5.0 + 1e5 * peak(60.5)
    counts = np.random.default_rng(1).poisson(truth).astype(float)
    slope = -1e5 * np.gradient(peak(60.0))
    fit = fit_directions(counts, COLUMNS[:2], slope[None], weight=WEIGHT)
    assert fit.deviation[0] == pytest.approx(0.5, abs=0.03)


def test_a_direction_that_the_data_do_not_show_stays_at_its_prior():
    counts = np.random.default_rng(2).poisson(5.0 + 50 * peak(60)).astype(float)
    fit = fit_directions(counts, COLUMNS[:2], 1e-6 * peak(150)[None], weight=WEIGHT)
    assert abs(fit.deviation[0]) < 1e-3


def test_amounts_are_not_negative():
    counts = np.random.default_rng(3).poisson(np.full(200, 20.0)).astype(float)
    fit = fit_directions(counts, COLUMNS, peak(90)[None], weight=WEIGHT)
    assert np.all(fit.amount >= 0)
