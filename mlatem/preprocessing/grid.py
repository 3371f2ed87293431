# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the fit of an energy axis starts: the best point of a grid over shift and stretch."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mlatem import settings

Array = NDArray[np.float64]

#: Steps of the coarse grid; halved around its best point.
_OFFSET_STEP_EV = 8.0
_GAIN_STEP = 1e-3
_POOLED_KEV = 0.02
_FEWEST_CHANNELS = 100


def grid_start(
    counts: Array,
    energy: Array,
    columns_on: Callable[[Array], Array],
    variance: Array,
    options: settings.Calibrate,
    *,
    with_gain: bool = True,
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
    with_gain : bool, optional
        False tries no gain but zero.

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

    def misfit(point: tuple[float, float]) -> float:
        offset, gain = point
        places = (energy * (1.0 + gain) + offset - wide[0]) / step
        return _misfit(_interpolated(columns, places) * weight, target)

    offsets = _symmetric(1e-3 * options.max_offset_ev, 1e-3 * _OFFSET_STEP_EV)
    gains = _symmetric(options.max_gain if with_gain else 0.0, _GAIN_STEP)
    offset, gain = min(product(offsets, gains), key=misfit)
    return min(product(_halved(offsets, offset), _halved(gains, gain)), key=misfit)


def _symmetric(largest: float, step: float) -> list[float]:
    """Values from -largest to largest, at most a step apart, with zero among them."""
    values: list[float] = np.linspace(-largest, largest, 2 * math.ceil(largest / step) + 1).tolist()
    return values


def _halved(values: list[float], value: float) -> list[float]:
    """A value and its neighbours at half the distance of the values, within their range."""
    if len(values) == 1:
        return values
    half = 0.5 * (values[1] - values[0])
    return [value + k * half for k in (-1, 0, 1) if abs(value + k * half) <= values[-1] + 1e-12]


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
