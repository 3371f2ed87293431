# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a dataset on its sum spectrum: axis, intensities, composition, absorption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Calibration, DetectorAxis, Dictionary, Estimate, FactorTable
from mlatem.preprocessing import judgement
from mlatem.preprocessing.axis import AxisFit, fit_axis, unfitted
from mlatem.preprocessing.detectors import NO_DETECTORS, DetectorSpectra, fit_detectors
from mlatem.preprocessing.poisson_fit import CountsFit, checked_spectrum, fit_counts
from mlatem.preprocessing.window import fitted_window

Array = NDArray[np.float64]

_MAX_ROUNDS = 6
_COMPOSITION_TOLERANCE = 1e-3
#: Sum peaks are in the model where they stand this many sigma above zero.
_PILE_UP_SIGMA = 3.0


class Builder(Protocol):
    """Builds the dictionary of a dataset; physics comes in here."""

    def __call__(
        self,
        energy: Array,
        *,
        noise_ev: float,
        fano: float,
        mass_thickness_kg_m2: float,
        composition: Mapping[str, float],
        line_factors: Mapping[str, float] | None = None,
        pile_up: Array | None = None,
        split: str = "element",
    ) -> Dictionary:
        """Columns on an axis (keV); the options are those of `edxs_dictionary`."""


@dataclass(frozen=True)
class Known:
    """What is known of a dataset before its sum spectrum is looked at."""

    elements: tuple[str, ...]
    system_elements: tuple[str, ...]
    beam_energy_kev: Estimate
    take_off_angle_deg: Estimate
    noise_ev: Estimate
    fano: Estimate
    n_pixels: int
    take_off_angles_deg: tuple[float, ...]
    """Of every detector; `take_off_angle_deg` is their effective one."""
    thickness_nm: Estimate | None = None
    """None leaves absorption out."""
    factor_table: FactorTable | None = None
    """Factors in place of the computed intensities of lines."""
    detectors: DetectorSpectra = NO_DETECTORS
    """The spectra of several detectors, where they are apart."""


@dataclass(frozen=True)
class Physics:
    """What the calibration needs to know of physics, as functions."""

    build: Builder
    dictionary: Callable[[Array, Calibration], Dictionary]
    """From the axis of the file and a calibration, in its window."""
    mass_thickness: Callable[[Mapping[str, float]], Estimate]
    """From the mean composition, kg/m2."""
    resolution_ev: Callable[[float, float], float]
    """FWHM at Mn Ka from noise (eV) and Fano factor."""


def calibrate(
    spectrum: Array,
    energy: Array,
    known: Known,
    physics: Physics,
    *,
    edxs: settings.Edxs,
    options: settings.Calibrate,
) -> Calibration:
    """Calibrate a dataset on its sum spectrum.

    Parameters
    ----------
    spectrum : ndarray of shape (n_energy,)
        Sum of all spectra, on the whole axis.
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    known : Known
    physics : Physics
    edxs : settings.Edxs
    options : settings.Calibrate

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If no element is named, the window is empty, or the spectrum cannot be used.

    Notes
    -----
    Absorption needs the composition and the composition absorption: they are iterated until no
    atomic fraction changes by more than 1e-3 (Cliff and Lorimer 1975 corrected in the same way),
    at most six rounds, and the axis is fitted again with the absorption in place.
    """
    if not known.elements:
        raise InputError(
            "no elements are named: list the specimen's elements in the column `elements` of the "
            "sample sheet"
        )
    counts = checked_spectrum(spectrum)
    composition = {element: 1.0 / len(known.elements) for element in known.elements}
    window, window_decision = fitted_window(
        counts,
        energy,
        known.beam_energy_kev.value,
        lambda axis: physics.build(
            axis,
            noise_ev=known.noise_ev.value,
            fano=known.fano.value,
            mass_thickness_kg_m2=0.0,
            composition=composition,
        ),
        edxs,
    )
    axis = unfitted(known.noise_ev.value, known.fano.value, "")
    calibration = _record(known, axis, composition, physics, window, counts)
    for _ in range(1 if known.thickness_nm is None else 2):
        axis = _fitted_axis(counts, energy, calibration, known, physics, options, axis)
        calibration = replace(
            _record(known, axis, calibration.composition, physics, window, counts),
            pile_up=_possible_pile_up(
                counts[window], axis.corrected(energy[window]), axis, options
            ),
        )
        calibration, fit = _iterated(counts, energy, calibration, physics)
    pooled = fit
    if axis.fitted and options.per_detector and len(known.detectors) > 1:
        detectors = _detector_axes(energy, calibration, known, physics, options, axis)
        calibration, fit = _iterated(
            counts, energy, replace(calibration, detectors=detectors), physics
        )
    calibration = replace(calibration, deviance_per_dof=fit.deviance_per_dof)
    return replace(
        calibration,
        decisions=(
            window_decision,
            judgement.axis_decision(axis),
            *judgement.factors_decision(axis),
            *judgement.detectors_decision(calibration, pooled),
            judgement.absorption_decision(known.thickness_nm, calibration.mass_thickness_kg_m2),
        ),
        verdicts=judgement.verdicts(
            counts[window], energy[window], known.n_pixels, axis, fit.deviance_per_dof
        ),
    )


