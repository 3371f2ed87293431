# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from mlatem.errors import ConvergenceError, InputError
from mlatem.preprocessing.poisson_fit import fit_counts, poisson_deviance, poisson_nnls

CHANNEL = np.arange(400)


def peak(center: float, width: float = 6.0) -> np.ndarray:
    return np.exp(-0.5 * ((CHANNEL - center) / width) ** 2)


#: Four peaks, two of which overlap, on a constant and a falling background.
COLUMNS = np.array(
    [peak(60), peak(150), peak(158), peak(300), np.full(400, 0.01), np.exp(-CHANNEL / 80.0) * 0.05]
)
COEFFICIENT = np.array([120.0, 300.0, 90.0, 40.0, 900.0, 500.0])


def spectra(n: int, coefficient: np.ndarray = COEFFICIENT) -> np.ndarray:
    return np.random.default_rng(11).poisson(coefficient @ COLUMNS, size=(n, 400))


def test_known_coefficients_come_back_with_the_stated_errors():
    n = 200
    fits = [fit_counts(spectrum, COLUMNS) for spectrum in spectra(n)]
    pull = np.array([(fit.coefficient - COEFFICIENT) / fit.sigma for fit in fits])
    assert np.all(np.abs(pull) < 5)
    assert np.all(np.abs(pull.mean(axis=0)) < 5 / np.sqrt(n))
    # The sample variance of n normal numbers has the relative standard deviation sqrt(2 / n).
    assert np.all(np.abs(pull.var(axis=0) - 1) < 5 * np.sqrt(2 / n))


def test_noiseless_spectra_are_matched_exactly():
    fit = fit_counts(COEFFICIENT @ COLUMNS, COLUMNS, tolerance=1e-10)
    np.testing.assert_allclose(fit.coefficient, COEFFICIENT, rtol=1e-5)
    np.testing.assert_allclose(fit.model, COEFFICIENT @ COLUMNS, rtol=1e-5)
    assert fit.deviance < 1e-8


def test_deviance_per_degree_of_freedom_is_one_for_poisson_counts():
    # Ten counts a channel and more: at lower counts the deviance is not chi-square distributed.
    fits = [fit_counts(spectrum, COLUMNS) for spectrum in spectra(20, 20 * COEFFICIENT)]
    assert all(fit.dof == 400 - np.count_nonzero(fit.coefficient) for fit in fits)
    mean = np.mean([fit.deviance_per_dof for fit in fits])
    assert abs(mean - 1) < 5 * np.sqrt(2 / (20 * 394)) + 0.005


def test_coefficients_of_absent_columns_are_never_negative():
    absent = COEFFICIENT * np.array([1, 1, 0, 0, 1, 1])
    found = np.array([poisson_nnls(spectrum, COLUMNS) for spectrum in spectra(50, absent)])
    assert np.all(found >= 0)
    assert np.any(found[:, 2:4] == 0)
    assert np.any(found[:, 2:4] > 0)


