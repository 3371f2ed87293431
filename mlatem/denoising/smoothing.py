# SPDX-License-Identifier: GPL-3.0-or-later
"""Score maps without the noise of single pixels, in which rare pixels stay as they are.

In blocks, in two rounds of two passes each: sums of the bands over all blocks, then the maps. The
noise of a score is one on the mean spectrum, but not where pixels differ from it. For the score on
axis a of a pixel with expected counts y and total g, with c its score over sqrt(g), it is the sum
of (a w)^2 y / g less 3/4 c^2: the counts that the pixel has, many or few, scale its score by their
square root only. The first round takes one, the second the noise that follows from the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, median_filter, uniform_filter

from mlatem import settings
from mlatem.denoising import total_variation
from mlatem.denoising.wavelets import (
    BandSums,
    Classes,
    Map,
    Transform,
    band_sums,
    shrink_block,
)
from mlatem.model import Basis

#: A score so many standard deviations of the noise away from its smoothed map stays as it is,
#: and so do those of a square of three by three pixels whose sum is so far away. On simulated
#: maps of 20 counts per pixel squares raised the part of a rare phase that is kept from 0.72 to
#: 0.86, and lowered the error of the whole map (benchmarks/denoising.py, seeds 1, 101 to 103, 201
#: to 203 and 302).
GUARD_SIGMA = 4.0
SQUARE_SIGMA = 5.0
_SQUARE_PX = 3
#: Pixels around a block that tell whether one of its squares stands out.
GUARD_MARGIN = 2

#: Of the square root of a Poisson variable.
_ROOT_VARIANCE = 0.25
#: Added to counts, so that the mean of their root is the root of their mean to first order.
_ROOT_SHIFT = 0.25
#: In units of the noise's standard deviation.
_TOTAL_VARIATION_WEIGHT = 2.0
_LEAST_VARIANCE = 0.3
_GUARD_WINDOW_PX = 5


@dataclass(frozen=True)
class Smoothing:
    """How the maps of a basis are smoothed."""

    basis: Basis
    transform: Transform
    spatial: settings.Spatial = "wavelet"

    @classmethod
    def of(cls, basis: Basis, shape: tuple[int, int], spatial: settings.Spatial) -> Smoothing:
        """For a whole map of this shape."""
        # Total variation sees the whole map: there is no transform, and one block.
        none = Transform(0, ())
        return cls(basis, Transform.of(shape) if spatial == "wavelet" else none, spatial)

    @property
    def per_score(self) -> Map:
        """Shape (rank,); scores times these add up to the root of a pixel's counts."""
        return self.basis.root_per_score.astype(np.float32)


def first_sums(raw: Map, how: Smoothing, classes: Classes) -> tuple[BandSums, ...]:
    """What the bands of the raw maps of a block hold beyond noise of one.

    Parameters
    ----------
    raw : ndarray of shape (rank, ny, nx), float32
        Scores of a block and the transform's reach, without gaps; beyond the map mirrored.
    how : Smoothing
    classes : Classes
        On the block.

    Returns
    -------
    sums : tuple of BandSums
        Of each axis; for the first, whose score is the root of the counts where no axis but the
        mean counts, of that root.
    """
    parts = [_sums(_shifted_root(raw, how), _ROOT_VARIANCE, how, classes)]
    parts += [_sums(raw[k], 1.0, how, classes) for k in range(1, how.basis.rank)]
    return tuple(parts)


def first_round(raw: Map, how: Smoothing, sums: tuple[BandSums, ...], classes: Classes) -> Map:
    """Maps of a block as if the noise were one everywhere.

    Parameters
    ----------
    raw : ndarray of shape (rank, ny, nx), float32
        As in `first_sums`, of a block and twice the transform's reach.
    how : Smoothing
    sums : tuple of BandSums
        Of the whole map.
    classes : Classes
        For each level on the block and the level's reach.

    Returns
    -------
    rough : ndarray of shape (rank, ny, nx), float32
        Of the block alone; the first is the root of the counts.
    """
    parts = [_smoothed(_shifted_root(raw, how), _ROOT_VARIANCE, how, sums[0], classes)]
    parts += [_smoothed(raw[k], 1.0, how, sums[k], classes) for k in range(1, how.basis.rank)]
    return np.stack(parts)


def second_sums(raw: Map, rough: Map, how: Smoothing, classes: Classes) -> tuple[BandSums, ...]:
    """As `first_sums`, with the noise that follows from the first round; not of the first axis.

    `rough` is what `first_round` gave for the block.
    """
    expected = _with_first_score(rough, how)
    return tuple(
        _sums(raw[k], _noise_variance(expected, how, k), how, classes)
        for k in range(1, how.basis.rank)
    )


