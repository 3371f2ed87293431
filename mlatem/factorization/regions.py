# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-fitted pooling: pixels are clustered on one half of the photons, the other half is summed.

Free abundances in every pixel over-fit and bias the compositions. Some hundred region spectra hold
nearly all that the map tells of the compositions, and since the labels come from photons that are
not summed, the sums are plain Poisson counts. Every random choice is keyed by the pixel's index in
the whole map and every merge is a sum or a union: tiling, order and workers change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mlatem import settings
from mlatem.errors import InputError
from mlatem.kernels.kmeans import kmeans, nearest
from mlatem.kernels.pooling import project, sum_by_label
from mlatem.model import RegionStatistics, SparseCounts
from mlatem.model.counts import split_counts

#: Counts of a thinned half that should lie under the smoothing kernel: enough for a label.
_COUNTS_UNDER_KERNEL = 500.0
_MAX_SMOOTHING_PX = 5.0
_TRUNCATE = 3.0
#: Pixels that suffice to place the centroids.
_MAX_SAMPLE = 50_000
_SMALLEST_N_REGIONS = 8


@dataclass(frozen=True)
class PoolingPlan:
    """How the pixels of a map are pooled; made from totals before any pixel is read."""

    n_regions: int
    """Regions of each half of each thinning."""
    smoothing_px: float
    """Standard deviation of the Gaussian under which scores are averaged, pixels; 0 for none."""
    sample_share: float
    """Share of the pixels on which the centroids are placed."""
    n_thinnings: int
    seed: int
    n_wide: int = 0
    """Axes, the last ones, whose scores are averaged over more pixels."""
    wide_px: float = 0.0
    """Standard deviation of their Gaussian, if that is the wider one, pixels."""

    @property
    def widest_px(self) -> float:
        """The wider of the Gaussians that are used, pixels."""
        return max(self.smoothing_px, self.wide_px) if self.n_wide else self.smoothing_px

    @property
    def halo_px(self) -> int:
        """Pixels that are read around a tile, so that its smoothed scores do not depend on it."""
        return int(np.ceil(_TRUNCATE * self.widest_px))


@dataclass(frozen=True)
class ScoreSample:
    """Scores of some pixels, of every half of every thinning. Merges by union, in any order."""

    pixel: NDArray[np.int64]
    """Shape (n_sampled,); index in the whole map."""
    features: NDArray[np.float64]
    """Shape (n_halves, n_sampled, n_axes); scores per count, smoothed."""
    weight: NDArray[np.float64]
    """Shape (n_halves, n_sampled); counts under the smoothing kernel."""

    def __add__(self, other: ScoreSample) -> ScoreSample:
        pixel = np.concatenate([self.pixel, other.pixel])
        order = np.argsort(pixel, kind="stable")
        return ScoreSample(
            pixel[order],
            np.concatenate([self.features, other.features], axis=1)[:, order],
            np.concatenate([self.weight, other.weight], axis=1)[:, order],
        )


def plan_pooling(
    total_counts: float,
    n_pixels: int,
    *,
    n_phases: int | None = None,
    options: settings.Factorize | None = None,
) -> PoolingPlan:
    """Number of regions and smoothing from the counts of the map.

    Parameters
    ----------
    total_counts : float
        Counts of the whole map in the fitted window.
    n_pixels : int
        Pixels of the whole map.
    n_phases : int, optional
        None where the number is not known yet.
    options : settings.Factorize, optional

    Raises
    ------
    InputError
        If the map has no counts.
    """
    options = options or settings.Factorize()
    if not total_counts > 0 or n_pixels < 1:
        raise InputError(
            f"the map has {total_counts:g} counts in {n_pixels} pixels: check that the right file "
            "and window of energies were chosen"
        )
    fewest = max(_SMALLEST_N_REGIONS, 2 * (n_phases or 0))
    wanted = int(total_counts / 2 / options.counts_per_region)
    n_regions = min(max(wanted, fewest), max(options.max_regions, fewest), n_pixels)
    # A Gaussian of standard deviation s averages over 4 pi s^2 pixels.
    kernel_pixels = _COUNTS_UNDER_KERNEL / (total_counts / 2 / n_pixels)
    smoothing = np.sqrt(kernel_pixels / (4 * np.pi)) if kernel_pixels > 2 else 0.0
    return PoolingPlan(
        n_regions=n_regions,
        smoothing_px=float(min(smoothing, _MAX_SMOOTHING_PX)),
        sample_share=min(1.0, _MAX_SAMPLE / n_pixels),
        n_thinnings=options.n_thinnings,
        seed=options.seed,
    )


