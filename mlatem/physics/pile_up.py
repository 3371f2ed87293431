# SPDX-License-Identifier: GPL-3.0-or-later
"""Sum peaks: two photons that are counted as one of the sum of their energies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import fftconvolve

from mlatem.errors import InputError


def pile_up_column(axis: NDArray[np.float64], spectrum: ArrayLike) -> NDArray[np.float64]:
    """Spectrum of coincidences of two photons.

    Parameters
    ----------
    axis : ndarray of shape (n_energy,)
        Channel centres in keV, evenly spaced.
    spectrum : array-like of shape (n_energy,)
        The measured spectrum on this axis, for example the sum over the map.

    Returns
    -------
    ndarray of shape (n_energy,)
        It adds up to one, so that its coefficient is the number of sum counts in the window.

    Raises
    ------
    InputError
        If the spectrum is of another shape, negative or not finite, or no sum falls into the axis.

    Notes
    -----
    Pulses closer than the detector can tell apart add: the rate at energy E is proportional to
    ``integral r(E') r(E - E') dE'`` with the spectrum r of single photons (P. J. Statham, X-Ray
    Spectrometry 6 (1977) 94). Channel i and j add to the energy of channel
    ``i + j + axis[0] / width``, whose fraction is shared between the two channels beside it.
    Photons outside the window take no part.
    """
    counts = np.asarray(spectrum, dtype=np.float64)
    if counts.shape != axis.shape or not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise InputError(
            f"the spectrum for pile-up has shape {counts.shape}: expected the finite counts, not "
            f"negative, of the {axis.size} channels of the energy axis"
        )
    width = (axis[-1] - axis[0]) / (axis.size - 1)
    sums = np.maximum(fftconvolve(counts, counts), 0.0)
    position = (axis - axis[0]) / width - axis[0] / width
    column: NDArray[np.float64]
    column = np.interp(position, np.arange(sums.size), sums, left=0.0, right=0.0)
    if not column.sum() > 0:
        raise InputError(
            "the spectrum for pile-up has no two counts whose energies add up to one in the "
            f"window {axis[0]:.3f} to {axis[-1]:.3f} keV: leave pile-up out"
        )
    column /= column.sum()
    return column