def second_round(
    raw: Map,
    rough: Map,
    how: Smoothing,
    sums: tuple[BandSums, ...],
    classes: Classes,
    inside: NDArray[np.bool_],
) -> tuple[Map, NDArray[np.bool_]]:
    """Smoothed maps of a block, and where they are as measured.

    Parameters
    ----------
    raw : ndarray of shape (rank, ny, nx), float32
        As in `first_round`, with `GUARD_MARGIN` more around it.
    rough : ndarray of shape (rank, ny, nx), float32
        What `first_round` gave for the block, the transform's reach and `GUARD_MARGIN` around it.
    how : Smoothing
    sums : tuple of BandSums
        Of the whole map.
    classes : Classes
        As in `first_round`, with `GUARD_MARGIN` more around it.
    inside : ndarray of shape (ny, nx), bool
        Pixels of the block and `GUARD_MARGIN` around it that are on the map and measured.

    Returns
    -------
    scores : ndarray of shape (rank, ny, nx), float32
        Of the block alone.
    guard : ndarray of shape (ny, nx), bool
        Pixels of which a score stayed as it was.

    Notes
    -----
    The guard's noise is the median of the neighbourhood's, so that a pixel of a rare phase is
    judged by the noise of its surroundings, not by its own.
    """
    expected = _with_first_score(rough, how)
    reach = how.transform.reach
    measured = _cut_all(raw, how, 2 * reach)
    root, measured_root = how.transform.cut(rough[0], reach), _root(measured, how)
    guard = stands_out((measured_root - root) / np.float32(_ROOT_VARIANCE**0.5), inside)
    root = np.where(guard, measured_root, root)
    result = np.empty_like(measured)
    for k in range(1, how.basis.rank):
        variance = _noise_variance(expected, how, k)
        smoothed = _smoothed(raw[k], variance, how, sums[k - 1], classes)
        around = _median(np.maximum(variance, 1.0), how)
        stays = stands_out((measured[k] - smoothed) / np.sqrt(around), inside)
        result[k] = np.where(stays, measured[k], smoothed)
        guard |= stays
    result[0] = root
    result = _with_first_score(result, how)
    return _cut_all(result, how, GUARD_MARGIN), how.transform.cut(guard, GUARD_MARGIN)


def unit_sums(raw: Map, how: Smoothing, classes: Classes) -> tuple[BandSums, ...]:
    """As `first_sums`, of scores whose noise is one on all axes."""
    return tuple(_sums(scores, 1.0, how, classes) for scores in raw)


def unit_round(
    raw: Map,
    how: Smoothing,
    sums: tuple[BandSums, ...],
    classes: Classes,
    inside: NDArray[np.bool_],
) -> tuple[Map, NDArray[np.bool_]]:
    """As `second_round`, of scores whose noise is one on all axes and in every pixel."""
    measured = _cut_all(raw, how, 2 * how.transform.reach)
    result, guard = np.empty_like(measured), np.zeros(inside.shape, dtype=bool)
    for k, scores in enumerate(raw):
        smoothed = _smoothed(scores, 1.0, how, sums[k], classes)
        stays = stands_out(measured[k] - smoothed, inside)
        result[k] = np.where(stays, measured[k], smoothed)
        guard |= stays
    return _cut_all(result, how, GUARD_MARGIN), how.transform.cut(guard, GUARD_MARGIN)


def _root(scores: Map, how: Smoothing) -> Map:
    root: Map = np.tensordot(how.per_score, scores, axes=1)
    return root


def _shifted_root(scores: Map, how: Smoothing) -> Map:
    shifted: Map = np.sqrt(np.square(_root(scores, how)) + np.float32(_ROOT_SHIFT))
    return shifted


def _with_first_score(maps: Map, how: Smoothing) -> Map:
    """Scores of which the first is such that the root of the counts is the first of the maps."""
    per_score = how.per_score
    others = np.tensordot(per_score[1:], maps[1:], axes=1)
    return np.concatenate([((maps[0] - others) / per_score[0])[None], maps[1:]])


def _noise_variance(scores: Map, how: Smoothing, axis: int) -> Map:
    """Variance of the scores on one axis at the expected counts that all scores give."""
    basis = how.basis
    squared = (basis.axes[axis] * basis.weights) ** 2
    of_score = (basis.spectra @ squared).astype(np.float32)
    root = np.maximum(_root(scores, how), np.float32(_ROOT_VARIANCE**0.5))
    second = np.tensordot(of_score, scores, axes=1) / root
    first = scores[axis] / root
    return np.asarray(np.maximum(second - 0.75 * first**2, _LEAST_VARIANCE), dtype=np.float32)


def _sums(image: Map, variance: Map | float, how: Smoothing, classes: Classes) -> BandSums:
    return band_sums(image, variance, how.transform, classes)


def _smoothed(
    image: Map, variance: Map | float, how: Smoothing, sums: BandSums, classes: Classes
) -> Map:
    if how.spatial == "total_variation":
        weight = _TOTAL_VARIATION_WEIGHT * float(np.sqrt(np.median(variance)))
        return total_variation.smooth(image, weight)
    return shrink_block(image, variance, how.transform, sums, classes)


def stands_out(deviation: Map, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels, and squares of pixels, that noise does not explain; deviations in its units."""
    deviation = np.where(inside, deviation, 0.0)
    of_square = _SQUARE_PX * uniform_filter(deviation, _SQUARE_PX, mode="constant")
    in_square = maximum_filter(np.abs(of_square) > SQUARE_SIGMA, _SQUARE_PX, mode="constant")
    result: NDArray[np.bool_] = (in_square | (np.abs(deviation) > GUARD_SIGMA)) & inside
    return result


def _median(values: Map, how: Smoothing) -> Map:
    """The median of the surroundings, on the block and the guard's margin."""
    reach = how.transform.reach
    spare = min(_GUARD_WINDOW_PX // 2, reach)
    outer = how.transform.cut(values, reach - spare)
    return how.transform.cut(median_filter(outer, _GUARD_WINDOW_PX, mode="nearest"), spare)


def _cut_all(maps: NDArray[np.float32], how: Smoothing, margin: int) -> Map:
    return np.stack([how.transform.cut(one, margin) for one in maps])