def tile_sample(
    counts: SparseCounts,
    axes: NDArray[np.float64],
    plan: PoolingPlan,
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice] | None = None,
    masked: NDArray[np.bool_] | None = None,
) -> ScoreSample:
    """Scores of the sampled pixels of a tile.

    Parameters
    ----------
    counts : SparseCounts
        Of the tile and its halo (`plan.halo_px` pixels, less at the border of the map).
    axes : ndarray of shape (n_axes, n_energy)
        Scores are `axes @ y`, linear in the counts: `basis.axes * basis.weights`.
    plan : PoolingPlan
    shape : tuple of int
        Rows and columns of `counts`.
    core : tuple of slice, optional
        The tile within `counts`; all of it if there is no halo.
    masked : ndarray of shape (n_pixels,), bool, optional
        Pixels of `counts` that are left out; they hold no counts.
    """
    inner = _core_index(shape, core, masked)
    sampled = _in_sample(counts.pixel[inner], plan.sample_share, plan.seed)
    features, weight = [], []
    for label_half, _ in _halves(counts, plan):
        half_features, half_weight = _features(label_half, axes, plan, shape)
        features.append(half_features[inner][sampled])
        weight.append(half_weight[inner][sampled])
    return ScoreSample(counts.pixel[inner][sampled], np.stack(features), np.stack(weight))


def place_centroids(sample: ScoreSample, plan: PoolingPlan) -> NDArray[np.float64]:
    """Centroids shared by all tiles.

    Parameters
    ----------
    sample : ScoreSample
        Sum over all tiles.
    plan : PoolingPlan

    Returns
    -------
    centroids : ndarray of shape (n_halves, n_regions, n_axes)
        n_halves is twice the number of thinnings.

    Raises
    ------
    InputError
        If a thinned half has no counts in any sampled pixel.
    """
    centroids = []
    for i, (features, weight) in enumerate(zip(sample.features, sample.weight, strict=True)):
        if not np.any(weight > 0):
            raise InputError(
                "the map has too few counts to be split into halves: sum frames or bin pixels"
            )
        centroids.append(kmeans(features, weight, plan.n_regions, seed=plan.seed + i))
    return np.stack(centroids)


def tile_regions(
    counts: SparseCounts,
    axes: NDArray[np.float64],
    centroids: NDArray[np.float64],
    plan: PoolingPlan,
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice] | None = None,
    set_apart: Callable[[SparseCounts, SparseCounts, NDArray[np.int32]], None] | None = None,
    pattern: NDArray[np.integer] | None = None,
    n_patterns: int = 1,
    masked: NDArray[np.bool_] | None = None,
) -> tuple[RegionStatistics, ...]:
    """Summed spectra of the regions of a tile, one record per thinning; add them up over tiles.

    Parameters
    ----------
    counts, axes, plan, shape, core, masked
        As in `tile_sample`.
    centroids : ndarray of shape (n_halves, n_regions, n_axes)
        From `place_centroids`.
    set_apart : callable, optional
        Called with the half to label on, the half to sum and the labels, which are -1 outside of
        the tile: may take pixels out of the regions by the label -1.
    pattern : ndarray of shape (n_pixels,), optional
        Group of each pixel, below `n_patterns`: regions are split so that each lies in one group.
    n_patterns : int, optional

    Returns
    -------
    regions : tuple of RegionStatistics
        Each of 2 n_patterns n_regions rows: labels of the first half with sums of the second,
        pattern by pattern, then the reverse. Together the rows hold every photon of the tile once.
        Pixels without a count in the labelling half, smoothed, go to the region of the nearest
        empty score.
    """
    inner = _core_index(shape, core, masked)
    sums: list[RegionStatistics] = []
    halves = zip(_halves(counts, plan), centroids, strict=True)
    for (label_half, sum_half), half_centroids in halves:
        features, _ = _features(label_half, axes, plan, shape)
        label = np.full(counts.n_pixels, -1, dtype=np.int32)
        label[inner] = nearest(features[inner], half_centroids)[0]
        if set_apart is not None:
            set_apart(label_half, sum_half, label)
        if pattern is not None:
            inside = label >= 0
            label[inside] += plan.n_regions * pattern[inside]
        sums.append(pool(sum_half, label, n_patterns * plan.n_regions))
    return tuple(
        _stacked(first, second) for first, second in zip(sums[::2], sums[1::2], strict=True)
    )


