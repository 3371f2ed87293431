# SPDX-License-Identifier: GPL-3.0-or-later
"""How unlikely the misfit of a pixel is."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from mlatem.model import Factorization

#: Above this many expected counts the deviance has the moments of its expansion.
_LARGE = 40.0
_N_COARSE, _N_FINE = 2000, 2**16
_BLOCK_BYTES = 32 * 2**20


def deviance_z(factorization: Factorization) -> NDArray[np.float64]:
    """Deviance of each pixel in standard deviations above what Poisson noise alone gives.

    The deviance itself grows with the counts and differs between phases also where the model is
    right, since most channels hold no count: it cannot be compared between pixels.

    Parameters
    ----------
    factorization : Factorization

    Returns
    -------
    z : ndarray of shape (ny, nx)
        (deviance - expectation) / standard deviation for the modelled spectrum of the pixel, as if
        it had not been fitted; NaN for pixels without expected counts.
    """
    n_phases = factorization.n_phases
    abundance = factorization.abundance.reshape(-1, n_phases)
    spectrum = factorization.spectrum.astype(np.float32)
    z = np.full(len(abundance), np.nan)
    step = max(1, _BLOCK_BYTES // (4 * spectrum.shape[1]))
    for start in range(0, len(abundance), step):
        rows = slice(start, start + step)
        mean, variance = _moments(abundance[rows] @ spectrum)
        excess = factorization.deviance.ravel()[rows] - mean
        np.divide(excess, np.sqrt(variance), out=z[rows], where=variance > 0)
    return z.reshape(factorization.deviance.shape)


def _moments(expected: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of the deviance of spectra, from `expected` counts (n_pixels, n_energy)."""
    mean_table, variance_table = _tables()
    scale = np.float32((_N_FINE - 1) / np.sqrt(_LARGE))
    index = np.sqrt(np.minimum(expected, np.float32(_LARGE))) * scale + np.float32(0.5)
    index = index.astype(np.int32)
    mean = mean_table[index].sum(axis=1, dtype=np.float64)
    return mean, variance_table[index].sum(axis=1, dtype=np.float64)


@cache
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and variance for expected counts evenly spaced in their square roots."""
    coarse = np.linspace(0.0, np.sqrt(_LARGE), _N_COARSE)
    fine = np.linspace(0.0, np.sqrt(_LARGE), _N_FINE)
    moments = unit_deviance_moments(coarse**2)
    mean, variance = (np.interp(fine, coarse, m).astype(np.float32) for m in moments)
    return mean, variance


def unit_deviance_moments(
    expected: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of the deviance of one Poisson variable.

    Parameters
    ----------
    expected : ndarray of shape (n,)
        Expected counts, at most some hundred.

    Returns
    -------
    mean, variance : ndarray of shape (n,)

    Notes
    -----
    Sums over the counts n of 2 (n ln(n / m) - n + m), McCullagh and Nelder (1989), section 2.3,
    weighted by their probabilities.
    """
    highest = float(expected.max(initial=1.0))
    counts = np.arange(int(highest + 12 * np.sqrt(highest) + 20))
    m = expected[:, None]
    probability = np.exp(xlogy(counts, m) - m - gammaln(counts + 1.0))
    safe = np.where(m > 0, m, 1.0)
    deviance = 2 * (xlogy(counts, counts) - counts * np.log(safe) - counts + m)
    mean = (probability * deviance).sum(axis=1)
    return mean, np.maximum((probability * deviance**2).sum(axis=1) - mean**2, 0.0)
