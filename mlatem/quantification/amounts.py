# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts of elements from the coefficients of a phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary
from mlatem.quantification.composition import element_matrix
from mlatem.quantification.detection import null_sigma
from mlatem.quantification.oxides import with_oxygen
from mlatem.settings import Quantify

Array = NDArray[np.float64]


def amount_matrix(
    dictionary: Dictionary, settings: Quantify
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Which coefficients count for which element, with oxygen as the settings say.

    Returns
    -------
    elements : tuple of str
    matrix : ndarray of shape (n_elements, n_columns)

    Raises
    ------
    InputError
        If no column is quantified, or nothing binds oxygen that is to come by stoichiometry.
    """
    elements, matrix = element_matrix(dictionary)
    if settings.oxygen == "stoichiometry":
        return with_oxygen(elements, matrix, settings.valences)
    return elements, matrix


def with_absent_elements(
    coefficient: Array, covariance: Array, dictionary: Dictionary, n_counts: float
) -> Array:
    """The covariance with the variance of absence where an element at zero has none: no 0 +- 0."""
    _, matrix = element_matrix(dictionary)
    empty = (coefficient == 0) & (np.diagonal(covariance) == 0) & (matrix.sum(axis=0) > 0)
    if not empty.any():
        return covariance
    sigma = null_sigma(coefficient, matrix, dictionary, n_counts=max(n_counts, 1.0))
    return covariance + np.diag(np.where(empty, sigma @ matrix, 0.0) ** 2)