def pool(counts: SparseCounts, label: NDArray[np.int32], n_regions: int) -> RegionStatistics:
    """Summed spectra of labelled pixels.

    Parameters
    ----------
    counts : SparseCounts
    label : ndarray of shape (n_pixels,), integer
        0 to n_regions - 1; pixels with a negative label are left out.
    n_regions : int
    """
    summed, n_pixels = sum_by_label(
        counts.pointer, counts.channel, counts.count, label, n_regions, counts.n_energy
    )
    return RegionStatistics(summed.astype(np.float64), n_pixels)


def add_regions(
    first: Sequence[RegionStatistics], second: Sequence[RegionStatistics]
) -> tuple[RegionStatistics, ...]:
    """Sum of the region statistics of two tiles, thinning by thinning."""
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _stacked(first: RegionStatistics, second: RegionStatistics) -> RegionStatistics:
    return RegionStatistics(
        np.concatenate([first.counts, second.counts]),
        np.concatenate([first.n_pixels, second.n_pixels]),
    )


def _halves(counts: SparseCounts, plan: PoolingPlan) -> Iterator[tuple[SparseCounts, SparseCounts]]:
    """Pairs (half to label on, half to sum) for every thinning, both ways.

    Events that a half lacks stay in it with a count of zero, which adds nothing to any sum.
    """
    for i in range(plan.n_thinnings):
        first, second = (
            replace(counts, count=part) for part in split_counts(counts, plan.seed + i)
        )
        yield first, second
        yield second, first


def _features(
    counts: SparseCounts,
    axes: NDArray[np.float64],
    plan: PoolingPlan,
    shape: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores per count, averaged, and counts of every pixel under the smoothing kernel.

    With weights that are these counts, distances of scores per count are in units of the noise,
    but for the scores that are averaged more widely.
    """
    table = np.ascontiguousarray(np.asarray(axes, dtype=np.float64).T)
    linear = project(counts.pointer, counts.channel, counts.count, table)
    total = counts.pixel_totals().astype(np.float64)
    n_narrow = len(axes) - plan.n_wide
    features, weight = _per_count(linear[:, :n_narrow], total, plan.smoothing_px, shape)
    if plan.n_wide:
        wide, _ = _per_count(linear[:, n_narrow:], total, plan.widest_px, shape)
        features = np.hstack([features, wide])
    return features, weight


def _per_count(
    linear: NDArray[np.floating],
    total: NDArray[np.float64],
    smoothing_px: float,
    shape: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores per count, both under a Gaussian, and the counts under it."""
    if smoothing_px > 0:
        maps = np.column_stack([linear, total]).reshape(*shape, -1)
        sigma = (smoothing_px, smoothing_px, 0.0)
        maps = gaussian_filter(maps, sigma, mode="constant", truncate=_TRUNCATE)
        linear = maps[..., :-1].reshape(len(linear), -1)
        total = maps[..., -1].ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        features = np.where(total[:, None] > 0, linear / total[:, None], 0.0)
    return features, total


def _core_index(
    shape: tuple[int, int],
    core: tuple[slice, slice] | None,
    masked: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Places, within the padded tile, of the pixels of the tile itself that are not masked."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    inner = places.ravel() if core is None else places[core].ravel()
    return inner if masked is None else inner[~masked[inner]]


def _in_sample(pixel: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which pixels are sampled, by a hash of their index (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        word = (pixel.astype(np.uint64) + np.uint64(seed) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
    return word.astype(np.float64) < share * 2.0**64
