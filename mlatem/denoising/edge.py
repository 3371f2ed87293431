# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise edges: how large an eigenvalue of pure noise can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Margins above the asymptotic edge, chosen on simulated maps with and without a rare phase.
FACTOR_IN_SPAN = 1.1
FACTOR_RESIDUAL = 1.02

#: Distance from the fitted end of the bulk, in units of the Airy scale. The largest of n noise
#: eigenvalues lies above 3.3 of them once in a thousand (Tracy & Widom 1996); more is asked for,
#: because an axis so near to the edge points nowhere.
_BULK_MARGIN = 5.0
_SMALLEST_TAIL = 8
_TAIL_PART = 8


def noise_edge(n_pixels: int, n_dimensions: float) -> float:
    """Largest eigenvalue of debiased unit noise.

    Parameters
    ----------
    n_pixels : int
        Pixels that were summed over.
    n_dimensions : float
        Of the subspace; a dimension in which the noise is smaller than one counts in part.

    Returns
    -------
    edge : float
        (sqrt n + sqrt m)^2 - n (Marchenko & Pastur 1967, Math. USSR Sb. 1, 457).
    """
    return float((np.sqrt(n_pixels) + np.sqrt(n_dimensions)) ** 2 - n_pixels)


def bulk_edge(eigenvalue: NDArray[np.float64], n_bulk: int) -> float:
    """Largest eigenvalue that continues the bulk of noise, fitted to the bulk itself.

    Where phases differ strongly, the noise differs between pixels and the bulk ends above the edge
    of uniform noise. It still ends in the same way; signal stands off.

    Parameters
    ----------
    eigenvalue : ndarray of shape (n_eigenvalues,)
        The largest, decreasing; some may be signal.
    n_bulk : int
        Size of the bulk: the smaller of pixels and channels.

    Returns
    -------
    edge : float
        Minus infinity where the bulk is too small to be fitted.

    Notes
    -----
    Near the end of the bulk the i-th eigenvalue lies at edge - scale * a_i, with -a_i the zeros of
    the Airy function, a_i = (3 pi (4 i - 1) / 8)^(2/3) (Tracy & Widom 1994, Commun. Math. Phys.
    159, 151; zeros: Abramowitz & Stegun 10.4.94). The fit starts behind as many eigenvalues as can
    be signal, and takes in the next larger one as long as that one continues the bulk; hence
    several strong axes cannot hide each other.
    """
    values = eigenvalue[: max(n_bulk // _TAIL_PART, 0)]
    if values.size < 2 * _SMALLEST_TAIL:
        return float("-inf")
    n_signal = values.size // 2
    edge = _end_of_bulk(values[n_signal:])
    while n_signal > 0 and values[n_signal - 1] <= edge:
        n_signal -= 1
        edge = _end_of_bulk(values[n_signal:])
    return edge


def _end_of_bulk(bulk: NDArray[np.float64]) -> float:
    """End of a bulk of which these are the largest eigenvalues, with the margin."""
    zeros = (3.0 * np.pi * (4.0 * np.arange(1, bulk.size + 1) - 1.0) / 8.0) ** (2.0 / 3.0)
    slope, edge = np.polyfit(zeros, bulk, 1)
    return float(edge - _BULK_MARGIN * slope)
