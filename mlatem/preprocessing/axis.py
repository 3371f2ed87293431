# SPDX-License-Identifier: GPL-3.0-or-later
"""Energy axis, resolution and line intensities of a sum spectrum, by variable projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.model import Estimate
from mlatem.model.line_names import subshell_covariance
from mlatem.preprocessing.grid import grid_start
from mlatem.preprocessing.poisson_fit import checked_spectrum, fit_counts
from mlatem.preprocessing.projection import Parameters, Projected, project
from mlatem.preprocessing.shells import Shells
from mlatem.preprocessing.split_columns import N_AXIS, Builder, SplitColumns

Array = NDArray[np.float64]

#: Standard deviations of the weak prior, as parts of the largest values that are looked for.
_PRIOR_SHARE = 0.5
_PRIOR_NOISE_EV = 15.0
#: Silicon: measurements and computations lie between 0.11 and 0.13.
_PRIOR_FANO = 0.01
_LEAST_NOISE_EV = 5.0
_LEAST_FANO = 0.05
_LEAST_FACTOR, _LARGEST_FACTOR = 0.05, 20.0
#: A parameter whose uncertainty is this part of its prior was not determined by the data.
_UNDETERMINED = 0.7
#: A correction beyond this part of the largest that is looked for was stopped by that limit.
_EDGE_SHARE = 0.99
#: Lines this far apart, each this many sigma above the noise, are needed for a gain.
LEAST_SPREAD_KEV = 3.0
_LINE_SIGMA = 10.0
#: Relative error of the model in a channel: lines, and what is added to it below 1 keV by tails,
#: chemical shifts and the energies of soft lines.
_MODEL_ERROR = 0.01
_SOFT_ERROR = 0.15
_SOFT_KEV = 1.0
_NAMES = ("offset", "gain", "noise", "Fano factor")


@dataclass(frozen=True)
class AxisFit:
    """Corrections of the energy axis: corrected = energy * (1 + gain) + offset."""

    offset_kev: float
    gain: float
    noise_ev: float
    """Electronic noise of the detector, FWHM."""
    fano: float
    offset_sigma_kev: float | None
    """None where the axis was not fitted; so for the others."""
    gain_sigma: float | None
    """None where the gain was not fitted."""
    noise_sigma_ev: float | None
    fano_sigma: float | None
    """None where the data did not determine it."""
    fitted: bool
    reason: str
    """Why the axis was or was not fitted, with the number that decided."""
    line_factors: Mapping[str, Estimate] = field(default_factory=dict)
    """On the tabulated intensities of sub-shells."""
    line_factor_prior: Mapping[str, float] = field(default_factory=dict)
    """Standard deviations of the factors' logarithms before the fit."""
    line_factor_common: Mapping[str, float] = field(default_factory=dict)
    """Part of them that is common to the sub-shells of a family."""
    covariance: Array | None = None
    """Shape (4, 4), of offset (keV), gain, noise (eV) and Fano factor; zero for what was held."""

    def corrected(self, energy: Array) -> Array:
        """The file's axis with offset and gain applied."""
        return energy * (1.0 + self.gain) + self.offset_kev

    @property
    def factors(self) -> dict[str, float]:
        """Values of the line factors."""
        return {name: factor.value for name, factor in self.line_factors.items()}


def unfitted(noise_ev: float, fano: float, reason: str) -> AxisFit:
    """The axis of the file, as it is."""
    return AxisFit(0.0, 0.0, noise_ev, fano, None, None, None, None, False, reason)


