# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of their own for pixels whose spectra no shared region explains.

A phase of some ten pixels in one corner of a large map moves neither the axes of the map nor the
centroids that all tiles share. It is looked for along the directions of the dictionary that the
axes leave out: one half of the photons says which pixels stand out there, block by block of a grid
that belongs to the map, not to the tiles; the other half, which is summed, says whether they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from mlatem.errors import InputError
from mlatem.factorization.regions import PoolingPlan, tile_regions
from mlatem.kernels.pooling import project, sum_by_label
from mlatem.kernels.smoothing import smooth
from mlatem.model import Dictionary, RegionStatistics, SparseCounts

#: A pixel of pure noise stands out with this probability, if scores were normal.
_PIXEL_RATE = 1e-5
#: Standard deviations by which the summed half must confirm what the labelled half says.
_CONFIRMED = 5.0
#: Side of a block, pixels, and most blocks along a side of the map.
_LEAST_BLOCK_PX, _MAX_BLOCKS = 32, 16
_RELATIVE_RANK = 1e-6


@dataclass(frozen=True)
class OutlierSearch:
    """Where to look for outliers, the same for all tiles of a map."""

    directions: NDArray[np.float64]
    """Shape (n_directions, n_energy); scores along them are `directions @ y`, of variance one a
    count and of mean zero where the axes of the map explain a pixel."""
    smoothing_px: float
    """Standard deviation of the Gaussian under which scores are averaged, as for the labels."""
    block_px: int
    """Rows and columns of a block."""
    width: int
    """Columns of the map."""
    n_halves: int

    @property
    def threshold(self) -> float:
        """Squared length of a pixel's scores, each of variance one, beyond which it stands out."""
        return float(chdtri(len(self.directions), _PIXEL_RATE))

    def block_of(self, pixel: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the block that a pixel lies in."""
        row, column = np.divmod(pixel, self.width)
        blocks_across = -(-self.width // self.block_px)
        block: NDArray[np.int64] = row // self.block_px * blocks_across + column // self.block_px
        return block


@dataclass(frozen=True)
class OutlierSums:
    """Pixels that stand out, summed by half and block. Merges by adding what has the same key."""

    key: NDArray[np.int64]
    """Shape (n_groups,), increasing; the block times the number of halves, plus the half."""
    counts: NDArray[np.float64]
    """Shape (n_groups, n_energy); of the photons that took no part in the choice."""
    n_pixels: NDArray[np.int64]
    """Shape (n_groups,)."""
    scores: NDArray[np.float64]
    """Shape (n_groups, n_directions); of the photons by which the pixels were chosen."""

    @classmethod
    def zero(cls, n_energy: int, n_directions: int) -> OutlierSums:
        """The identity of the merge."""
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, n_energy)),
            np.zeros(0, np.int64),
            np.zeros((0, n_directions)),
        )

    def __add__(self, other: OutlierSums) -> OutlierSums:
        if self.counts.shape[1] != other.counts.shape[1]:
            raise InputError(
                f"outliers on {self.counts.shape[1]} and {other.counts.shape[1]} channels cannot "
                "be merged"
            )
        key, place = np.unique(np.concatenate([self.key, other.key]), return_inverse=True)
        sums = [
            np.zeros((len(key), *part.shape[1:]), dtype=part.dtype)
            for part in (self.counts, self.n_pixels, self.scores)
        ]
        for total, mine, theirs in zip(
            sums,
            (self.counts, self.n_pixels, self.scores),
            (other.counts, other.n_pixels, other.scores),
            strict=True,
        ):
            np.add.at(total, place, np.concatenate([mine, theirs]))
        return OutlierSums(key, *sums)


def plan_search(
    axes: NDArray[np.float64],
    weights: NDArray[np.float64],
    dictionary: Dictionary,
    plan: PoolingPlan,
    shape: tuple[int, int],
) -> OutlierSearch:
    """Directions in which the dictionary can describe a pixel and the axes of the map do not.

    Parameters
    ----------
    axes : ndarray of shape (n_axes, n_energy)
        Whitened and orthonormal.
    weights : ndarray of shape (n_energy,)
        By which channels are whitened.
    dictionary : Dictionary
    plan : PoolingPlan
    shape : tuple of int
        Rows and columns of the map.
    """
    columns = dictionary.columns * weights
    norm = np.linalg.norm(columns, axis=1, keepdims=True)
    columns = np.divide(columns, norm, out=np.zeros_like(columns), where=norm > 0)
    for _ in range(2):  # Twice is enough for orthogonality to rounding.
        columns = columns - (columns @ axes.T) @ axes
    _, singular, right = np.linalg.svd(columns, full_matrices=False)
    return OutlierSearch(
        directions=right[singular > _RELATIVE_RANK] * weights,
        smoothing_px=plan.smoothing_px,
        block_px=max(_LEAST_BLOCK_PX, -(-max(shape) // _MAX_BLOCKS)),
        width=shape[1],
        n_halves=2 * plan.n_thinnings,
    )


def standing_out(
    counts: SparseCounts, search: OutlierSearch, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Pixels whose scores along the directions of the search are too long for noise.

    Parameters
    ----------
    counts : SparseCounts
        The half to choose by, of a tile and its halo.
    search : OutlierSearch
    shape : tuple of int
        Rows and columns of `counts`.

    Returns
    -------
    found : ndarray of shape (n_pixels,), bool
    scores : ndarray of shape (n_pixels, n_directions), float32
        Of each pixel by itself.
    """
    scores = project(
        counts.pointer, counts.channel, counts.count, np.ascontiguousarray(search.directions.T)
    )
    total = counts.pixel_totals().astype(np.float32)[:, None]
    if not len(search.directions):
        return np.zeros(counts.n_pixels, dtype=np.bool_), scores
    summed, variance = smooth(scores, total, shape, search.smoothing_px)
    return (summed**2).sum(axis=1) > search.threshold * variance[:, 0], scores


def tile_regions_and_outliers(
    counts: SparseCounts,
    axes: NDArray[np.float64],
    centroids: NDArray[np.float64],
    plan: PoolingPlan,
    search: OutlierSearch,
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice] | None = None,
    masked: NDArray[np.bool_] | None = None,
) -> tuple[tuple[RegionStatistics, ...], OutlierSums]:
    """As `mlatem.factorization.regions.tile_regions`, with pixels that stand out set apart."""
    parts: list[OutlierSums] = []

    def set_apart(
        label_half: SparseCounts, sum_half: SparseCounts, label: NDArray[np.int32]
    ) -> None:
        found, scores = standing_out(label_half, search, shape)
        found &= label >= 0
        label[found] = -1
        parts.append(_block_sums(sum_half, found, scores, search, half=len(parts)))

    regions = tile_regions(
        counts,
        axes,
        centroids,
        plan,
        shape=shape,
        core=core,
        set_apart=set_apart,
        masked=masked,
    )
    zero = OutlierSums.zero(counts.n_energy, len(search.directions))
    return regions, reduce(add, parts, zero)