def _record(
    known: Known,
    axis: AxisFit,
    composition: Mapping[str, float],
    physics: Physics,
    window: slice,
    counts: Array,
) -> Calibration:
    """The calibration with an axis; the fit that goes with it is still to be made."""
    correlation = None
    if axis.covariance is not None and axis.gain_sigma is not None:
        sigma = np.sqrt(np.diag(axis.covariance))
        correlation = float(axis.covariance[0, 1] / (sigma[0] * sigma[1]))
    return Calibration(
        energy_offset_kev=_estimate(axis.offset_kev, axis.offset_sigma_kev, axis),
        energy_gain=_estimate(axis.gain, axis.gain_sigma, axis),
        noise_ev=_estimate(axis.noise_ev, axis.noise_sigma_ev, axis, known.noise_ev),
        fano=_estimate(axis.fano, axis.fano_sigma, axis, known.fano),
        beam_energy_kev=known.beam_energy_kev,
        take_off_angle_deg=known.take_off_angle_deg,
        mass_thickness_kg_m2=physics.mass_thickness(composition),
        composition=composition,
        elements=known.elements,
        system_elements=known.system_elements,
        first_channel=window.start,
        stop_channel=window.stop,
        deviance_per_dof=float("nan"),
        line_factors=axis.line_factors,
        line_factor_prior=axis.line_factor_prior,
        line_factor_common=axis.line_factor_common,
        offset_gain_correlation=correlation,
        resolution_ev=_resolution(axis, physics, known),
        take_off_angles_deg=known.take_off_angles_deg,
        factor_table=known.factor_table,
        spectrum=tuple(float(n) for n in counts),
    )


def _resolution(axis: AxisFit, physics: Physics, known: Known) -> Estimate:
    """FWHM at Mn Ka; noise and Fano factor determine it together better than each."""
    value = physics.resolution_ev(axis.noise_ev, axis.fano)
    if axis.covariance is None:
        return Estimate(value, None, known.noise_ev.origin)
    step = np.array([0.1, 1e-4])
    slope = np.array(
        [
            physics.resolution_ev(axis.noise_ev + step[0], axis.fano) - value,
            physics.resolution_ev(axis.noise_ev, axis.fano + step[1]) - value,
        ]
    )
    slope /= step
    variance = float(slope @ axis.covariance[2:, 2:] @ slope)
    return Estimate(value, float(np.sqrt(max(variance, 0.0))), "file")


def _fitted_axis(
    counts: Array,
    energy: Array,
    calibration: Calibration,
    known: Known,
    physics: Physics,
    options: settings.Calibrate,
    start: AxisFit,
) -> AxisFit:
    window = calibration.window
    measured = counts[window]

    def build(axis: Array, noise_ev: float, fano: float) -> Dictionary:
        return physics.build(
            axis,
            noise_ev=noise_ev,
            fano=fano,
            mass_thickness_kg_m2=calibration.mass_thickness_kg_m2.value,
            composition=calibration.composition,
            pile_up=_pile_up(measured, axis, options),
            split="shell",
        )

    return fit_axis(
        measured,
        energy[window],
        build,
        noise_ev=known.noise_ev.value,
        fano=known.fano.value,
        options=options,
        start=start,
    )