def fit_axis(
    spectrum: Array,
    energy: Array,
    build: Builder,
    *,
    noise_ev: float,
    fano: float,
    options: settings.Calibrate,
    start: AxisFit | None = None,
    fit_fano: bool = True,
) -> AxisFit:
    """Fit offset, gain, noise, Fano factor and line intensities to the sum spectrum.

    Parameters
    ----------
    spectrum : ndarray of shape (n_energy,)
        Summed counts in the window that is to be fitted.
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    build : callable
        Takes a corrected energy axis, a noise and a Fano factor, returns the dictionary split by
        sub-shell.
    noise_ev, fano : float
        What is expected of the detector.
    options : settings.Calibrate
    start : AxisFit, optional
        A fit of a similar model to start from; without it, a grid is searched.
    fit_fano : bool, optional
        False holds the Fano factor at that of the start.

    Returns
    -------
    AxisFit
        Not fitted, with the reason, where the options or too few counts forbid it, where no line
        stands out, or where the best axis lies at the edge of what the options allow.

    Raises
    ------
    InputError
        If the spectrum has no counts, NaN or negative values.

    Notes
    -----
    See `mlatem.preprocessing.projection.project` for the method. Channels have the weight
    ``1 / (1 + kappa^2 m)``: an expected number m of counts is trusted to a part kappa only, so that
    strong lines whose shape is not known well do not bend the axis. Below 1 keV kappa grows.
    """
    counts = checked_spectrum(spectrum)
    total = counts.sum()
    if not options.fit:
        return unfitted(noise_ev, fano, "calibrate.fit is false")
    if total < options.min_counts:
        return unfitted(
            noise_ev,
            fano,
            f"{total:.0f} counts in the window, fewer than {options.min_counts:.0f}",
        )
    weight = _weight(_smoothed(counts) + 1.0, energy)
    if start is None or not start.fitted:
        start = _grid_fit(counts, energy, build, weight, unfitted(noise_ev, fano, ""), options)
    prior = np.array([[noise_ev, fano], [_PRIOR_NOISE_EV, _PRIOR_FANO if fit_fano else 0.0]])
    search = _Search.begin(counts, energy, build, weight, start, prior, options)
    if not search.lines_kev.size:
        return unfitted(
            noise_ev,
            fano,
            f"no line of the elements stands {_LINE_SIGMA:.0f} sigma above the noise: check the "
            "elements",
        )
    if not search.spread_kev >= LEAST_SPREAD_KEV and start.gain != 0.0:
        start = _grid_fit(
            counts, energy, build, weight, replace(start, gain=0.0), options, with_gain=False
        )
        search = _Search.begin(counts, energy, build, weight, start, prior, options)
    solved = search.run()
    offset, gain = solved.parameter[:2]
    reach = search.parameters.upper
    if abs(offset) > _EDGE_SHARE * reach[0] or abs(gain) > _EDGE_SHARE * reach[1]:
        # The minimum lies elsewhere: neither value nor curvature at the edge means anything.
        return unfitted(noise_ev, fano, _edge_reason(offset, gain))
    return search.result(solved)


def _grid_fit(
    counts: Array,
    energy: Array,
    build: Builder,
    weight: Array,
    start: AxisFit,
    options: settings.Calibrate,
    *,
    with_gain: bool = True,
) -> AxisFit:
    """The start with the best offset and gain of a grid."""
    offset, gain = grid_start(
        counts,
        energy,
        lambda axis: build(axis, start.noise_ev, start.fano).columns,
        (_smoothed(counts) + 1.0) / weight,
        options,
        with_gain=with_gain,
    )
    return replace(start, offset_kev=offset, gain=gain)


