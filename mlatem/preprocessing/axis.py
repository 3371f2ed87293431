# SPDX-License-Identifier: GPL-3.0-or-later
"""Energy axis and resolution of a sum spectrum, by variable projection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from mlatem import settings
from mlatem.model import Dictionary
from mlatem.preprocessing.poisson_fit import CountsFit, checked_spectrum, fit_counts

Array = NDArray[np.float64]

#: Builds the dictionary on an energy axis (keV) for a detector's noise (FWHM, eV).
Builder = Callable[[Array, float], Dictionary]

#: Standard deviations of the weak prior, as parts of the largest values that are looked for.
_PRIOR_SHARE = 0.5
_PRIOR_NOISE_EV = 15.0
_LEAST_NOISE_EV = 5.0
_OFFSET_STEP_EV = 4.0
_GAIN_STEPS = 17
#: A parameter whose uncertainty is this part of its prior was not determined by the data.
_UNDETERMINED = 0.7
#: A correction beyond this part of the largest that is looked for was stopped by that limit.
_EDGE_SHARE = 0.99
#: Units in which the parameters are of order one: keV, relative, eV.
_SCALE = np.array([1e-3, 1e-4, 1.0])


@dataclass(frozen=True)
class AxisFit:
    """Corrections of the energy axis: corrected = energy * (1 + gain) + offset."""

    offset_kev: float
    gain: float
    noise_ev: float
    """Electronic noise of the detector, FWHM."""
    offset_sigma_kev: float | None
    """None where the axis was not fitted; so for the others."""
    gain_sigma: float | None
    noise_sigma_ev: float | None
    fitted: bool
    reason: str
    """Why the axis was or was not fitted, with the number that decided."""


def unfitted(noise_ev: float, reason: str) -> AxisFit:
    """The axis of the file, as it is."""
    return AxisFit(0.0, 0.0, noise_ev, None, None, None, False, reason)


def fit_axis(
    spectrum: Array,
    energy: Array,
    build: Builder,
    *,
    noise_ev: float,
    options: settings.Calibrate,
) -> AxisFit:
    """Fit offset, gain and noise to the sum spectrum.

    Parameters
    ----------
    spectrum : ndarray of shape (n_energy,)
        Summed counts in the window that is to be fitted.
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    build : callable
        Takes a corrected energy axis and a noise, returns the dictionary.
    noise_ev : float
        Where the noise starts, FWHM.
    options : settings.Calibrate

    Returns
    -------
    AxisFit
        Not fitted, with the reason, where the options or too few counts forbid it, or where the
        best axis lies at the edge of what the options allow.

    Raises
    ------
    InputError
        If the spectrum has no counts, NaN or negative values.

    Notes
    -----
    Variable projection (Golub and Pereyra 1973): the coefficients are the non-negative Poisson
    fit for every trial of the three parameters, which minimize the deviance and weak Gaussian
    priors. A grid over offset and gain, on columns that are interpolated rather than rebuilt and
    weighted least squares, finds the start.
    """
    counts = checked_spectrum(spectrum)
    if not options.fit:
        return unfitted(noise_ev, "calibrate.fit is false")
    if counts.sum() < options.min_counts:
        return unfitted(
            noise_ev,
            f"{counts.sum():.0f} counts in the window, fewer than {options.min_counts:.0f}",
        )
    start = _grid_start(counts, energy, build, noise_ev, options)
    prior = np.array(
        [
            _PRIOR_SHARE * options.max_offset_ev * 1e-3,
            _PRIOR_SHARE * options.max_gain,
            _PRIOR_NOISE_EV,
        ]
    )
    centre = np.array([0.0, 0.0, noise_ev])
    last: list[CountsFit] = []

    def residuals(scaled: Array) -> Array:
        offset, gain, noise = scaled * _SCALE
        columns = build(energy * (1.0 + gain) + offset, noise).columns
        fit = fit_counts(counts, columns, start=last[-1].coefficient if last else None)
        last[:] = [fit]
        return np.append(
            signed_root_deviance(counts, fit.model), (scaled * _SCALE - centre) / prior
        )

    reach = np.array([options.max_offset_ev * 1e-3, options.max_gain, np.inf])
    solved = least_squares(
        residuals,
        np.array([*start, noise_ev]) / _SCALE,
        bounds=(np.array([-reach[0], -reach[1], _LEAST_NOISE_EV]) / _SCALE, reach / _SCALE),
        diff_step=1e-2,
        x_scale="jac",
        xtol=1e-4,
        ftol=1e-8,
        max_nfev=20,
    )
    offset, gain, noise = solved.x * _SCALE
    if abs(offset) > _EDGE_SHARE * reach[0] or abs(gain) > _EDGE_SHARE * reach[1]:
        # The minimum lies elsewhere: neither value nor curvature at the edge means anything.
        return unfitted(noise_ev, _edge_reason(offset, gain))
    sigma = np.sqrt(np.diag(np.linalg.inv(solved.jac.T @ solved.jac))) * _SCALE
    return AxisFit(
        offset_kev=float(offset),
        gain=float(gain),
        noise_ev=float(noise),
        offset_sigma_kev=float(sigma[0]),
        gain_sigma=float(sigma[1]),
        noise_sigma_ev=float(sigma[2]),
        fitted=True,
        reason=_reason(counts.sum(), sigma / prior),
    )


def signed_root_deviance(counts: Array, model: Array) -> Array:
    """Residuals whose squares add up to the Poisson deviance; same shape as the counts."""
    expected = np.maximum(model, 1e-300)
    ratio = np.where(counts > 0, counts, expected) / expected
    deviance = 2.0 * (counts * np.log(ratio) - (counts - model))
    root: Array = np.sign(counts - model) * np.sqrt(np.maximum(deviance, 0.0))
    return root


def _edge_reason(offset: float, gain: float) -> str:
    return (
        f"the best axis (shift {1e3 * offset:+.0f} eV, stretch {1e4 * gain:+.0f}e-4) lies at the "
        "edge of what is looked for: check the elements, or raise calibrate.max_offset_ev and "
        "calibrate.max_gain"
    )


def _reason(total: float, shares: Array) -> str:
    names = [
        name
        for name, share in zip(("offset", "gain", "noise"), shares, strict=True)
        if share > _UNDETERMINED
    ]
    if names:
        return (
            f"fitted on {total:.0f} counts; the data hardly determine {' and '.join(names)}: "
            "two strong lines some keV apart are missing"
        )
    return f"fitted on {total:.0f} counts"


def _grid_start(
    counts: Array, energy: Array, build: Builder, noise_ev: float, options: settings.Calibrate
) -> tuple[float, float]:
    """Offset (keV) and gain of the best point of a grid."""
    margin = options.max_offset_ev * 1e-3 + options.max_gain * energy[-1]
    step = energy[1] - energy[0]
    n_extra = int(np.ceil(margin / step))
    below = min(n_extra, int((energy[0] - step) // step))
    wide = energy[0] + step * np.arange(-below, energy.size + n_extra)
    columns = build(wide, noise_ev).columns
    weight = 1.0 / np.sqrt(_smoothed(counts) + 1.0)
    target = counts * weight
    n_offsets = 2 * int(np.ceil(options.max_offset_ev / _OFFSET_STEP_EV)) + 1
    best = (np.inf, 0.0, 0.0)
    for offset in np.linspace(-options.max_offset_ev, options.max_offset_ev, n_offsets) * 1e-3:
        for gain in np.linspace(-options.max_gain, options.max_gain, _GAIN_STEPS):
            places = (energy * (1.0 + gain) + offset - wide[0]) / step
            shifted = _interpolated(columns, places) * weight
            best = min(best, (_misfit(shifted, target), float(offset), float(gain)))
    return best[1], best[2]


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


def _smoothed(counts: Array, n_channels: int = 9) -> Array:
    kernel = np.full(n_channels, 1.0 / n_channels)
    return np.convolve(counts, kernel, mode="same")