@pytest.mark.parametrize("scale", [0.02, 1.0, 1e4])
def test_minimum_is_that_of_a_general_optimizer(scale: float):
    spectrum = np.random.default_rng(3).poisson(scale * COEFFICIENT @ COLUMNS).astype(float)
    area = COLUMNS.sum(axis=1)
    unit = COLUMNS / area[:, None]
    fit = fit_counts(spectrum, COLUMNS)
    total = spectrum.sum()

    def loss(share: np.ndarray) -> tuple[float, np.ndarray]:
        model = np.maximum(total * share @ unit, 1e-12)
        gradient = 2 * total * (unit @ (1 - spectrum / model))
        return poisson_deviance(spectrum, model) / total, gradient / total

    reference = minimize(
        loss,
        np.full(len(unit), 1 / len(unit)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(unit),
        options={"maxiter": 20000, "maxfun": 100000, "ftol": 1e-16, "gtol": 1e-12},
    )
    expected = reference.fun * total
    assert fit.deviance <= expected + 1e-6 * max(expected, 1.0)
    assert abs(fit.deviance - expected) < 1e-6 * max(expected, 1.0)


def test_optimality_conditions_hold():
    spectrum = spectra(1, COEFFICIENT * np.array([1, 1, 0, 0, 1, 1]))[0]
    fit = fit_counts(spectrum, COLUMNS)
    gradient = COLUMNS @ (1 - spectrum / fit.model) / COLUMNS.sum(axis=1)
    free = fit.coefficient > 0
    assert np.all(np.abs(gradient[free]) < 1e-4)
    assert np.all(gradient[~free] > -1e-4)


def test_channels_that_no_column_reaches_are_left_out():
    columns = COLUMNS[:3, :].copy()
    columns[:, 250:] = 0.0
    spectrum = np.random.default_rng(1).poisson(COEFFICIENT[:3] @ columns + 0.02)
    changed = spectrum.copy()
    changed[250:] = 1000
    first, second = fit_counts(spectrum, columns), fit_counts(changed, columns)
    np.testing.assert_array_equal(first.coefficient, second.coefficient)
    assert first.deviance == second.deviance
    assert not first.model[250:].any()
    assert first.dof < 250


def test_channels_without_counts_are_data():
    # A detector that is dead below channel 100: the peak there has no counts, hence no amount.
    spectrum = spectra(1)[0]
    spectrum[:100] = 0
    fit = fit_counts(spectrum, COLUMNS)
    assert fit.coefficient[0] == 0
    assert np.all(np.isfinite(fit.sigma))
    assert np.all(fit.sigma > 0)


def test_units_of_the_columns_do_not_matter():
    units = np.array([1e-25, 1.0, 1e3, 1e20, 1e-3, 7.0])
    spectrum = spectra(1)[0]
    fit, scaled = fit_counts(spectrum, COLUMNS), fit_counts(spectrum, COLUMNS * units[:, None])
    np.testing.assert_allclose(scaled.coefficient * units, fit.coefficient, rtol=1e-9)
    np.testing.assert_allclose(scaled.sigma * units, fit.sigma, rtol=1e-9)
    assert scaled.dof == fit.dof


def test_start_changes_the_way_and_not_the_goal():
    spectrum = spectra(1)[0]
    fit = fit_counts(spectrum, COLUMNS)
    for start in (COEFFICIENT, np.array([0, 0, 0, 0, 1.0, 0]), np.full(6, np.nan)):
        other = fit_counts(spectrum, COLUMNS, start=start)
        np.testing.assert_allclose(other.coefficient, fit.coefficient, atol=0.01 * fit.sigma.min())


def test_a_single_count_is_enough():
    spectrum = np.zeros(400)
    spectrum[150] = 1
    fit = fit_counts(spectrum, COLUMNS)
    assert np.isclose(fit.model.sum(), 1.0, atol=1e-4)
    assert np.all(np.isfinite(fit.sigma))


@pytest.mark.parametrize(
    ("spectrum", "message"),
    [
        (np.zeros(0), "shape"),
        (np.ones((2, 400)), "shape"),
        (np.zeros(400), "no counts"),
        (np.where(CHANNEL == 7, np.nan, 1.0), "1 values that are NaN"),
        (np.where(CHANNEL == 7, np.inf, 1.0), "NaN or infinite"),
        (np.where(CHANNEL == 7, -2.0, 1.0), "negative counts .smallest -2"),
    ],
)
def test_bad_spectra_are_refused(spectrum: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        fit_counts(spectrum, COLUMNS)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (COLUMNS[:, :-1], "expected .n_columns, 400"),
        (COLUMNS[:0], "shape"),
        (-COLUMNS, "not negative"),
        (COLUMNS * np.array([1, 1, 0, 1, 1, 1])[:, None], "column 2 is zero"),
    ],
)
def test_bad_columns_are_refused(columns: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        fit_counts(np.ones(400), columns)


def test_start_of_the_wrong_length_is_refused():
    with pytest.raises(InputError, match="start has shape"):
        fit_counts(np.ones(400), COLUMNS, start=np.ones(2))


def test_a_fit_that_was_stopped_early_says_so():
    with pytest.raises(ConvergenceError, match="did not converge"):
        fit_counts(spectra(1)[0], COLUMNS, em_rounds=0, max_rounds=1)
