# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavelet shrinkage of maps whose noise is known in every pixel, whole or block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pywt
from numpy.typing import NDArray

from mlatem.kernels.undecimated import add_filtered

Map = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)

_WAVELET = pywt.Wavelet("sym4")
# Filters of this norm keep the sum of squares of map and coefficients.
_LOW = (np.array(_WAVELET.dec_lo[::-1]) / np.sqrt(2.0)).astype(np.float32)
_HIGH = (np.array(_WAVELET.dec_hi[::-1]) / np.sqrt(2.0)).astype(np.float32)
#: The tap nearest to the middle of each filter's weight.
_LOW_CENTRE, _HIGH_CENTRE = 4, 3
#: No tap lies further from it.
_REACH = 4

_MOST_LEVELS = 4
#: Maps narrower than this are not smoothed across.
_LEAST_WIDTH = 8


@dataclass(frozen=True)
class Transform:
    """Levels and directions of the transform of a map."""

    n_levels: int
    axes: tuple[int, ...]
    """Directions that are wide enough, of 0 (rows) and 1 (columns)."""

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Transform:
        """For a whole map of this shape."""
        axes = tuple(axis for axis in (0, 1) if shape[axis] >= _LEAST_WIDTH)
        if not axes:
            return cls(0, axes)
        narrowest = min(shape[axis] for axis in axes)
        return cls(min(_MOST_LEVELS, int(np.log2(narrowest)) - 1), axes)

    @property
    def reach(self) -> int:
        """Pixels that the coefficients of a block reach beyond it, in the directions `axes`.

        Its smoothed map depends on twice as many, and on the noise in as many.
        """
        return self.reach_to(self.n_levels)

    @property
    def n_bands(self) -> int:
        """Details of all levels."""
        return self.n_levels * ((1 << len(self.axes)) - 1)

    def reach_to(self, level: int) -> int:
        """Pixels that coefficients of a level reach, one way."""
        return _REACH * ((1 << level) - 1)

    def around(self, axis: int, start: int, stop: int, margin: int) -> NDArray[np.intp]:
        """Places of a stretch and a margin, which may lie beyond the ends of the map."""
        margin = margin if axis in self.axes else 0
        return np.arange(start - margin, stop + margin)

    def cut(self, image: NDArray[T], margin: int) -> NDArray[T]:
        """The image without its margin, in the directions of the transform."""
        if not margin:
            return image
        rows, columns = (
            slice(margin, -margin) if axis in self.axes else slice(None) for axis in (0, 1)
        )
        return np.ascontiguousarray(image[rows, columns])

    def noise_scale(self, level: int) -> np.float32:
        """Noise variance of the details of a level over that of the map.

        With filters of this norm a level halves it along each direction.
        """
        return np.float32(0.5 ** (level * len(self.axes)))


@dataclass(frozen=True)
class Classes:
    """Places of a block whose coefficients are shrunk alike; by default all of them."""

    number: int = 1
    of_level: tuple[NDArray[np.uint8], ...] = ()
    """For each level its map of classes, where its details are looked at."""

    def at(self, level: int) -> NDArray[np.uint8] | None:
        """The classes of a level; None where all are one."""
        return self.of_level[level - 1] if self.of_level else None


@dataclass(frozen=True)
class BandSums:
    """Squares of coefficients beyond those of noise, summed over pixels. Merges are sums."""

    signal: NDArray[np.float64]
    """Shape (n_bands, n_classes)."""
    n_pixels: NDArray[np.int64]
    """Shape (n_bands, n_classes)."""

    @classmethod
    def zero(cls, n_bands: int, n_classes: int = 1) -> BandSums:
        """The identity of the merge."""
        shape = n_bands, n_classes
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.int64))

    def __add__(self, other: BandSums) -> BandSums:
        return BandSums(self.signal + other.signal, self.n_pixels + other.n_pixels)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Shape (n_bands, n_classes); of the signal, 0 where there is no more than noise."""
        mean: NDArray[np.float64] = self.signal / np.maximum(self.n_pixels, 1)
        return np.maximum(mean, 0.0)


def shrink(image: NDArray[np.floating], variance: NDArray[np.floating]) -> Map:
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
    ny, nx = image.shape
    transform = Transform.of((ny, nx))

    def around(values: NDArray[np.floating], margin: int) -> Map:
        rows, columns = (
            mirrored(transform.around(axis, 0, n, margin), n) for axis, n in ((0, ny), (1, nx))
        )
        return values[np.ix_(rows, columns)].astype(np.float32)

    reach = transform.reach
    sums = band_sums(around(image, reach), variance.astype(np.float32), transform)
    return shrink_block(around(image, 2 * reach), around(variance, reach), transform, sums)


def mirrored(place: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Places in a map of `size` that goes on beyond its ends as in a mirror."""
    folded = place % (2 * size)
    inner: NDArray[np.intp] = np.where(folded < size, folded, 2 * size - 1 - folded)
    return inner


def band_sums(
    block: Map,
    variance: Map | float,
    transform: Transform,
    classes: Classes | None = None,
) -> BandSums:
    """What the bands of a block hold beyond noise.

    Parameters
    ----------
    block : ndarray of shape (ny, nx), float32
        A block of a map with the transform's reach around it.
    variance : ndarray of the shape of the block alone, or float
        Of the noise.
    transform : Transform
        Of the whole map.
    classes : Classes, optional
        Of the places of coefficients, for each level on the block alone; each is summed by itself.

    Returns
    -------
    BandSums
        Over the pixels of the block alone.
    """
    classes = classes or Classes()
    below = block
    sums = BandSums.zero(transform.n_bands, classes.number)
    band = 0
    for level in range(1, transform.n_levels + 1):
        spare = transform.reach - transform.reach_to(level)
        noise = variance * transform.noise_scale(level)
        place = classes.at(level)
        for detail in details(transform.cut(below, spare), level, transform):
            excess = np.square(detail) - noise
            if place is None:
                sums.signal[band] = np.sum(excess, dtype=np.float64)
                sums.n_pixels[band] = excess.size
            else:
                sums.signal[band] = np.bincount(place.ravel(), excess.ravel(), classes.number)
                sums.n_pixels[band] = np.bincount(place.ravel(), minlength=classes.number)
            band += 1
        below = approximation(below, level, transform)
    return sums


