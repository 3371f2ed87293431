# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic and weight fractions from amounts, and how errors pass through them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model import Dictionary


def element_matrix(dictionary: Dictionary) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Which columns count for which element.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    elements : tuple of str
        Elements with at least one quantified column, in the order of the columns.
    matrix : ndarray of shape (n_elements, n_columns)
        1 where a quantified column belongs to the element, else 0, so that
        `matrix @ coefficient` are amounts proportional to atoms.

    Raises
    ------
    InputError
        If no column is quantified.

    Notes
    -----
    Columns of one element share its atoms, as two chemical states do: their coefficients add up.
    Lines that always come together belong into one column, otherwise atoms are counted twice.
    """
    quantified = dictionary.quantified
    elements = tuple(
        dict.fromkeys(e for e, q in zip(dictionary.elements, quantified, strict=True) if q)
    )
    if not elements:
        raise InputError(
            "the dictionary has no column of kind line or edge: nothing can be quantified; "
            "name the elements of the specimen in the sample sheet"
        )
    matrix = np.array([[e == name for e in dictionary.elements] for name in elements], dtype=float)
    return elements, matrix * quantified


def atomic_fractions(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amounts divided by their sum.

    Parameters
    ----------
    amounts : ndarray of shape (..., n_elements)
        Proportional to numbers of atoms.

    Returns
    -------
    fractions : ndarray of shape (..., n_elements)
        NaN where the amounts add up to nothing.
    """
    total = amounts.sum(axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.full(amounts.shape, np.nan)
    np.divide(amounts, total, out=result, where=total > 0)
    return result


def weight_fractions(
    fractions: NDArray[np.float64], weight_g_mol: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weight fractions of atomic fractions.

    Parameters
    ----------
    fractions : ndarray of shape (..., n_elements)
    weight_g_mol : ndarray of shape (n_elements,)
        Atomic weights.

    Returns
    -------
    fractions : ndarray of shape (..., n_elements)
        NaN where the atomic fractions are.
    """
    return atomic_fractions(fractions * weight_g_mol)


def fraction_jacobian(
    coefficient: NDArray[np.float64], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Derivative of the atomic fractions with respect to the coefficients.

    Parameters
    ----------
    coefficient : ndarray of shape (n_columns,)
    matrix : ndarray of shape (n_elements, n_columns)
        From `element_matrix`.

    Returns
    -------
    jacobian : ndarray of shape (n_elements, n_columns)
        NaN where the amounts add up to nothing.

    Notes
    -----
    For one column per element it is (I - x 1^T) / sum, with x the atomic fractions.
    """
    amounts = matrix @ coefficient
    total = amounts.sum()
    if total <= 0:
        return np.full(matrix.shape, np.nan)
    fractions = amounts / total
    jacobian: NDArray[np.float64] = (matrix - np.outer(fractions, matrix.sum(axis=0))) / total
    return jacobian