def _block_sums(
    counts: SparseCounts,
    found: NDArray[np.bool_],
    scores: NDArray[np.float32],
    search: OutlierSearch,
    *,
    half: int,
) -> OutlierSums:
    """Sums of the pixels found in one half of one thinning, by block."""
    place = np.flatnonzero(found)
    block, group = np.unique(search.block_of(counts.pixel[place]), return_inverse=True)
    label = np.full(len(found), -1, dtype=np.int32)
    label[place] = group
    summed, n_pixels = sum_by_label(
        counts.pointer, counts.channel, counts.count, label, len(block), counts.n_energy
    )
    of_block = np.zeros((len(block), scores.shape[1]))
    np.add.at(of_block, group, scores[place].astype(np.float64))
    return OutlierSums(
        block * search.n_halves + half, summed.astype(np.float64), n_pixels, of_block
    )


def with_outliers(
    regions: Sequence[RegionStatistics], sums: OutlierSums, search: OutlierSearch
) -> tuple[RegionStatistics, ...]:
    """The regions of every thinning, followed by those of outliers.

    Parameters
    ----------
    regions : sequence of RegionStatistics
        Without the pixels that stand out.
    sums : OutlierSums
        Of all tiles.
    search : OutlierSearch

    Returns
    -------
    regions : tuple of RegionStatistics
        A region for every block whose outliers the summed photons confirm, and one that holds the
        others, so that each photon is in one region.

    Notes
    -----
    The photons of both halves are independent. With d the direction of the scores that the pixels
    were chosen by, sum y d has mean zero if noise alone made them stand out, whatever the choice,
    and the variance sum y d^2.
    """
    direction = sums.scores @ search.directions
    spread = np.sqrt((sums.counts * direction**2).sum(axis=1))
    excess = (sums.counts * direction).sum(axis=1)
    confirmed = excess > _CONFIRMED * spread
    thinning = sums.key % search.n_halves // 2
    result = []
    for i, part in enumerate(regions):
        own = np.flatnonzero((thinning == i) & confirmed)
        rest = (thinning == i) & ~confirmed
        counts = [part.counts, sums.counts[own], sums.counts[rest].sum(axis=0, keepdims=True)]
        pixels = [part.n_pixels, sums.n_pixels[own], sums.n_pixels[rest].sum(keepdims=True)]
        result.append(RegionStatistics(np.concatenate(counts), np.concatenate(pixels)))
    return tuple(result)
