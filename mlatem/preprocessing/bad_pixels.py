# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels whose counts no neighbour confirms: dead ones and hot ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.preprocessing.binomial import chance_of_at_least

#: Pixels of a whole map that noise alone gives.
FALSE_ALARMS = 0.01
#: A hot pixel has more than so many times the counts of its neighbours.
_CONTRAST = 3.0
#: Among the eight neighbours, the rank from below (above) of the one that must be bright (that
#: counts as the brightest): two others may be bad themselves, and so a line of dead pixels is found
#: while at a straight edge of the specimen, with three bright neighbours, none is.
_RANK = 3


def dead_pixels(
    totals: NDArray[np.integer], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Pixels without any count amid bright neighbours.

    Parameters
    ----------
    totals : ndarray of shape (ny, nx)
        Counts of every pixel.
    mask : ndarray of shape (ny, nx), bool, optional
        Pixels that are left out anyway: they are no neighbours.

    Returns
    -------
    dead : ndarray of shape (ny, nx), bool

    Notes
    -----
    A Poisson variable of mean m is zero with probability exp(-m). For m stands the third lowest of
    the eight neighbours, less at the border of the map, so that the mean is rather too low. A hole
    of the specimen is no dead pixel unless it is as thin as one.
    """
    around = _neighbours(totals, mask)
    n_known = np.count_nonzero(~np.isnan(around), axis=0)
    lowest = np.sort(around, axis=0)  # NaN last
    expected = _ranked(lowest, n_known)
    chance = np.exp(-np.where(np.isnan(expected), 0.0, expected))
    return np.asarray((totals == 0) & (chance < FALSE_ALARMS / totals.size) & _used(totals, mask))


def hot_pixels(
    totals: NDArray[np.integer], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Pixels with far more counts than their neighbours.

    Parameters
    ----------
    totals, mask
        As for `dead_pixels`.

    Returns
    -------
    hot : ndarray of shape (ny, nx), bool

    Notes
    -----
    Pixels with n counts whose third brightest neighbour has s, where n of n + s is beyond chance
    for a pixel of three times that brightness (exact test of two Poisson means, Przyborowski and
    Wilenski 1940, Biometrika 31, 313). A bright particle of one or two pixels looks alike.
    """
    around = _neighbours(totals, mask)
    n_known = np.count_nonzero(~np.isnan(around), axis=0)
    brightest = -np.sort(-around, axis=0)
    other = np.nan_to_num(_ranked(brightest, n_known))
    limit = FALSE_ALARMS / totals.size
    together = totals + other
    chance = chance_of_at_least(totals, together, _CONTRAST / (1.0 + _CONTRAST))
    return np.asarray((chance < limit) & _used(totals, mask))


def _used(totals: NDArray[np.integer], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.ones(totals.shape, dtype=bool) if mask is None else ~mask


def _neighbours(totals: NDArray[np.integer], mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Counts of the eight neighbours, shape (8, ny, nx); NaN off the map and where masked."""
    values = np.where(_used(totals, mask), totals, np.nan)
    around = np.pad(values.astype(np.float64), 1, constant_values=np.nan)
    ny, nx = totals.shape
    places = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return np.stack([around[y : y + ny, x : x + nx] for y, x in places])


def _ranked(ordered: NDArray[np.float64], n_known: NDArray[np.integer]) -> NDArray[np.float64]:
    """The third of eight neighbours in order, the second of five, the first of three."""
    rank = np.maximum(np.rint(_RANK * n_known / 8.0).astype(int), 1) - 1
    return np.asarray(np.take_along_axis(ordered, rank[None], axis=0)[0])
