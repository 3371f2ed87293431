# SPDX-License-Identifier: GPL-3.0-or-later
"""Composition of every pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary, Factorization
from mlatem.model.pixel_maps import PixelMaps
from mlatem.quantification.amounts import amount_matrix, with_absent_elements
from mlatem.settings import Quantify

#: An element is seen in a pixel above so many standard deviations: one-sided 95 %.
SEEN_SIGMAS = 1.645

#: Pixels are worked on in blocks whose largest temporary array stays below this size.
_BLOCK_BYTES = 32 * 2**20


def dominating_phase(
    abundance: NDArray[np.floating],
    coefficient: NDArray[np.float64],
    dictionary: Dictionary,
    *,
    min_counts: float,
    counts_per_amount: NDArray[np.float64] | None = None,
) -> NDArray[np.int16]:
    """The phase with the most counts in each pixel.

    Parameters
    ----------
    abundance : ndarray of shape (n_pixels, n_phases)
        Expected counts of each phase.
    coefficient : ndarray of shape (n_phases, n_columns)
        Of phase spectra that add up to one.
    dictionary : Dictionary
    min_counts : float
        Fewest expected counts in quantified lines.
    counts_per_amount : ndarray of shape (n_phases, n_columns), optional
        Sums of the columns of every phase, where they differ from the dictionary's.

    Returns
    -------
    phase : ndarray of shape (n_pixels,)
        Index of the phase; -1 for pixels with fewer line counts.
    """
    if counts_per_amount is None:
        counts_per_amount = dictionary.columns.sum(axis=1)
    in_lines = coefficient * counts_per_amount * dictionary.quantified
    line_counts = abundance @ in_lines.sum(axis=1)
    phase: NDArray[np.int16] = np.argmax(abundance, axis=1).astype(np.int16)
    phase[(line_counts < min_counts) | (line_counts <= 0)] = -1
    return phase


def quantify_pixels(
    abundance: NDArray[np.floating],
    covariance: NDArray[np.floating],
    coefficient: NDArray[np.float64],
    dictionary: Dictionary,
    *,
    min_counts: float,
    counts_per_amount: NDArray[np.float64] | None = None,
    coefficient_covariance: NDArray[np.float64] | None = None,
    settings: Quantify | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int16]]:
    """Atomic percent of each pixel, with its standard deviation, and the dominating phase.

    Parameters
    ----------
    abundance : ndarray of shape (n_pixels, n_phases)
        Expected counts of each phase.
    covariance : ndarray of shape (n_pixels, n_phases, n_phases)
        Statistical covariance of the abundances; NaN where it is not known.
    coefficient : ndarray of shape (n_phases, n_columns)
        Of phase spectra that add up to one.
    dictionary : Dictionary
    min_counts : float
        Pixels with fewer expected counts in quantified lines are not quantified.
    counts_per_amount : ndarray of shape (n_phases, n_columns), optional
        As for `dominating_phase`.
    coefficient_covariance : ndarray of shape (n_phases, n_columns, n_columns), optional
        Statistical covariance of the coefficients; without it they are taken as exact.
    settings : settings.Quantify, optional
        How oxygen is told.

    Returns
    -------
    atomic_percent : ndarray of shape (n_pixels, n_elements)
        NaN where a pixel was not quantified.
    sigma : ndarray of shape (n_pixels, n_elements)
        In at%; of the abundances in the pixel and of the compositions of the phases.
    phase : ndarray of shape (n_pixels,)
        Index of the dominating phase; -1 where a pixel was not quantified.

    Raises
    ------
    InputError
        If the dictionary has no column that can be quantified.

    Notes
    -----
    With D the amounts of the elements per count of each phase and x the fractions of a pixel,
    the delta method with J = (D - x 1^T D) / sum for the abundances, and with
    (I - x 1^T) a / sum for the amounts per count of a phase of which the pixel holds a counts. The
    latter error is common to all pixels of a phase.
    """
    elements, matrix = amount_matrix(dictionary, settings or Quantify())
    amounts_per_count = matrix @ np.asarray(coefficient, dtype=np.float64).T
    if coefficient_covariance is None:
        coefficient_covariance = np.zeros((*coefficient.shape, coefficient.shape[1]))
    amount_covariance = matrix @ coefficient_covariance @ matrix.T
    phase = dominating_phase(
        abundance,
        coefficient,
        dictionary,
        min_counts=min_counts,
        counts_per_amount=counts_per_amount,
    )
    atomic_percent = np.full((len(abundance), len(elements)), np.nan, dtype=np.float32)
    sigma = np.full_like(atomic_percent, np.nan)
    chosen = np.flatnonzero(phase >= 0)
    step = max(1, _BLOCK_BYTES // (8 * amounts_per_count.size))
    for start in range(0, len(chosen), step):
        block = chosen[start : start + step]
        atomic_percent[block], sigma[block] = _percent_of(
            abundance[block].astype(np.float64),
            covariance[block],
            amounts_per_count,
            amount_covariance,
        )
    return atomic_percent, sigma, phase


def _percent_of(
    abundance: NDArray[np.float64],
    covariance: NDArray[np.floating],
    amounts_per_count: NDArray[np.float64],
    amount_covariance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percent and standard deviation, shapes (n_pixels, n_elements)."""
    amounts = abundance @ amounts_per_count.T
    total = amounts.sum(axis=1)
    fractions = amounts / total[:, None]
    per_phase = amounts_per_count.sum(axis=0)
    jacobian = amounts_per_count - fractions[:, :, None] * per_phase
    jacobian /= total[:, None, None]
    variance = np.einsum("pek,pek->pe", jacobian @ covariance.astype(np.float64), jacobian)
    # Of (I - x 1^T) Q (I - x 1^T)^T only the diagonal is needed.
    share = (abundance / total[:, None]) ** 2
    to_all = amount_covariance.sum(axis=2)
    variance += share @ np.diagonal(amount_covariance, axis1=1, axis2=2)
    variance -= 2 * fractions * (share @ to_all)
    variance += fractions**2 * (share @ to_all.sum(axis=1))[:, None]
    return 100 * fractions, 100 * np.sqrt(np.maximum(variance, 0.0))