def _pile_up(measured: Array, axis: Array, options: settings.Calibrate) -> Array | None:
    """What sum peaks are made of; nothing on the axis of the grid, or where there can be none."""
    is_reached = axis[-1] > 2.0 * axis[0]
    if axis.size != measured.size or measured.sum() < options.min_counts or not is_reached:
        return None
    return measured


def _possible_pile_up(
    measured: Array, corrected: Array, axis: AxisFit, options: settings.Calibrate
) -> Estimate | None:
    """Sum peaks that are still to be measured; nothing where there can be none."""
    if not axis.fitted or _pile_up(measured, corrected, options) is None:
        return None
    return Estimate(0.0, None, "default")


def _detector_axes(
    energy: Array,
    calibration: Calibration,
    known: Known,
    physics: Physics,
    options: settings.Calibrate,
    axis: AxisFit,
) -> tuple[DetectorAxis, ...]:

    def build(own: Array, noise_ev: float, fano: float) -> Dictionary:
        return physics.build(
            own,
            noise_ev=noise_ev,
            fano=fano,
            mass_thickness_kg_m2=calibration.mass_thickness_kg_m2.value,
            composition=calibration.composition,
            line_factors=calibration.factors,
        )

    return fit_detectors(
        known.detectors, energy, calibration.window, build, start=axis, options=options
    )


def _iterated(
    counts: Array, energy: Array, calibration: Calibration, physics: Physics
) -> tuple[Calibration, CountsFit]:
    """Mean composition, mass thickness and sum peaks that agree with each other."""
    measured = counts[calibration.window]
    for _ in range(_MAX_ROUNDS):
        thickness = physics.mass_thickness(calibration.composition)
        calibration = replace(calibration, mass_thickness_kg_m2=thickness)
        dictionary = physics.dictionary(energy, calibration)
        fit = fit_counts(measured, dictionary.columns)
        if calibration.pile_up is not None:
            pile_up = _seen_pile_up(dictionary, fit, measured)
            calibration = replace(calibration, pile_up=pile_up)
            if pile_up is None:
                dictionary = physics.dictionary(energy, calibration)
                fit = fit_counts(measured, dictionary.columns)
        fitted = _composition(dictionary, fit.coefficient)
        changed = max(
            abs(fitted.get(e, 0.0) - share) for e, share in calibration.composition.items()
        )
        calibration = replace(calibration, composition=fitted)
        if thickness.value == 0 or changed < _COMPOSITION_TOLERANCE:
            break
    return calibration, fit


def _seen_pile_up(dictionary: Dictionary, fit: CountsFit, measured: Array) -> Estimate | None:
    """Part of the counts that are sum peaks, where it is more than noise."""
    index = dictionary.names.index("pile-up")
    amount, sigma = float(fit.coefficient[index]), float(fit.sigma[index])
    if amount < _PILE_UP_SIGMA * sigma:
        return None
    total = float(measured.sum())
    return Estimate(amount / total, sigma / total, "file")


def _composition(dictionary: Dictionary, coefficient: Array) -> dict[str, float]:
    """Atomic fractions from the coefficients of the quantified columns."""
    amounts: dict[str, float] = {}
    for element, amount, quantified in zip(
        dictionary.elements, coefficient, dictionary.quantified, strict=True
    ):
        if quantified:
            amounts[element] = amounts.get(element, 0.0) + float(amount)
    total = sum(amounts.values())
    if not total > 0:
        raise InputError(
            f"none of the elements {', '.join(amounts)} is seen in the sum spectrum: check the "
            "column `elements` of the sample sheet and the energy axis"
        )
    return {element: amount / total for element, amount in amounts.items()}


def _estimate(
    value: float, sigma: float | None, axis: AxisFit, otherwise: Estimate | None = None
) -> Estimate:
    """What was fitted; what was held, or what the data leave open, keeps its origin."""
    if axis.fitted and sigma is not None:
        return Estimate(value, sigma, "file")
    origin = "default" if otherwise is None else otherwise.origin
    return Estimate(value, None, origin)
