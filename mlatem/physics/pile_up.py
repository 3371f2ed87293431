# SPDX-License-Identifier: GPL-3.0-or-later
"""Sum peaks: two photons that are counted as one of the sum of their energies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.errors import InputError

#: Photons below this energy (keV) are not seen as pulses that could add.
_LEAST_ENERGY_KEV = 0.15


def pile_up_column(axis: NDArray[np.float64], spectrum: ArrayLike) -> NDArray[np.float64]:
    """Spectrum of coincidences of two photons.

    Parameters
    ----------
    axis : ndarray of shape (n_energy,)
        Channel centres in keV.
    spectrum : array-like of shape (n_energy,) or (2, n_channels)
        The measured spectrum on this axis, for example the sum over the map; or energies (keV) and
        counts on an even axis of their own, which may reach farther than this one.

    Returns
    -------
    ndarray of shape (n_energy,)
        It adds up to one, so that its coefficient is the number of sum counts in the window.

    Raises
    ------
    InputError
        If the spectrum has another shape, negative or non-finite counts, or no sum falls into the
        axis.

    Notes
    -----
    Pulses closer than the detector can tell apart add: the rate at energy E is proportional to
    ``integral r(E') r(E - E') dE'`` with the spectrum r of single photons (P. J. Statham, X-Ray
    Spectrometry 6 (1977) 94). Channels i and j add to the energy of channel
    ``i + j + energy[0] / width``, whose fraction is shared between the two channels beside it.
    Photons outside the spectrum given take no part, nor counts below 0.15 keV: the strobe peak.
    """
    energy, counts = _energy_and_counts(axis, spectrum)
    width = (energy[-1] - energy[0]) / (energy.size - 1)
    counts = np.where(energy > _LEAST_ENERGY_KEV, counts, 0.0)
    from scipy.signal import fftconvolve  # 20 MB that most analyses do not need

    sums = np.maximum(fftconvolve(counts, counts), 0.0)
    at = 2 * energy[0] + width * np.arange(sums.size)
    column: NDArray[np.float64]
    column = np.interp(axis, at, sums, left=0.0, right=0.0)
    if not column.sum() > 0:
        raise InputError(
            "the spectrum for pile-up has no two counts whose energies add up to one in the "
            f"window {axis[0]:.3f} to {axis[-1]:.3f} keV: leave pile-up out"
        )
    column /= column.sum()
    return column


def _energy_and_counts(
    axis: NDArray[np.float64], spectrum: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    given = np.asarray(spectrum, dtype=np.float64)
    energy, counts = given if given.ndim == 2 and len(given) == 2 else (axis, given)
    if counts.shape != energy.shape or counts.ndim != 1 or counts.size < 2:
        raise InputError(
            f"the spectrum for pile-up has shape {given.shape}: expected ({axis.size},), the "
            "counts of the energy axis, or (2, n) with energies of its own"
        )
    if not np.all(np.isfinite(given)) or np.any(counts < 0) or not np.all(np.diff(energy) > 0):
        raise InputError(
            "the spectrum for pile-up holds NaN, infinite or negative counts, or energies that do "
            "not increase: give measured counts"
        )
    return energy, counts