def pixel_maps(
    factorization: Factorization,
    *,
    settings: Quantify | None = None,
) -> PixelMaps:
    """Composition and phase of every pixel of a factorization.

    Parameters
    ----------
    factorization : Factorization
    settings : Quantify, optional

    Returns
    -------
    maps : PixelMaps

    Raises
    ------
    InputError
        If the dictionary has no column that can be quantified.
    """
    settings = settings or Quantify()
    n_phases = factorization.n_phases
    shape = factorization.abundance.shape[:2]
    elements, _ = amount_matrix(factorization.dictionary, settings)
    atomic_percent, sigma, phase = quantify_pixels(
        factorization.abundance.reshape(-1, n_phases),
        factorization.abundance_covariance.reshape(-1, n_phases, n_phases),
        factorization.coefficient,
        factorization.dictionary,
        min_counts=settings.min_pixel_counts,
        counts_per_amount=factorization.columns.sum(axis=2),
        coefficient_covariance=_filled_covariance(factorization),
        settings=settings,
    )
    unseen = ~(atomic_percent > SEEN_SIGMAS * sigma)
    upper = np.where(unseen, np.minimum(atomic_percent + SEEN_SIGMAS * sigma, 100.0), np.nan)
    return PixelMaps(
        elements=elements,
        n_phases=n_phases,
        atomic_percent=atomic_percent.reshape(*shape, len(elements)),
        sigma=sigma.reshape(*shape, len(elements)),
        upper_limit=upper.astype(np.float32).reshape(*shape, len(elements)),
        phase=phase.reshape(shape),
        y_nm=factorization.y_nm,
        x_nm=factorization.x_nm,
        mask=factorization.mask,
    )


def _filled_covariance(factorization: Factorization) -> NDArray[np.float64]:
    """Covariances of the coefficients in which elements at zero have the variance of absence."""
    counts = factorization.abundance.sum(axis=(0, 1), dtype=np.float64)
    return np.stack(
        [
            with_absent_elements(
                factorization.coefficient[phase],
                factorization.coefficient_covariance[phase],
                factorization.dictionary_of(phase),
                n_counts,
            )
            for phase, n_counts in enumerate(counts.tolist())
        ]
    )
