# SPDX-License-Identifier: GPL-3.0-or-later
"""Variable projection against a general optimizer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.preprocessing.projection import Parameters, project

CHANNEL = np.arange(200.0)
TRUTH = np.array([61.3, 7.5])


def columns_of(theta):
    """A peak of unknown place and width, on a flat and a sloping background."""
    center, width = theta
    peak = np.exp(-0.5 * ((CHANNEL - center) / width) ** 2)
    return np.array([peak, np.ones(200), CHANNEL / 200.0])


def parameters(**changes):
    values = {
        "start": np.array([55.0, 10.0]),
        "centre": np.array([60.0, 8.0]),
        "sigma": np.array([20.0, 5.0]),
        "step": np.array([1e-3, 1e-3]),
        "lower": np.array([0.0, 1.0]),
        "upper": np.array([200.0, 50.0]),
    }
    return Parameters(**{**values, **changes})


def counts(seed=0, scale=1.0):
    mean = scale * np.array([80.0, 5.0, 3.0]) @ columns_of(TRUTH)
    return np.random.default_rng(seed).poisson(mean).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_minimum_is_that_of_a_general_optimizer(weighted):
    spectrum, known = counts(), parameters()
    weight = 1.0 / (1.0 + CHANNEL / 50.0) if weighted else np.ones(200)

    def objective(theta):
        fit = fit_counts(spectrum * weight, columns_of(theta) * weight, tolerance=1e-10)
        return fit.deviance + float((((theta - known.centre) / known.sigma) ** 2).sum())

    best = minimize(objective, TRUTH, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8})
    found = project(spectrum, columns_of, known, weight=weight)
    assert found.objective == pytest.approx(best.fun, abs=2e-3)


def test_priors_may_be_correlated():
    correlation = np.array([[1.0, 0.9], [0.9, 1.0]])
    known = parameters(sigma=np.array([0.2, 0.5]), correlation=correlation)
    spectrum = counts(scale=0.1)
    inverse = np.linalg.inv(correlation * np.outer(known.sigma, known.sigma))

    def objective(theta):
        off = theta - known.centre
        fit = fit_counts(spectrum, columns_of(theta), tolerance=1e-10)
        return fit.deviance + float(off @ inverse @ off)

    best = minimize(objective, TRUTH, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8})
    found = project(spectrum, columns_of, known)
    assert found.objective == pytest.approx(best.fun, abs=2e-3)
    np.testing.assert_allclose(found.parameter, best.x, atol=0.05)


def test_the_covariance_is_that_of_repeated_fits_whatever_the_weights():
    weight = 1.0 / (1.0 + counts() / 20.0)
    fits = [project(counts(seed), columns_of, parameters(), weight=weight) for seed in range(150)]
    scores = np.array([(f.parameter - TRUTH) / np.sqrt(np.diag(f.covariance)) for f in fits])
    assert np.all(np.abs(scores.mean(axis=0)) < 5 / np.sqrt(150))
    # The sample variance of n normal numbers has the relative standard deviation sqrt(2 / n).
    assert np.all(np.abs(scores.var(axis=0) - 1) < 5 * np.sqrt(2 / 150))


def test_what_is_held_stays_and_has_no_variance():
    held = parameters(sigma=np.array([20.0, 0.0]))
    found = project(counts(), columns_of, held)
    assert found.parameter[1] == 10.0
    assert not found.covariance[1].any()
    assert found.covariance[0, 0] > 0


def test_parameters_stay_within_their_limits():
    found = project(counts(), columns_of, parameters(upper=np.array([58.0, 50.0])))
    assert found.parameter[0] == 58.0


def test_a_far_start_reaches_the_same_minimum():
    near = project(counts(), columns_of, parameters(start=TRUTH))
    far = project(counts(), columns_of, parameters(start=np.array([40.0, 20.0])))
    assert far.objective == pytest.approx(near.objective, abs=5e-3)
