# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection limits of the elements of a phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary

#: Currie (1968), table I: L_D = 2.71 + 3.29 sigma_0 for 5 % risk of either error.
_CURRIE_COUNTS = 2.71
_CURRIE_SIGMAS = 3.29

#: Expected counts below which a channel counts as empty, so that it carries no infinite weight.
_EMPTY_CHANNEL_COUNTS = 1e-3

#: Directions of the scaled information below this part of the largest are rounding errors.
_RESOLUTION = 1e-12


def null_sigma(
    coefficient: NDArray[np.float64],
    matrix: NDArray[np.float64],
    dictionary: Dictionary,
    *,
    n_counts: float,
) -> NDArray[np.float64]:
    """Standard deviation of the amount of each element if the element were absent.

    Parameters
    ----------
    coefficient : ndarray of shape (n_columns,)
        Of a phase whose spectrum adds up to one.
    matrix : ndarray of shape (n_elements, n_columns)
        Columns of each element, see `composition.element_matrix`.
    dictionary : Dictionary
    n_counts : float
        Expected counts of the phase.

    Returns
    -------
    sigma : ndarray of shape (n_elements,)
        In units of the coefficients.

    Notes
    -----
    The inverse Fisher information of Poisson counts, with all columns free, at the spectrum
    from which the element's own columns were taken away.
    """
    sigmas = []
    for row in matrix:
        without = np.where(row > 0, 0.0, coefficient)
        covariance = _poisson_covariance(without, dictionary, n_counts)
        sigmas.append(np.sqrt(row @ covariance @ row))
    return np.array(sigmas)


def detection_limits(
    coefficient: NDArray[np.float64],
    covariance: NDArray[np.float64],
    matrix: NDArray[np.float64],
    dictionary: Dictionary,
    *,
    n_counts: float,
) -> NDArray[np.float64]:
    """Smallest content of each element that would be found with 95 % probability.

    Parameters
    ----------
    coefficient : ndarray of shape (n_columns,)
        Of a phase whose spectrum adds up to one.
    covariance : ndarray of shape (n_columns, n_columns)
        Statistical covariance of the coefficients; NaN or 0 where it is not known.
    matrix : ndarray of shape (n_elements, n_columns)
        Columns of each element, see `composition.element_matrix`.
    dictionary : Dictionary
    n_counts : float
        Expected counts of the phase in the whole map.

    Returns
    -------
    limit : ndarray of shape (n_elements,)
        Atomic fractions, positive and below 1; NaN for a phase without any element.

    Notes
    -----
    L_D = 2.71 + 3.29 sigma_0 counts (L. A. Currie, Anal. Chem. 40 (1968) 586, eq. 14), where
    sigma_0 is the standard deviation of the element's net counts if it were absent, with
    background and overlaps fitted (`null_sigma`). Where `covariance` is larger than that of the
    phase on its own, because phases mix in the pixels, sigma_0 grows by the same ratio.
    """
    total = float((matrix @ coefficient).sum())
    if total <= 0:
        return np.full(len(matrix), np.nan)
    n_counts = max(n_counts, 1.0)
    alone = _poisson_covariance(coefficient, dictionary, n_counts)
    variance = np.einsum("ei,ij,ej->e", matrix, covariance, matrix)
    variance_alone = np.einsum("ei,ij,ej->e", matrix, alone, matrix)
    mixing = np.sqrt(np.fmax(variance / variance_alone, 1.0))
    counts_per_amount = n_counts * (matrix @ dictionary.columns.sum(axis=1)) / matrix.sum(axis=1)
    sigma = mixing * null_sigma(coefficient, matrix, dictionary, n_counts=n_counts)
    amount = _CURRIE_COUNTS / counts_per_amount + _CURRIE_SIGMAS * sigma
    limit: NDArray[np.float64] = amount / (total + amount)
    return limit


def _poisson_covariance(
    coefficient: NDArray[np.float64], dictionary: Dictionary, n_counts: float
) -> NDArray[np.float64]:
    """Inverse Fisher information of the coefficients for `n_counts` times their spectrum."""
    columns = dictionary.columns
    expected = np.maximum(n_counts * (coefficient @ columns), _EMPTY_CHANNEL_COUNTS)
    weighted = columns * (n_counts / np.sqrt(expected))
    norm = np.linalg.norm(weighted, axis=1)
    unit = weighted / norm[:, None]
    inverse = np.linalg.pinv(unit @ unit.T, rcond=_RESOLUTION, hermitian=True)
    covariance: NDArray[np.float64] = inverse / np.outer(norm, norm)
    return covariance
