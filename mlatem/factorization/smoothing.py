# SPDX-License-Identifier: GPL-3.0-or-later
"""Abundances averaged over neighbours of the same composition and thickness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.special import chdtri

from mlatem.kernels import information
from mlatem.kernels.adaptive import average_alike, bounded

#: Neighbourhoods of the successive rounds, pixels.
_RADII = (1.5, 3.0, 6.0)
#: Two pixels of the same abundances differ by more with this probability.
_SIGNIFICANCE = 0.05
#: Pixels around a band on which its smoothed values depend.
HALO = 1 + sum(int(np.ceil(radius)) - 1 for radius in _RADII)
#: Pixels that are smoothed at once: bounds the memory.
_BAND_PIXELS = 2**14
#: Fewer rows at once cost more in their halo than they save.
_LEAST_ROWS = 4 * HALO


def smooth_abundances(
    unbounded: NDArray[np.float32],
    covariance: NDArray[np.float32],
    spectrum: NDArray[np.float64],
    *,
    band_rows: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32] | None:
    """Abundances averaged over similar neighbours; edges and single pixels that stand out stay.

    Parameters
    ----------
    unbounded : ndarray of shape (ny, nx, n_phases)
        Estimates without a bound at zero; see `abundances.PixelAbundances`.
    covariance : ndarray of shape (ny, nx, n_phases, n_phases)
        NaN in pixels without counts.
    spectrum : ndarray of shape (n_phases, n_energy)
        Phase spectra that add up to one.
    band_rows : int, optional
        Rows that are worked on at a time; changes memory, not values.
    mask : ndarray of shape (ny, nx), bool, optional
        True in pixels that are left out, as if the map ended there; 0 in the result.

    Returns
    -------
    smooth : ndarray of shape (ny, nx, n_phases) or None
        Not negative. None where the spectra cannot be told apart.

    Notes
    -----
    Propagation and separation (Polzehl & Spokoiny 2006): three rounds over ever larger
    neighbourhoods, of which a pixel takes part as far as its estimate of the round before differs
    by no more than noise explains. How strongly a place is smoothed thus follows from its counts.
    No strength is chosen. The covariance of a pixel follows its own noise: it is averaged over the
    eight pixels around. The values of a band do not depend on how the map is cut into bands.
    """
    ny, nx, n_phases = unbounded.shape
    grouped = information.alike_channels(spectrum)
    least = information.fisher_information(grouped, np.ones((1, n_phases), dtype=np.float32))
    empty = information.covariance(least)[0]
    if not np.all(np.isfinite(empty)):
        return None
    smooth = np.empty_like(unbounded)
    n_rows = band_rows or max(_BAND_PIXELS // nx, _LEAST_ROWS)
    for start in range(0, ny, n_rows):
        stop = min(start + n_rows, ny)
        first, last = max(start - HALO, 0), min(stop + HALO, ny)
        rows = slice(first, last)
        if mask is not None and mask[rows].all():
            smooth[start:stop] = 0.0
            continue
        if mask is None:
            band = _smooth_band(unbounded[rows], covariance[rows], empty)
        else:
            # As at the end of the map, the outermost pixels are repeated outwards.
            y, x = distance_transform_edt(mask[rows], return_distances=False, return_indices=True)
            nearby = covariance[rows][y, x]
            band = _smooth_band(unbounded[rows], nearby, empty, used=~mask[rows])
        smooth[start:stop] = band[start - first : stop - first]
    return smooth


def _smooth_band(
    unbounded: NDArray[np.float32],
    covariance: NDArray[np.float32],
    empty: NDArray[np.float64],
    used: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """All rounds on some rows; a pixel without counts is as well known as one with few."""
    n_phases = unbounded.shape[-1]
    known = np.isfinite(covariance[..., 0, 0])
    averaged = _mean_of_nine(np.where(known[..., None, None], covariance, empty))
    precise = information.covariance(averaged.reshape(-1, n_phases, n_phases))
    precise = precise.reshape(averaged.shape)
    precise = np.where(np.isfinite(precise), precise, np.linalg.inv(empty))
    raw = unbounded.astype(np.float64)
    own = precise if used is None else precise * used[..., None, None]
    score = (own @ raw[..., None])[..., 0]
    limit = 2.0 * float(chdtri(n_phases, _SIGNIFICANCE))
    value, reached = raw, precise
    for radius in _RADII:
        value, reached = average_alike(value, reached, score, own, radius, limit)
        if used is not None:
            value, reached = np.where(used[..., None], value, 0.0), _where_used(reached, used)
    result = bounded(value, reached)
    return result if used is None else result * used[..., None]


def _where_used(reached: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Information with the unit matrix in pixels that are left out, which have none."""
    unit = np.eye(reached.shape[-1])
    return np.where(used[..., None, None], reached, unit)


def _mean_of_nine(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over each pixel and those around it; the outermost pixels are repeated outwards."""
    ny, nx = maps.shape[:2]
    around = np.pad(maps, ((1, 1), (1, 1), (0, 0), (0, 0)), mode="edge")
    total = np.zeros_like(maps)
    for y in range(3):
        for x in range(3):
            total += around[y : y + ny, x : x + nx]
    return total / 9.0
