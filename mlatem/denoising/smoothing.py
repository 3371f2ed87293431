# SPDX-License-Identifier: GPL-3.0-or-later
"""Score maps without the noise of single pixels, in which rare pixels stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, median_filter

from mlatem import settings
from mlatem.denoising import total_variation
from mlatem.denoising.wavelets import shrink
from mlatem.errors import InputError
from mlatem.model import Basis

#: A score so many standard deviations of the noise away from its smoothed map stays as it is.
GUARD_SIGMA = 4.0

#: Of the square root of a Poisson variable.
_ROOT_VARIANCE = 0.25
#: Added to counts, so that the mean of their root is the root of their mean to first order.
_ROOT_SHIFT = 0.25
#: In units of the noise's standard deviation.
_TOTAL_VARIATION_WEIGHT = 2.0
_LEAST_VARIANCE = 0.3
_GUARD_WINDOW_PX = 5

Map = NDArray[np.float32]
_Smooth = Callable[[Map, Map], Map]


@dataclass(frozen=True)
class SmoothedScores:
    """Scores for viewing, and where they are as measured."""

    scores: NDArray[np.float32]
    """Shape (ny, nx, rank); NaN where masked."""
    guard: NDArray[np.bool_]
    """Shape (ny, nx); pixels of which at least one score stayed as it was: lone pixels of a rare
    phase, and one in some 10,000 by chance."""


def smooth_scores(
    scores: NDArray[np.floating],
    basis: Basis,
    *,
    spatial: settings.Spatial = "wavelet",
) -> SmoothedScores:
    """Smooth the score maps of a whole image.

    Parameters
    ----------
    scores : ndarray of shape (ny, nx, rank)
        From `mlatem.denoising.scores.scores`. Pixels that are masked hold NaN and take no part.
    basis : Basis
    spatial : {"wavelet", "total_variation", "none"}, optional

    Returns
    -------
    SmoothedScores

    Raises
    ------
    InputError
        If shapes disagree.

    Notes
    -----
    The noise of a score is one on the mean spectrum, but not where pixels differ from it. For the
    score on axis a of a pixel with expected counts y and total g, with c its score over sqrt(g),
    it is the sum of (a w)^2 y / g less 3/4 c^2: the counts that the pixel has, many or few, scale
    its score by their square root only. A first round takes one, the second the noise that follows
    from the first.

    The guard's noise is the median of the neighbourhood's, so that a pixel of a rare phase is
    judged by the noise of its surroundings, not by its own.
    """
    if scores.ndim != 3 or scores.shape[2] != basis.rank:
        raise InputError(
            f"scores have shape {scores.shape}, expected (ny, nx, {basis.rank}) for this basis"
        )
    masked = np.isnan(scores).any(axis=2)
    if spatial == "none" or masked.all():
        return SmoothedScores(scores.astype(np.float32), np.zeros_like(masked))
    raw = _filled(scores.astype(np.float32, copy=False), masked)
    result, guard = _smooth(raw, basis, _METHODS[spatial])
    result[masked] = np.nan
    return SmoothedScores(result, guard & ~masked)


def _smooth(raw: Map, basis: Basis, smooth: _Smooth) -> tuple[Map, NDArray[np.bool_]]:
    per_score = basis.root_per_score.astype(np.float32)
    measured_root = raw @ per_score
    root = smooth(
        np.sqrt(measured_root**2 + np.float32(_ROOT_SHIFT)),
        np.full(raw.shape[:2], _ROOT_VARIANCE, dtype=np.float32),
    )
    unit = np.ones(raw.shape[:2], dtype=np.float32)
    rough = raw.copy()
    for k in range(1, basis.rank):
        rough[..., k] = smooth(raw[..., k], unit)
    rough = _with_root(rough, root, per_score)
    guard = np.abs(measured_root - root) > GUARD_SIGMA * np.sqrt(_ROOT_VARIANCE)
    root = np.where(guard, measured_root, root)
    result = raw.copy()
    for k in range(1, basis.rank):
        variance = _noise_variance(rough, basis, per_score, k)
        smoothed = smooth(raw[..., k], variance)
        around = median_filter(np.maximum(variance, 1.0), _GUARD_WINDOW_PX, mode="nearest")
        stays = np.abs(raw[..., k] - smoothed) > GUARD_SIGMA * np.sqrt(around)
        result[..., k] = np.where(stays, raw[..., k], smoothed)
        guard |= stays
    return _with_root(result, root, per_score), guard


def _with_root(scores: Map, root: Map, per_score: Map) -> Map:
    """The scores with the first such that the root of a pixel's counts is the given one."""
    scores[..., 0] = (root - scores[..., 1:] @ per_score[1:]) / per_score[0]
    return scores


def _noise_variance(scores: Map, basis: Basis, per_score: Map, axis: int) -> Map:
    """Variance of the scores on one axis at the expected counts that all scores give."""
    squared = (basis.axes[axis] * basis.weights) ** 2
    of_score = (basis.spectra @ squared).astype(np.float32)
    root = np.maximum(scores @ per_score, np.sqrt(_ROOT_VARIANCE))
    second = (scores @ of_score) / root
    first = scores[..., axis] / root
    variance: Map = np.maximum(second - 0.75 * first**2, _LEAST_VARIANCE).astype(np.float32)
    return variance


def _filled(scores: Map, masked: NDArray[np.bool_]) -> Map:
    """Masked pixels with the scores of the nearest that is not."""
    if not masked.any():
        return scores
    rows, columns = distance_transform_edt(masked, return_distances=False, return_indices=True)
    return np.asarray(scores[rows, columns])


def _by_total_variation(image: Map, variance: Map) -> Map:
    noise = float(np.sqrt(np.median(variance)))
    return total_variation.smooth(image, _TOTAL_VARIATION_WEIGHT * noise)


_METHODS: dict[str, _Smooth] = {"wavelet": shrink, "total_variation": _by_total_variation}
