# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from mlatem.quantification.composition import (
    atomic_fractions,
    element_matrix,
    fraction_jacobian,
    weight_fractions,
)


def test_columns_of_the_instrument_and_the_background_count_for_no_element(new_dictionary):
    # Cu is both in the specimen (first column) and in the instrument.
    dictionary = new_dictionary(elements=["Cu", "O", "Si", "Cu", None, None])
    elements, matrix = element_matrix(dictionary)
    assert elements == ("Cu", "O", "Si")
    np.testing.assert_array_equal(matrix, np.eye(3, 6))


def test_fractions_of_nothing_are_nan():
    fractions = atomic_fractions(np.array([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(fractions, [[0.25, 0.75], [np.nan, np.nan]])
    np.testing.assert_array_equal(
        weight_fractions(fractions, np.array([3.0, 1.0])), [[0.5, 0.5], [np.nan, np.nan]]
    )
    assert np.isnan(fraction_jacobian(np.zeros(3), np.eye(2, 3))).all()


def test_derivative_agrees_with_finite_differences():
    matrix = np.array([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    coefficient = np.array([0.3, 1.2, 0.5, 7.0])
    step = 1e-6
    numeric = [
        (
            atomic_fractions(matrix @ (coefficient + step * unit))
            - atomic_fractions(matrix @ (coefficient - step * unit))
        )
        / (2 * step)
        for unit in np.eye(4)
    ]
    np.testing.assert_allclose(
        fraction_jacobian(coefficient, matrix), np.array(numeric).T, atol=1e-9
    )