@dataclass(frozen=True)
class _Search:
    """Parameters: offset (keV), gain, noise (eV), Fano factor, logarithms of line factors."""

    counts: Array
    columns: SplitColumns
    parameters: Parameters
    factor_columns: NDArray[np.int64]
    """Columns of the split dictionary whose factors are searched."""
    common: Array
    """Part of the prior standard deviation of each factor that its family has in common."""
    weight: Array
    lines_kev: Array
    """Energies of the lines that are seen."""

    @classmethod
    def begin(
        cls,
        counts: Array,
        energy: Array,
        build: Builder,
        weight: Array,
        start: AxisFit,
        prior: Array,
        options: settings.Calibrate,
    ) -> _Search:
        """Choose what is searched, from a fit at the start.

        `prior` is the centre and the standard deviation of noise (eV) and Fano factor, shape
        (2, 2).
        """
        axis = start.corrected(energy)
        split = build(axis, start.noise_ev, start.fano)
        shells = Shells.of_dictionary(split)
        factor = np.array([start.factors.get(key, 1.0) for key in shells.keys])
        columns = shells.joined(split.columns, factor)
        coefficient = fit_counts(counts * weight, columns * weight).coefficient
        lines = _seen_lines(shells, coefficient, factor, weight, axis)
        sigma, common = shells.factor_sigma(coefficient, factor, weight)
        chosen = np.flatnonzero(sigma) if options.line_factors else np.zeros(0, dtype=np.int64)
        has_gain = lines.size > 1 and np.ptp(lines) >= LEAST_SPREAD_KEV
        reach = np.array([options.max_offset_ev * 1e-3, options.max_gain])
        gain_sigma = _PRIOR_SHARE * reach[1] if has_gain else 0.0
        parameters = Parameters(
            start=np.array(
                [start.offset_kev, start.gain, start.noise_ev, start.fano, *np.log(factor[chosen])]
            ),
            centre=np.array([0.0, 0.0, *prior[0], *np.zeros(chosen.size)]),
            sigma=np.array([_PRIOR_SHARE * reach[0], gain_sigma, *prior[1], *sigma[chosen]]),
            lower=np.array(
                [*-reach, _LEAST_NOISE_EV, _LEAST_FANO] + [np.log(_LEAST_FACTOR)] * chosen.size
            ),
            upper=np.array([*reach, np.inf, np.inf] + [np.log(_LARGEST_FACTOR)] * chosen.size),
            correlation=_correlation(
                [shells.keys[k] for k in chosen], sigma[chosen], common[chosen]
            ),
        )
        split_columns = SplitColumns(energy, build, shells)
        return cls(counts, split_columns, parameters, chosen, common[chosen], weight, lines)

    @property
    def spread_kev(self) -> float:
        """Distance of the outermost lines that are seen."""
        return float(np.ptp(self.lines_kev)) if self.lines_kev.size else 0.0

    def columns_of(self, theta: Array) -> Array:
        """Columns of the amounts at a vector of parameters."""
        return self.columns.shells.joined(self.columns.at(theta[:N_AXIS]), self._factor(theta))

    def slopes_of(self, theta: Array, coefficient: Array) -> Array:
        """Change of the model with each free parameter, shape (n_free, n_energy)."""
        axis = theta[:N_AXIS]
        amount = self._factor(theta) * coefficient[self.columns.shells.amount]
        with_axis = amount @ self.columns.slopes(axis, self.parameters.free[:N_AXIS])
        own = amount[self.factor_columns, None] * self.columns.at(axis)[self.factor_columns]
        return np.concatenate([with_axis, own])

    def _factor(self, theta: Array) -> Array:
        factor = np.ones(len(self.columns.shells.names))
        factor[self.factor_columns] = np.exp(theta[N_AXIS:])
        return factor

    def run(self) -> Projected:
        """The best parameters; weights first from the counts, then from the model."""
        solved = self._projected(self.parameters, self.weight)
        model = solved.fit.coefficient @ self.columns_of(solved.parameter)
        return self._projected(
            replace(self.parameters, start=solved.parameter), _weight(model, self.columns.energy)
        )

    def _projected(self, parameters: Parameters, weight: Array) -> Projected:
        return project(
            self.counts, self.columns_of, parameters, weight=weight, slopes_of=self.slopes_of
        )

    def result(self, solved: Projected) -> AxisFit:
        """The fit with its uncertainties."""
        inflation = np.sqrt(max(solved.fit.deviance_per_dof, 1.0))
        sigma = inflation * np.sqrt(np.diag(solved.covariance))
        offset, gain, noise, fano = (float(value) for value in solved.parameter[:N_AXIS])
        has_gain = bool(self.parameters.free[1])
        keys = [self.columns.shells.keys[k] for k in self.factor_columns]
        factors = np.exp(solved.parameter[N_AXIS:])
        is_fano_known = sigma[3] < _UNDETERMINED * self.parameters.sigma[3]
        return AxisFit(
            offset_kev=offset,
            gain=gain,
            noise_ev=noise,
            fano=fano,
            offset_sigma_kev=float(sigma[0]),
            gain_sigma=float(sigma[1]) if has_gain else None,
            noise_sigma_ev=float(sigma[2]),
            fano_sigma=float(sigma[3]) if is_fano_known else None,
            fitted=True,
            reason=self._reason(sigma),
            line_factors={
                key: Estimate(float(factor), float(factor * s), "file")
                for key, factor, s in zip(keys, factors, sigma[N_AXIS:], strict=True)
            },
            line_factor_prior=dict(zip(keys, self.parameters.sigma[N_AXIS:].tolist(), strict=True)),
            line_factor_common=dict(zip(keys, self.common.tolist(), strict=True)),
            covariance=inflation**2 * solved.covariance[:N_AXIS, :N_AXIS],
        )

    def _reason(self, sigma: Array) -> str:
        text = f"fitted on {self.counts.sum():.0f} counts"
        if not self.parameters.free[1]:
            text += (
                f"; the stretch was not: the lines that are seen lie within {self.spread_kev:.1f} "
                f"keV, {LEAST_SPREAD_KEV:.0f} keV are needed"
            )
        names = [
            name
            for name, own, prior in zip(_NAMES, sigma, self.parameters.sigma, strict=False)
            if prior > 0 and own > _UNDETERMINED * prior
        ]
        if names:
            text += (
                f"; the data hardly determine {' and '.join(names)}, which keep what is expected"
            )
        return text


