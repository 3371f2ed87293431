# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics and scores of dense spectra whose noise has a readout part, as those of EELS.

The variance of a voxel is v = gain * y + readout^2. A pixel is weighted by its sum of v over the
channels, a channel by its sum over the pixels, in place of the counts for both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.errors import InputError
from mlatem.model import Basis, TileStatistics

Array = NDArray[np.float64]


def dense_statistics(spectra: ArrayLike, *, gain: float, readout: float) -> TileStatistics:
    """Sums over the pixels of a tile that basis and rank are computed from.

    Parameters
    ----------
    spectra : array-like of shape (n_pixels, n_energy)
    gain : float
        Variance of a voxel over its expectation, without the readout.
    readout : float
        Standard deviation of the readout noise, in the unit of the spectra.

    Returns
    -------
    statistics : TileStatistics
        For `mlatem.denoising.rank.low_rank`; statistics of tiles add up to those of the map.

    Raises
    ------
    InputError
        If values are not finite, or there is no noise.

    Notes
    -----
    With s the sum of v over the channels of a pixel, the sums of y y^T / s, of v / s and of v. The
    expectation of the first is that of the signal plus the second on its diagonal, whatever the
    noise's distribution. Weighting is exact where v is a product of pixel and channel.
    """
    values = _checked(spectra, gain, readout)
    variance = _variance(values, gain, readout)
    total = variance.sum(axis=1, keepdims=True)
    scaled = values / np.sqrt(total)
    return TileStatistics(
        n_pixels=len(values),
        total=variance.sum(axis=0),
        weighted_total=(variance / total).sum(axis=0),
        moment=scaled.T @ scaled,
        signal=values.sum(axis=0),
    )


def dense_scores(
    spectra: ArrayLike, basis: Basis, *, gain: float, readout: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores of every pixel, and what turns them back into spectra.

    Parameters
    ----------
    spectra : array-like of shape (n_pixels, n_energy)
    basis : Basis
        From the statistics of the map.
    gain, readout : float
        As for `dense_statistics`.

    Returns
    -------
    scores : ndarray of shape (n_pixels, rank), float32
        In units of the noise's standard deviation.
    scale : ndarray of shape (n_pixels,), float32
        Root of the pixel's summed variance.
    """
    values = _checked(spectra, gain, readout)
    scale = np.sqrt(_variance(values, gain, readout).sum(axis=1))
    scores = (values @ (basis.axes * basis.weights).T) / scale[:, None]
    return scores.astype(np.float32), scale.astype(np.float32)


def dense_reconstruct(scores: ArrayLike, scale: ArrayLike, basis: Basis) -> NDArray[np.float32]:
    """Denoised spectra of shape (..., n_energy) from scores (..., rank) and scales (...)."""
    scaled = np.asarray(scores, dtype=np.float64) * np.asarray(scale, dtype=np.float64)[..., None]
    spectra: NDArray[np.float32] = (scaled @ basis.spectra).astype(np.float32)
    return spectra


def _variance(values: Array, gain: float, readout: float) -> Array:
    return gain * np.maximum(values, 0.0) + readout**2


def _checked(spectra: ArrayLike, gain: float, readout: float) -> Array:
    values = np.asarray(spectra, dtype=np.float64)
    if values.ndim != 2 or not np.all(np.isfinite(values)):
        raise InputError(
            f"spectra have shape {values.shape}, expected (pixels, channels) and finite values"
        )
    if gain < 0 or readout < 0 or gain + readout == 0:
        raise InputError(
            f"gain {gain} and readout {readout}: expected not negative, and one above 0"
        )
    if readout == 0 and np.any(values.sum(axis=1) <= 0):
        raise InputError("a pixel without signal and readout noise has no variance: leave it out")
    return values
