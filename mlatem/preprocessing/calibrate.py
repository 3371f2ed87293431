# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a dataset on its sum spectrum: window, axis, mean composition, absorption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Calibration, Decision, Dictionary, Estimate, Verdict
from mlatem.preprocessing.axis import AxisFit, fit_axis, unfitted
from mlatem.preprocessing.poisson_fit import CountsFit, checked_spectrum, fit_counts

Array = NDArray[np.float64]

#: Builds the dictionary from an energy axis (keV), a noise (FWHM, eV), a mass thickness (kg/m2)
#: and a mean composition (atomic fractions).
Builder = Callable[[Array, float, float, Mapping[str, float]], Dictionary]

_STAGE = "calibrate"
_MAX_ROUNDS = 6
_COMPOSITION_TOLERANCE = 1e-3
#: Share of the counts that may lie above the end of the fitted window.
_TAIL_SHARE = 1e-3
_LINE_MARGIN_KEV = 0.5
_FEWEST_COUNTS_PER_PIXEL = 10.0
_DEVIANCE_LIMIT = 2.0
_SHIFT_LIMIT_EV = 20.0


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
    thickness_nm: Estimate | None = None
    """None leaves absorption out."""


def calibrate(
    spectrum: Array,
    energy: Array,
    known: Known,
    build: Builder,
    mass_thickness: Callable[[Mapping[str, float]], Estimate],
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
    build : callable
        Builds the dictionary; physics comes in here.
    mass_thickness : callable
        From the mean composition to the mass thickness, kg/m2.
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
    at most six rounds.
    """
    if not known.elements:
        raise InputError(
            "no elements are named: list the specimen's elements in the column `elements` of the "
            "sample sheet"
        )
    counts = checked_spectrum(spectrum)
    composition = {element: 1.0 / len(known.elements) for element in known.elements}
    noise = known.noise_ev.value
    first, stop, window_decision = _window(counts, energy, known, build, composition, edxs)
    window = slice(first, stop)
    if not counts[window].sum() > 0:
        raise InputError(
            f"no counts between {energy[first]:.2f} and {energy[stop - 1]:.2f} keV: check the "
            "energy axis, or edxs.energy_min_kev and edxs.energy_max_kev"
        )
    axis = unfitted(noise, "")
    thickness = mass_thickness(composition)
    for fit_the_axis in (True, known.thickness_nm is not None):
        if fit_the_axis:
            axis = fit_axis(
                counts[window],
                energy[window],
                lambda e, n: build(e, n, thickness.value, composition),  # noqa: B023
                noise_ev=noise,
                options=options,
            )
        corrected = energy[window] * (1.0 + axis.gain) + axis.offset_kev
        composition, thickness, fit = _iterated(
            counts[window], corrected, axis.noise_ev, composition, build, mass_thickness
        )
    decisions = (window_decision, _axis_decision(axis), _absorption_decision(known, thickness))
    return Calibration(
        energy_offset_kev=_estimate(axis.offset_kev, axis.offset_sigma_kev, axis),
        energy_gain=_estimate(axis.gain, axis.gain_sigma, axis),
        noise_ev=_estimate(axis.noise_ev, axis.noise_sigma_ev, axis, known.noise_ev),
        fano=known.fano,
        beam_energy_kev=known.beam_energy_kev,
        take_off_angle_deg=known.take_off_angle_deg,
        mass_thickness_kg_m2=thickness,
        composition=composition,
        elements=known.elements,
        system_elements=known.system_elements,
        first_channel=first,
        stop_channel=stop,
        deviance_per_dof=fit.deviance_per_dof,
        decisions=decisions,
        verdicts=_verdicts(counts[window], energy[window], known, axis, fit),
    )


def _iterated(
    counts: Array,
    energy: Array,
    noise_ev: float,
    composition: dict[str, float],
    build: Builder,
    mass_thickness: Callable[[Mapping[str, float]], Estimate],
) -> tuple[dict[str, float], Estimate, CountsFit]:
    """Mean composition and mass thickness that agree with each other."""
    for _ in range(_MAX_ROUNDS):
        thickness = mass_thickness(composition)
        dictionary = build(energy, noise_ev, thickness.value, composition)
        fit = fit_counts(counts, dictionary.columns)
        fitted = _composition(dictionary, fit.coefficient)
        changed = max(abs(fitted.get(e, 0.0) - share) for e, share in composition.items())
        composition = fitted
        if thickness.value == 0 or changed < _COMPOSITION_TOLERANCE:
            break
    return composition, thickness, fit


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


def _window(
    counts: Array,
    energy: Array,
    known: Known,
    build: Builder,
    composition: Mapping[str, float],
    edxs: settings.Edxs,
) -> tuple[int, int, Decision]:
    """First and stop channel of the fitted window."""
    first = int(np.searchsorted(energy, edxs.energy_min_kev))
    end = min(edxs.energy_max_kev or np.inf, known.beam_energy_kev.value)
    stop = int(np.searchsorted(energy, end, side="right"))
    if stop - first < 2:
        raise InputError(
            f"the energy axis runs from {energy[0]:.2f} to {energy[-1]:.2f} keV and has no channel "
            f"between {edxs.energy_min_kev} and {end} keV: check the axis, or "
            "edxs.energy_min_kev and edxs.energy_max_kev"
        )
    reason = "edxs.energy_max_kev"
    if edxs.energy_max_kev is None:
        stop = _end_of_signal(counts, energy, first, stop, known, build, composition)
        reason = f"{_TAIL_SHARE:.1%} of the counts and no line of the elements lie above"
    return (
        first,
        stop,
        Decision(
            _STAGE,
            f"fitted from {energy[first]:.2f} to {energy[stop - 1]:.2f} keV",
            reason,
            "edxs.energy_min_kev, edxs.energy_max_kev",
        ),
    )


def _end_of_signal(
    counts: Array,
    energy: Array,
    first: int,
    stop: int,
    known: Known,
    build: Builder,
    composition: Mapping[str, float],
) -> int:
    """Where the counts have died away, above all lines of the elements."""
    running = np.cumsum(counts[first:stop])
    tail = first + int(np.searchsorted(running, (1.0 - _TAIL_SHARE) * running[-1])) + 1
    dictionary = build(energy[first:stop], known.noise_ev.value, 0.0, composition)
    lines = dictionary.columns[[kind != "background" for kind in dictionary.kinds]]
    share = np.cumsum(lines, axis=1) / lines.sum(axis=1, keepdims=True)
    last = max(int(np.argmax(row > 1.0 - _TAIL_SHARE)) for row in share)
    margin = int(np.ceil(_LINE_MARGIN_KEV / (energy[1] - energy[0])))
    return min(max(tail, first + last + margin), stop)


def _estimate(
    value: float, sigma: float | None, axis: AxisFit, otherwise: Estimate | None = None
) -> Estimate:
    if axis.fitted:
        return Estimate(value, sigma, "file")
    return otherwise or Estimate(value, None, "default")


def _axis_decision(axis: AxisFit) -> Decision:
    if not axis.fitted:
        return Decision(
            _STAGE, "energy axis of the file kept as it is", axis.reason, "calibrate.fit"
        )
    return Decision(
        _STAGE,
        f"energy axis shifted by {1e3 * axis.offset_kev:+.1f} eV and stretched by "
        f"{1e4 * axis.gain:+.1f}e-4, noise {axis.noise_ev:.0f} eV",
        axis.reason,
        "calibrate.fit",
    )


def _absorption_decision(known: Known, thickness: Estimate) -> Decision:
    if known.thickness_nm is None:
        return Decision(
            _STAGE,
            "absorption in the specimen left out",
            "the thickness is not known; light elements come out too low in a thick specimen",
            "column thickness_nm",
        )
    return Decision(
        _STAGE,
        f"absorption of {known.thickness_nm.value:g} nm, {1e6 * thickness.value:.0f} mg/m2 "
        "of the mean composition",
        f"thickness given; density {'given' if thickness.origin == 'user' else 'estimated'}",
        "columns thickness_nm, density_g_cm3",
    )


def _verdicts(
    counts: Array, energy: Array, known: Known, axis: AxisFit, fit: CountsFit
) -> tuple[Verdict, ...]:
    per_pixel = float(counts.sum() / known.n_pixels)
    shift_ev = 1e3 * float(np.max(np.abs(energy * axis.gain + axis.offset_kev)))
    deviance = fit.deviance_per_dof
    return (
        Verdict(
            "counts per pixel",
            per_pixel,
            _FEWEST_COUNTS_PER_PIXEL,
            "",
            "good" if per_pixel >= _FEWEST_COUNTS_PER_PIXEL else "warning",
            "enough to tell phases apart"
            if per_pixel >= _FEWEST_COUNTS_PER_PIXEL
            else "few: phases are found on pooled pixels, single pixels say little",
        ),
        Verdict(
            "fit of the sum spectrum",
            deviance,
            _DEVIANCE_LIMIT,
            "deviance/dof",
            "good" if deviance <= _DEVIANCE_LIMIT else "warning",
            "the elements and the continuum explain the spectrum"
            if deviance <= _DEVIANCE_LIMIT
            else "an element may be missing, or line shapes differ: look at the residuals",
        ),
        Verdict(
            "shift of the energy axis",
            shift_ev,
            _SHIFT_LIMIT_EV,
            "eV",
            "good" if shift_ev <= _SHIFT_LIMIT_EV else "warning",
            "the file's axis was close"
            if shift_ev <= _SHIFT_LIMIT_EV
            else "the file's axis was off and has been corrected: check the residuals",
        ),
    )