def _seen_lines(
    shells: Shells, coefficient: Array, factor: Array, weight: Array, axis: Array
) -> Array:
    """Energies of the strongest line of every sub-shell that stands above the noise."""
    parts = (factor * coefficient[shells.amount])[:, None] * shells.reference
    model = parts.sum(axis=0)
    significance = np.sqrt((parts**2 / np.maximum(model, 1e-9 * model.max())).sum(axis=1))
    is_seen = (significance > _LINE_SIGMA) & np.array([key != "" for key in shells.keys])
    return axis[np.argmax(parts[is_seen], axis=1)] if is_seen.any() else np.zeros(0)


def _correlation(keys: Sequence[str], sigma: Array, common: Array) -> Array:
    """Of the priors of all parameters; only factors on lines have errors in common."""
    correlation = np.eye(N_AXIS + len(keys))
    correlation[N_AXIS:, N_AXIS:] = subshell_covariance(keys, sigma, common) / np.outer(
        sigma, sigma
    )
    return correlation


def signed_root_deviance(counts: Array, model: Array) -> Array:
    """Residuals whose squares add up to the Poisson deviance; same shape as the counts."""
    expected = np.maximum(model, 1e-300)
    ratio = np.where(counts > 0, counts, expected) / expected
    deviance = 2.0 * (counts * np.log(ratio) - (counts - model))
    root: Array = np.sign(counts - model) * np.sqrt(np.maximum(deviance, 0.0))
    return root


def _weight(model: Array, energy: Array) -> Array:
    """Part of each channel's information that is trusted."""
    soft = _SOFT_ERROR * np.maximum(1.0 - energy / _SOFT_KEV, 0.0)
    kappa = _MODEL_ERROR + soft
    return 1.0 / (1.0 + kappa**2 * model)


def _edge_reason(offset: float, gain: float) -> str:
    return (
        f"the best axis (shift {1e3 * offset:+.0f} eV, stretch {1e4 * gain:+.0f}e-4) lies at the "
        "edge of what is looked for: check the elements, or raise calibrate.max_offset_ev and "
        "calibrate.max_gain"
    )


def _smoothed(counts: Array, n_channels: int = 9) -> Array:
    kernel = np.full(n_channels, 1.0 / n_channels)
    return np.convolve(counts, kernel, mode="same")
