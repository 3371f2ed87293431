# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns as sums of parts with factors."""

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model.column_parts import ColumnParts

N_PHASES, N_ENERGY = 2, 7
COLUMN = np.array([0, 0, 1, 2, 2])
FACTOR = np.array([-1, 0, 1, 0, -1])
SPECTRUM = np.random.default_rng(0).random((N_PHASES, len(COLUMN), N_ENERGY))
PARTS = ColumnParts(SPECTRUM, COLUMN, FACTOR, ("A L3", "B L2"), np.diag([0.09, 0.04]))
LOG_FACTOR = np.log([0.7, 1.4])


def expected(log_factor):
    columns = np.zeros((N_PHASES, 3, N_ENERGY))
    for part, (column, factor) in enumerate(zip(COLUMN, FACTOR, strict=True)):
        strength = np.exp(log_factor[factor]) if factor >= 0 else 1.0
        columns[:, column] += strength * SPECTRUM[:, part]
    return columns


def test_columns_are_sums_of_parts_times_factors():
    np.testing.assert_allclose(PARTS.columns(LOG_FACTOR), expected(LOG_FACTOR))


def test_changes_are_the_derivatives_of_the_spectra():
    coefficient = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0]])
    changes = PARTS.changes(coefficient, LOG_FACTOR)
    for factor, step in enumerate(1e-6 * np.eye(2)):
        difference = expected(LOG_FACTOR + step) - expected(LOG_FACTOR - step)
        slope = np.einsum("kj,kje->ke", coefficient, difference) / 2e-6
        np.testing.assert_allclose(changes[:, factor], slope, rtol=1e-6)


def test_columns_that_are_known_have_no_factors():
    known = ColumnParts.of_columns(SPECTRUM)
    assert known.n_factors == 0
    np.testing.assert_array_equal(known.columns(np.zeros(0)), SPECTRUM)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"column": COLUMN[1:]}, "5 parts of columns, but 4 columns"),
        ({"factor": FACTOR + 1}, "name factor 2, but 2 names"),
        ({"log_covariance": np.eye(1)}, "2 names and a covariance of shape"),
        ({"column": np.array([0, 0, 1, 3, 3])}, "a column has no part"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changed, message):
    values = {"spectrum": SPECTRUM, "column": COLUMN, "factor": FACTOR}
    values |= {"names": PARTS.names, "log_covariance": PARTS.log_covariance}
    with pytest.raises(InputError, match=message):
        ColumnParts(**{**values, **changed})
