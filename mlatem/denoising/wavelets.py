# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavelet shrinkage of maps whose noise is known in every pixel."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import NDArray

_WAVELET = "sym4"
_MOST_LEVELS = 4
#: Maps narrower than this are not smoothed across.
_LEAST_WIDTH = 8


def shrink(image: NDArray[np.floating], variance: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map without the part of its wavelet coefficients that noise explains.

    Parameters
    ----------
    image : ndarray of shape (ny, nx)
        Without gaps.
    variance : ndarray of shape (ny, nx)
        Of the noise, which is independent between pixels.

    Returns
    -------
    smoothed : ndarray of shape (ny, nx), float32
        A map of fewer than eight pixels in both directions is returned as it is.

    Notes
    -----
    Symlets of four vanishing moments on at most four levels. Every coefficient is pulled towards
    zero by t = v / s, with v the noise variance at its place and s^2 the variance of its band
    beyond the noise (BayesShrink: Chang, Yu & Vetterli 2000, IEEE Trans. Image Process. 9, 1532,
    equation 16). The transform is not decimated, which is the average over all shifts of the map
    (cycle spinning: Coifman & Donoho 1995, Lecture Notes in Statistics 103, 125). Maps go on
    beyond their ends as in a mirror.
    """
    axes = tuple(axis for axis in (0, 1) if image.shape[axis] >= _LEAST_WIDTH)
    if not axes:
        return image.astype(np.float32)
    narrowest = min(image.shape[axis] for axis in axes)
    n_levels = min(_MOST_LEVELS, int(np.log2(narrowest)) - 1)
    pad = [_padding(image.shape[a], 2**n_levels) if a in axes else (0, 0) for a in (0, 1)]
    extended = np.pad(image.astype(np.float32), pad, mode="symmetric")
    noise = np.pad(variance.astype(np.float32), pad, mode="symmetric")
    bands = pywt.swtn(extended, _WAVELET, n_levels, axes=axes, trim_approx=True, norm=True)
    for level, details in zip(range(n_levels, 0, -1), bands[1:], strict=True):
        # With coefficients of this norm a level halves the noise variance along each direction.
        scale = np.float32(0.5 ** (level * len(axes)))
        for name in details:
            details[name] = _bayes_shrink(details[name], noise * scale)
    smoothed = pywt.iswtn(bands, _WAVELET, axes=axes, norm=True)
    (top, _), (left, _) = pad
    ny, nx = image.shape
    return np.asarray(smoothed[top : top + ny, left : left + nx], dtype=np.float32)


def _padding(size: int, period: int) -> tuple[int, int]:
    """Pixels before and after, so that mirrored ends stay apart and the size is a whole number."""
    before = 2 * period
    return before, before + -size % period


def _bayes_shrink(
    coefficient: NDArray[np.float32], variance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Soft threshold; zero where a band holds no more than noise."""
    signal = float(np.mean(np.square(coefficient) - variance))
    if signal <= 0:
        return np.zeros_like(coefficient)
    threshold = variance / np.float32(np.sqrt(signal))
    size = np.maximum(np.abs(coefficient) - threshold, 0.0)
    shrunk: NDArray[np.float32] = np.copysign(size, coefficient)
    return shrunk
