# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantification of given intensities by factors: Cliff-Lorimer, zeta, cross-section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.errors import InputError
from mlatem.quantification.composition import atomic_fractions

Array = NDArray[np.float64]

_M2_PER_BARN = 1e-28


@dataclass(frozen=True)
class Composition:
    """Fractions with the standard deviations of counts and of factors."""

    fractions: Array
    """Shape (n_elements,); by weight for k and zeta, by atoms for cross-sections."""
    sigma_stat: Array
    """Shape (n_elements,); NaN where the intensities came without."""
    sigma_sys: Array
    """Shape (n_elements,); NaN where the factors came without."""
    amount: float | None = None
    """Mass thickness (kg/m2) of zeta, atoms per area (1/m2) of cross-section; None for k."""
    amount_sigma: float | None = None
    """Of counts and factors together; of the dose nothing is known here."""


def cliff_lorimer(
    intensity: ArrayLike,
    k: ArrayLike,
    *,
    sigma: ArrayLike | None = None,
    k_sigma: ArrayLike | None = None,
) -> Composition:
    """Fractions from ratios of intensities.

    Parameters
    ----------
    intensity : array-like of shape (n_elements,)
        Counts of one line of each element, without background and absorption.
    k : array-like of shape (n_elements,)
        Factors against one common reference; by weight or by atoms, and so are the fractions.
    sigma, k_sigma : array-like of shape (n_elements,), optional
        Standard deviations, independent of each other.

    Returns
    -------
    Composition

    Raises
    ------
    InputError
        If the lengths differ, a value is negative or not finite, or there are no counts.

    Notes
    -----
    ``C_A / C_B = k_AB I_A / I_B`` and ``sum C = 1`` (G. Cliff, G. W. Lorimer, Journal of Microscopy
    103 (1975) 203, eq. 2). Errors by the delta method.
    """
    counts, factor = _checked(intensity, k, "k-factors")
    return _composition(counts, factor, sigma, k_sigma)


def zeta(
    intensity: ArrayLike,
    zeta_kg_m2: ArrayLike,
    *,
    electrons: float,
    sigma: ArrayLike | None = None,
    zeta_sigma: ArrayLike | None = None,
) -> Composition:
    """Weight fractions and mass thickness from zeta factors and the dose.

    Parameters
    ----------
    intensity : array-like of shape (n_elements,)
        Counts of one line of each element, without background and absorption.
    zeta_kg_m2 : array-like of shape (n_elements,)
    electrons : float
        Dose in electrons.
    sigma, zeta_sigma : array-like of shape (n_elements,), optional

    Raises
    ------
    InputError
        As `cliff_lorimer`, and if the dose is not positive.

    Notes
    -----
    ``rho t = sum zeta_i I_i / N_e`` and ``C_i = zeta_i I_i / sum_j zeta_j I_j`` (M. Watanabe,
    D. B. Williams, Journal of Microscopy 221 (2006) 89, eq. 5).
    """
    counts, factor = _checked(intensity, zeta_kg_m2, "zeta factors")
    return _composition(counts, factor, sigma, zeta_sigma, 1.0 / _dose(electrons))


def cross_section(
    intensity: ArrayLike,
    cross_section_barn: ArrayLike,
    *,
    electrons: float,
    sigma: ArrayLike | None = None,
    cross_section_sigma: ArrayLike | None = None,
) -> Composition:
    """Atomic fractions and atoms per area from partial cross-sections and the dose.

    Parameters
    ----------
    intensity : array-like of shape (n_elements,)
        Counts of one line of each element, without background and absorption.
    cross_section_barn : array-like of shape (n_elements,)
        Detector and solid angle included.
    electrons : float
        Dose in electrons.
    sigma, cross_section_sigma : array-like of shape (n_elements,), optional

    Raises
    ------
    InputError
        As `cliff_lorimer`, and if the dose is not positive.

    Notes
    -----
    ``n_i = I_i / (N_e sigma_i)`` (K. E. MacArthur, T. J. A. Slater, S. J. Haigh, D. Ozkaya,
    P. D. Nellist, S. Lozano-Perez, Microscopy and Microanalysis 22 (2016) 71, eq. 4).
    """
    counts, barn = _checked(intensity, cross_section_barn, "cross-sections")
    errors = (
        None
        if cross_section_sigma is None
        else np.asarray(cross_section_sigma, dtype=np.float64) / barn**2
    )
    return _composition(counts, 1.0 / barn, sigma, errors, 1.0 / (_dose(electrons) * _M2_PER_BARN))


def _composition(
    counts: Array,
    factor: Array,
    sigma: ArrayLike | None,
    factor_sigma: ArrayLike | None,
    scale: float | None = None,
) -> Composition:
    """Fractions of counts times factor; scale turns their sum into an amount."""
    amounts = counts * factor
    fractions = atomic_fractions(amounts)
    total = amounts.sum()
    jacobian = (np.eye(len(amounts)) - fractions[:, None]) / total
    unknown = np.full(len(amounts), np.nan)
    stat = unknown if sigma is None else factor * np.asarray(sigma, dtype=np.float64)
    sys = unknown if factor_sigma is None else counts * np.asarray(factor_sigma, dtype=np.float64)
    amount_sigma = None
    if scale is not None:
        amount_sigma = float(scale * np.sqrt(np.nansum(stat**2) + np.nansum(sys**2)))
    return Composition(
        fractions,
        np.sqrt(jacobian**2 @ stat**2),
        np.sqrt(jacobian**2 @ sys**2),
        None if scale is None else float(scale * total),
        amount_sigma,
    )


def _checked(intensity: ArrayLike, factor: ArrayLike, what: str) -> tuple[Array, Array]:
    counts, values = (np.asarray(a, dtype=np.float64) for a in (intensity, factor))
    if counts.ndim != 1 or counts.shape != values.shape:
        raise InputError(
            f"{counts.shape} intensities and {values.shape} {what}: give one of each per element"
        )
    if not np.all(np.isfinite(counts)) or np.any(counts < 0) or not counts.sum() > 0:
        raise InputError("intensities must be finite, not negative, and not all zero")
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise InputError(f"{what} must be finite and above 0")
    return counts, values


def _dose(electrons: float) -> float:
    if not 0 < electrons < np.inf:
        raise InputError(
            f"dose is {electrons} electrons: give beam current and live time, or use k-factors, "
            "which need none"
        )
    return electrons
