# SPDX-License-Identifier: GPL-3.0-or-later
"""What the natural width of a line adds to a Gaussian: Voigt's profile less the Gaussian."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_N_TERMS = 24
_SQRT_PI = math.sqrt(math.pi)
#: From here on four terms of the asymptotic series are as good.
_FAR = 6.0


def _expansion(n_terms: int) -> tuple[float, NDArray[np.float64]]:
    """Scale and coefficients, highest power first, of Weideman's expansion."""
    scale = math.sqrt(n_terms / math.sqrt(2.0))
    half = 2 * n_terms
    t = scale * np.tan(np.arange(1 - half, half) * np.pi / (2 * half))
    f = np.concatenate([[0.0], np.exp(-(t**2)) * (scale**2 + t**2)])
    coefficient = np.real(np.fft.fft(np.fft.fftshift(f))) / (2 * half)
    return scale, np.ascontiguousarray(coefficient[n_terms:0:-1])


_SCALE, _COEFFICIENT = _expansion(_N_TERMS)


@njit(cache=True, nogil=True)
def _faddeeva(z):  # type: ignore[no-untyped-def]
    """Real part of w(z) in the upper half-plane."""
    if abs(z.real) > _FAR:
        half = 0.5 / (z * z)
        return (1j * (1.0 + half * (1.0 + half * (3.0 + 15.0 * half))) / (z * _SQRT_PI)).real
    below = 1.0 / (_SCALE - 1j * z)
    ratio = (_SCALE + 1j * z) * below
    total = 0.0j
    for coefficient in _COEFFICIENT:
        total = total * ratio + coefficient
    return ((2.0 * total * below + 1.0 / _SQRT_PI) * below).real


@njit(cache=True, nogil=True)
def add_wings(columns, edges, column, center, sigma, half_width, area, reach):  # type: ignore[no-untyped-def]
    """Turn Gaussian lines in columns of spectra into Voigt's, in place.

    Parameters
    ----------
    columns : ndarray of shape (n_columns, n_energy)
        Hold the Gaussians, see `mlatem.kernels.lines.add_lines`.
    edges : ndarray of shape (n_energy + 1,)
        Increasing boundaries of the channels.
    column : ndarray of shape (n_lines,)
        The column to which each line belongs.
    center, sigma, half_width, area : ndarray of shape (n_lines,)
        Centre, standard deviation of the Gaussian and half width at half maximum of the Lorentzian
        in the unit of `edges`, and integral; lines without a width stay as they are.
    reach : float
        Distance from the centre at which wings end, in the unit of `edges`.

    Notes
    -----
    Voigt's profile is ``Re w(z) / (sqrt(2 pi) sigma)``, ``z = (E - center + i half_width) /
    (sqrt(2) sigma)``, with the Faddeeva function w by the expansion of J. A. C. Weideman, SIAM
    Journal on Numerical Analysis 31 (1994) 1497, of 24 terms, and far from the centre by its
    asymptotic series. Its difference from the Gaussian is smooth, and is taken at the centre of
    each channel times the channel's width.
    """
    for line in range(center.size):
        if half_width[line] <= 0.0:
            continue
        first = max(0, np.searchsorted(edges, center[line] - reach) - 1)
        stop = min(edges.size - 1, np.searchsorted(edges, center[line] + reach))
        scale = 1.0 / (math.sqrt(2.0) * sigma[line])
        height = area[line] * scale / _SQRT_PI
        y = half_width[line] * scale
        for channel in range(first, stop):
            x = (0.5 * (edges[channel] + edges[channel + 1]) - center[line]) * scale
            excess = _faddeeva(complex(x, y)) - math.exp(-x * x)
            columns[column[line], channel] += (
                height * excess * (edges[channel + 1] - edges[channel])
            )