def shrink_block(
    block: Map,
    variance: Map | float,
    transform: Transform,
    sums: BandSums,
    classes: Classes | None = None,
) -> Map:
    """The smoothed map of a block.

    Parameters
    ----------
    block : ndarray of shape (ny, nx), float32
        A block of a map with twice the transform's reach around it.
    variance : ndarray of the shape of the block and its reach, or float
        Of the noise.
    transform : Transform
        Of the whole map.
    sums : BandSums
        Of the whole map.
    classes : Classes, optional
        For each level on the block and the level's reach.

    Returns
    -------
    smoothed : ndarray of the shape of the block alone, float32
        The same however the map is cut into blocks.
    """
    size = np.sqrt(sums.variance)
    return _smoothed(block, variance, transform, size, classes or Classes(), level=1)


def _smoothed(
    below: Map,
    variance: Map | float,
    transform: Transform,
    size: NDArray[np.float64],
    classes: Classes,
    *,
    level: int,
) -> Map:
    """The approximation below a level from its shrunk details and those above.

    It comes with a margin of 2 R - r(level - 1) pixels and leaves with r(level - 1), where r is the
    reach of a level and R of the last. Details are made when the levels above are done: no more
    than the approximations of all levels are held at a time.
    """
    if level > transform.n_levels:
        return below
    above = approximation(below, level, transform)
    above = _smoothed(above, variance, transform, size, classes, level=level + 1)
    reach = transform.reach_to(level)
    spare = 2 * (transform.reach - reach)
    noise: Map | np.float32
    if isinstance(variance, np.ndarray):
        noise = transform.cut(variance, transform.reach - reach) * transform.noise_scale(level)
    else:
        noise = np.float32(variance) * transform.noise_scale(level)
    n_details = transform.n_bands // transform.n_levels
    of_level = size[(level - 1) * n_details : level * n_details].astype(np.float32)
    place = classes.at(level)
    shrunk = [
        _soft(detail, noise, row[0] if place is None else row[place])
        for detail, row in zip(
            details(transform.cut(below, spare), level, transform), of_level, strict=True
        )
    ]
    return _synthesis(above, shrunk, level, transform)


def _soft(detail: Map, noise: Map | np.float32, size: Map | np.float32) -> Map:
    """Soft threshold; zero where a band holds no more than noise."""
    threshold = noise / np.maximum(size, np.float32(1e-30))
    left = np.maximum(np.abs(detail) - threshold, 0.0)
    shrunk: Map = np.copysign(left, detail)
    return shrunk


def approximation(image: Map, level: int, transform: Transform) -> Map:
    """The image under the low-pass filters of a level, smaller by their reach all around."""
    for axis in transform.axes:
        image = _analysis(image, level, axis, is_high=False)
    return image


def details(image: Map, level: int, transform: Transform) -> Iterator[Map]:
    """The details of a level, one by one, smaller by the reach of its filters all around."""
    first, *rest = transform.axes
    if not rest:
        yield _analysis(image, level, first, is_high=True)
        return
    for of_first, of_second in _DETAILS:
        along = _analysis(image, level, first, is_high=of_first)
        yield _analysis(along, level, rest[0], is_high=of_second)


def _synthesis(above: Map, details: list[Map], level: int, transform: Transform) -> Map:
    """The approximation below a level from that above and the details between."""
    first, *rest = transform.axes
    if not rest:
        return _adjoint(above, details[0], level, first)
    low_high, high_low, high_high = details
    low = _adjoint(above, low_high, level, rest[0])
    high = _adjoint(high_low, high_high, level, rest[0])
    return _adjoint(low, high, level, first)


#: Whether a detail is high-pass along the first and along the second direction.
_DETAILS = ((False, True), (True, False), (True, True))


def _analysis(image: Map, level: int, axis: int, *, is_high: bool) -> Map:
    taps, centre = (_HIGH, _HIGH_CENTRE) if is_high else (_LOW, _LOW_CENTRE)
    step = 2 ** (level - 1)
    result = _smaller(image, level, axis)
    add_filtered(image, taps, _along(axis, (_REACH - centre) * step), _along(axis, step), result)
    return result


def _adjoint(low: Map, high: Map, level: int, axis: int) -> Map:
    step = 2 ** (level - 1)
    result = _smaller(low, level, axis)
    for image, taps, centre in ((low, _LOW, _LOW_CENTRE), (high, _HIGH, _HIGH_CENTRE)):
        first = _REACH + centre - (len(taps) - 1)
        add_filtered(
            image, taps[::-1].copy(), _along(axis, first * step), _along(axis, step), result
        )
    return result


def _smaller(image: Map, level: int, axis: int) -> Map:
    """Zeros in the shape of an image without the reach of the filters of a level."""
    shape = list(image.shape)
    shape[axis] -= 2 * _REACH * 2 ** (level - 1)
    return np.zeros(shape, dtype=np.float32)


def _along(axis: int, n: int) -> tuple[int, int]:
    return (n, 0) if axis == 0 else (0, n)
