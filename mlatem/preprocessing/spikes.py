# SPDX-License-Identifier: GPL-3.0-or-later
"""Spikes: single values far above those around them in space and in energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.preprocessing.binomial import chance_of_at_least

Array = NDArray[np.float64]

#: Pixels that are read around a tile, so that what is found does not depend on it.
HALO_PX = 1
#: Channels on either side with which one is compared.
REACH = 3
#: A spike has more than so many times the mean of its surroundings: the strongest line of a single
#: pixel has at most 2.8 times the mean of the six channels around its maximum, if it is no narrower
#: than three channels (full width at half maximum).
_CONTRAST = 3.0


@dataclass(frozen=True)
class Spikes:
    """Spikes of a tile, and what stands in their places."""

    row: NDArray[np.int64]
    """Shape (n_spikes,); within the tile, as column and channel."""
    column: NDArray[np.int64]
    channel: NDArray[np.int64]
    replaced_by: NDArray[np.int64]
    """Shape (n_spikes,); the median of the pixels around, a whole number."""


def find_spikes(
    counts: NDArray[np.integer], core: tuple[slice, slice], *, least_chance: float
) -> Spikes:
    """Voxels that neither the pixel's own spectrum nor its neighbours explain.

    Parameters
    ----------
    counts : ndarray of shape (ny, nx, n_energy)
        Of a tile and the pixels around it (`HALO_PX`, less at the border of the map).
    core : tuple of slice
        The tile within `counts`.
    least_chance : float
        Chance with which noise gives a voxel like a spike; less for larger maps.

    Notes
    -----
    A voxel with n counts is compared with s counts in the m channels beside it, and with those in
    the same channel of the m pixels around: for Poisson counts whose mean is
    three times that of the surroundings, n of n + s is binomial with the probability 3 / (3 + m)
    (Przyborowski & Wilenski 1940, Biometrika 31, 313). Both chances must be too small: a line in a
    particle of one pixel has its flanks, a narrow peak that all pixels have, such as a zero loss,
    has its neighbours.
    """
    tile = counts[core]
    places = np.nonzero(tile >= least_counts(least_chance))
    row, column, channel = (place.astype(np.int64) for place in places)
    height = tile[places].astype(np.float64)
    y, x = row + core[0].start, column + core[1].start
    beside = _values(counts, (y, x, channel), _OWN)
    found = _chance(height, beside) < least_chance
    row, column, channel, y, x = (place[found] for place in (row, column, channel, y, x))
    around = _values(counts, (y, x, channel), _NEXT)
    found = _chance(height[found], around) < least_chance
    median = np.rint(np.nanmedian(around[:, found], axis=0)).astype(np.int64)
    return Spikes(row[found], column[found], channel[found], median)


def least_counts(least_chance: float) -> int:
    """Fewest counts of a spike: where all around is empty."""
    return max(2, int(np.ceil(np.log(least_chance) / np.log(_share(len(_OWN))))))


#: Steps in y, x and channel to what a voxel is compared with.
_OWN: list[tuple[int, ...]] = [(0, 0, c) for c in range(-REACH, REACH + 1) if c]
_NEXT: list[tuple[int, ...]] = [
    (y, x, 0) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)
]


def _values(
    counts: NDArray[np.integer], place: Sequence[NDArray[np.int64]], steps: list[tuple[int, ...]]
) -> Array:
    """Counts at some steps from voxels, shape (n_steps, n_voxels); NaN where the map ends."""
    values = np.full((len(steps), len(place[0])), np.nan)
    for i, step in enumerate(steps):
        there = np.array([along + s for along, s in zip(place, step, strict=True)])
        inside = np.all((there >= 0) & (there < np.array(counts.shape)[:, None]), axis=0)
        values[i, inside] = counts[tuple(there[:, inside])]
    return values


def _share(n_around: int | Array) -> float | Array:
    """Share of the counts that a voxel has of its own and those around, at the contrast."""
    return _CONTRAST / (_CONTRAST + n_around)


def _chance(height: Array, around: Array) -> Array:
    """Chance of so many counts; one where there is nothing to compare with."""
    n_around = np.count_nonzero(~np.isnan(around), axis=0).astype(np.float64)
    chance = chance_of_at_least(height, height + np.nansum(around, axis=0), _share(n_around))
    return np.where(n_around > 0, chance, 1.0)
