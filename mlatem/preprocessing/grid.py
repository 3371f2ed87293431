# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the fit of an energy axis starts: the best point of a grid over shift and stretch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mlatem import settings

Array = NDArray[np.float64]

_OFFSET_STEP_EV = 4.0
_POOLED_KEV = 0.02
_FEWEST_CHANNELS = 100


def grid_start(
    counts: Array,
    energy: Array,
    columns_on: Callable[[Array], Array],
    variance: Array,
    options: settings.Calibrate,
    *,
    gains: int = 17,
) -> tuple[float, float]:
    """Offset (keV) and gain at which columns explain a spectrum best.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    columns_on : callable
        Columns on any axis; each sub-shell has its own, so that wrong intensities do not mislead.
    variance : ndarray of shape (n_energy,)
        Of the counts, with what the model is not trusted.
    options : settings.Calibrate
    gains : int, optional
        Number of gains that are tried; 1 tries none but zero.

    Notes
    -----
    Weighted least squares with non-negative coefficients at every point, on columns that are
    interpolated rather than built anew, with channels pooled to about 20 eV.
    """
    energy, counts, weight = _pooled(energy, counts, variance)
    margin = options.max_offset_ev * 1e-3 + options.max_gain * energy[-1]
    step = energy[1] - energy[0]
    n_extra = int(np.ceil(margin / step))
    below = max(min(n_extra, int((energy[0] - step) // step)), 0)
    wide = energy[0] + step * np.arange(-below, energy.size + n_extra)
    columns = columns_on(wide)
    target = counts * weight
    n_offsets = 2 * int(np.ceil(options.max_offset_ev / _OFFSET_STEP_EV)) + 1
    largest = options.max_gain if gains > 1 else 0.0
    stretches = np.linspace(-largest, largest, gains)
    best = (np.inf, 0.0, 0.0)
    for offset in np.linspace(-options.max_offset_ev, options.max_offset_ev, n_offsets) * 1e-3:
        for gain in stretches:
            places = (energy * (1.0 + gain) + offset - wide[0]) / step
            shifted = _interpolated(columns, places) * weight
            best = min(best, (_misfit(shifted, target), float(offset), float(gain)))
    return best[1], best[2]


def _pooled(energy: Array, counts: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Centres, counts and inverse standard deviations of channels of about 20 eV."""
    n_pooled = max(int(_POOLED_KEV / (energy[1] - energy[0])), 1)
    if energy.size < n_pooled * _FEWEST_CHANNELS:
        n_pooled = 1
    n_channels = energy.size // n_pooled

    def groups(values: Array) -> Array:
        return values[: n_channels * n_pooled].reshape(n_channels, n_pooled)

    deviation = np.sqrt(groups(variance).sum(axis=1))
    return groups(energy).mean(axis=1), groups(counts).sum(axis=1), 1.0 / deviation


def _interpolated(columns: Array, places: Array) -> Array:
    """Columns at fractional channels, linearly."""
    lower = np.clip(places.astype(np.int64), 0, columns.shape[1] - 2)
    share = np.clip(places - lower, 0.0, 1.0)
    values: Array = columns[:, lower] * (1.0 - share) + columns[:, lower + 1] * share
    return values


def _misfit(columns: Array, target: Array) -> float:
    """Least squares of non-negative coefficients, by the normal equations."""
    norm = np.linalg.norm(columns, axis=1)
    used = norm > 0
    unit = columns[used] / norm[used, None]
    gram = unit @ unit.T + 1e-9 * np.eye(len(unit))
    factor = np.linalg.cholesky(gram)
    projected = np.linalg.solve(factor, unit @ target)
    _, rest = nnls(factor.T, projected)
    return float(rest**2 - projected @ projected)
