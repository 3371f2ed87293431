# SPDX-License-Identifier: GPL-3.0-or-later
"""Upper limits from the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import xlogy

from mlatem.quantification.limits import DEVIANCE_RISE, upper_limit


def deviance(counts, model):
    return 2 * np.sum(xlogy(counts, counts / model) - counts + model)


def test_without_counts_the_limit_is_half_the_rise_in_counts(dictionary):
    # deviance = 2 mu: it rises by 2.71 at 1.355 counts.
    counts = np.zeros(dictionary.energy.size)
    limit = upper_limit(counts, dictionary.columns, 2)
    assert limit * dictionary.columns[2].sum() == pytest.approx(DEVIANCE_RISE / 2, rel=1e-3)


@pytest.mark.parametrize("known", [None, 0.5])
def test_the_deviance_rises_by_the_same_as_a_general_minimizer_finds(dictionary, known):
    truth = np.array([2.0, 3.0, 0.0, 1.0, 20.0, 30.0])
    fixed = None if known is None else known * dictionary.columns.sum(axis=0)
    expected = truth @ dictionary.columns + (0 if fixed is None else fixed)
    counts = np.random.default_rng(5).poisson(expected).astype(float)
    limit = upper_limit(counts, dictionary.columns, 2, known=fixed)

    def least(amount=None):
        free = [0, 1, 3, 4, 5] if amount is not None else range(6)
        base = (0 if fixed is None else fixed) + (amount or 0) * dictionary.columns[2]
        columns = dictionary.columns[list(free)]
        found = minimize(
            lambda c: deviance(counts, np.maximum(c @ columns + base, 1e-9)),
            np.maximum(truth[list(free)], 0.1),
            jac=lambda c: 2 * columns @ (1 - counts / np.maximum(c @ columns + base, 1e-9)),
            method="L-BFGS-B",
            bounds=[(0, None)] * len(columns),
            options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9},
        )
        return found.fun

    assert least(limit) - least() == pytest.approx(DEVIANCE_RISE, abs=0.01)


def test_the_limit_holds_in_95_percent_of_repeated_measurements(dictionary):
    truth = np.array([2.0, 3.0, 0.15, 1.0, 20.0, 30.0])
    rng = np.random.default_rng(11)
    n = 400
    counts = rng.poisson(truth @ dictionary.columns, size=(n, dictionary.energy.size))
    limits = np.array([upper_limit(c.astype(float), dictionary.columns, 2) for c in counts])
    held = np.mean(limits > truth[2])
    assert abs(held - 0.95) < 5 * np.sqrt(0.95 * 0.05 / n)


def test_a_column_without_counts_has_no_limit(dictionary):
    columns = dictionary.columns.copy()
    columns[2] = 0
    assert np.isnan(upper_limit(np.ones(dictionary.energy.size), columns, 2))
