# SPDX-License-Identifier: GPL-3.0-or-later
"""The EDXS dictionary: absolute columns of lines, instrument and continuum."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.kernels.lines import add_lines
from mlatem.model import Calibration, Dictionary
from mlatem.physics.absorption import check_geometry, self_absorption_factor
from mlatem.physics.background import continuum_columns
from mlatem.physics.detector import efficiency, fwhm_ev
from mlatem.physics.factors import factor_sigma
from mlatem.physics.ionization import check_beam_energy
from mlatem.physics.lines import Lines, emission_lines
from mlatem.units import FWHM_PER_SIGMA

#: A family of lines is usable if at least this share of it falls into the window.
USABLE_SHARE = 0.05

log = logging.getLogger(__name__)


class _Family(NamedTuple):
    """The lines of one element and family on the energy axis."""

    name: str
    """"K", "L" or "M"."""
    spectrum: NDArray[np.float64]
    """Shape (n_energy,), barn per channel."""
    usable: bool
    """Whether enough of it falls into the window."""


class _Column(NamedTuple):
    name: str
    kind: str
    element: str
    spectrum: NDArray[np.float64]
    factor_sigma: float


def edxs_dictionary(  # noqa: PLR0913 - one keyword per physical quantity
    energy: ArrayLike,
    *,
    elements: Sequence[str],
    system_elements: Sequence[str] = (),
    beam_energy_kev: float | None,
    noise_ev: float | None = None,
    fano: float | None = None,
    detector: settings.Detector | None = None,
    n_background: int = 6,
    take_off_angle_deg: float | Sequence[float] | None = None,
    mass_thickness_kg_m2: float = 0.0,
    composition: Mapping[str, float] | None = None,
) -> Dictionary:
    """Expected spectra of atoms, instrument and continuum on an energy axis.

    Parameters
    ----------
    energy : array-like of shape (n_energy,)
        Centres of the channels in keV, increasing; only the window that is to be fitted.
    elements : sequence of str
        Elements of the specimen; one column each, named after it.
    system_elements : sequence of str
        Elements of grid, holder and collimator: a column of kind "system" for each family of lines
        in the window, "Cu K (system)", "Cu L (system)", without absorption in the specimen.
    beam_energy_kev : float
        20 to 400 keV.
    noise_ev, fano : float, optional
        Resolution of the detector; from `detector` if not given.
    detector : settings.Detector, optional
    n_background : int
        Number of columns for the continuum.
    take_off_angle_deg : float or sequence of float, optional
        Of each detector where there are several; from `detector` if not given.
    mass_thickness_kg_m2 : float
        Density times thickness of the specimen; 0 leaves absorption out.
    composition : mapping of str to float, optional
        Atomic fractions of the specimen, for absorption; equal shares of `elements` if not given.

    Returns
    -------
    Dictionary
        Lines, then system, then continuum. `factor_sigma` is that of the family of lines (K, L or
        M) that gives most counts in the window.

    Raises
    ------
    InputError
        For an unknown element, one without a usable line in the window, one named twice, a beam
        energy that is missing or outside the tables, a negative thickness, a bad energy axis.

    Notes
    -----
    Channel i of the column of an element holds, summed over its lines::

        sigma_line(E0) * eps(E) * A(E) * [erf-integral of the line over the channel]

    in barn, with the emission cross-section of `emission_lines`, the detector's `efficiency` and
    the specimen's `self_absorption_factor`. Coefficients are therefore proportional to numbers of
    atoms with the same factor (dose and solid angle) for all elements.

    The families of an element of the instrument are free against each other because these photons
    come from thick parts that absorb their own soft lines by an unknown amount: on a FePt particle
    on a Cu grid, one column for K and L of Cu fits with a deviance per degree of freedom of 26,
    two with 2.6.
    """
    axis = _check_axis(energy)
    check_beam_energy(beam_energy_kev)
    elements, system_elements = check_symbols(elements), check_symbols(system_elements)
    _check_disjoint(elements, system_elements)
    detector = detector or settings.Detector()
    angle = detector.take_off_angle_deg if take_off_angle_deg is None else take_off_angle_deg
    check_geometry(mass_thickness_kg_m2, angle)
    composition = composition or dict.fromkeys(elements, 1.0)
    resolution = (
        detector.noise_ev if noise_ev is None else noise_ev,
        detector.fano if fano is None else fano,
    )
    columns = []
    for element in elements:
        lines = emission_lines(element, beam_energy_kev)
        escaping = self_absorption_factor(
            composition,
            lines.energy_kev,
            mass_thickness_kg_m2=mass_thickness_kg_m2,
            take_off_angle_deg=angle,
        )
        weight = _detected(lines, detector) * escaping
        families = _family_columns(axis, lines, weight, resolution)
        if not any(family.usable for family in families):
            raise InputError(_no_line_message(element, lines, axis))
        columns.append(_joined(element, families))
    for element in system_elements:
        lines = emission_lines(element, beam_energy_kev)
        families = _family_columns(axis, lines, _detected(lines, detector), resolution)
        usable = [family for family in families if family.usable]
        columns += [_system(element, family) for family in usable]
        if not usable:
            log.info("system element %s has no line in the window and is left out", element)
    continuum = continuum_columns(
        axis,
        n_functions=n_background,
        detector=detector,
        take_off_angle_deg=angle,
        mass_thickness_kg_m2=mass_thickness_kg_m2,
        composition=composition,
    )
    return _assemble(axis, columns, continuum)


def dictionary_from_calibration(
    energy_of_file: ArrayLike, calibration: Calibration, edxs: settings.Edxs
) -> Dictionary:
    """The dictionary of a dataset, on its calibrated axis and in its fitted window.

    Parameters
    ----------
    energy_of_file : array-like of shape (n_energy,)
        The whole energy axis as the file has it, keV.
    calibration : Calibration
    edxs : settings.Edxs

    Returns
    -------
    Dictionary
        On ``calibration.corrected(energy_of_file)[calibration.window]``; it knows the channel
        at which that starts.

    Raises
    ------
    InputError
        As `edxs_dictionary`, and if the window reaches beyond the axis.
    """
    energy = np.asarray(energy_of_file, dtype=np.float64)
    if calibration.stop_channel > energy.size:
        raise InputError(
            f"the calibration's window ends at channel {calibration.stop_channel} but the energy "
            f"axis has {energy.size}: calibrate this dataset again"
        )
    dictionary = dictionary_on_axis(
        calibration.corrected(energy)[calibration.window], calibration, edxs
    )
    return replace(dictionary, first_channel=calibration.first_channel)


def dictionary_on_axis(
    energy: ArrayLike, calibration: Calibration, edxs: settings.Edxs
) -> Dictionary:
    """The dictionary of a calibrated dataset on an axis that is already corrected and cut.

    Parameters
    ----------
    energy : array-like of shape (n_energy,)
        keV.
    calibration : Calibration
        Its offset, gain and window are not applied.
    edxs : settings.Edxs

    Raises
    ------
    InputError
        As `edxs_dictionary`.
    """
    return edxs_dictionary(
        energy,
        elements=calibration.elements,
        system_elements=calibration.system_elements,
        beam_energy_kev=calibration.beam_energy_kev.value,
        noise_ev=calibration.noise_ev.value,
        fano=calibration.fano.value,
        detector=edxs.detector,
        n_background=edxs.n_background,
        take_off_angle_deg=calibration.take_off,
        mass_thickness_kg_m2=calibration.mass_thickness_kg_m2.value,
        composition=calibration.composition or None,
    )


def _check_axis(energy: ArrayLike) -> NDArray[np.float64]:
    axis = np.asarray(energy, dtype=np.float64)
    if axis.ndim != 1 or axis.size < 2 or not np.all(np.isfinite(axis)):
        raise InputError(
            f"the energy axis has shape {axis.shape}: expected at least two finite channel centres"
        )
    if np.any(np.diff(axis) <= 0):
        raise InputError("the energy axis does not increase: flip it together with the data")
    return axis


def _check_disjoint(elements: Sequence[str], system_elements: Sequence[str]) -> None:
    both = sorted(set(elements) & set(system_elements))
    if both:
        raise InputError(
            f"{', '.join(both)} is named both as an element of the specimen and as one of the "
            "instrument: keep it in one of `elements` and `system_elements`"
        )


def _detected(lines: Lines, detector: settings.Detector) -> NDArray[np.float64]:
    """Barn per line, after the detector."""
    return lines.cross_section_barn * efficiency(lines.energy_kev, detector)


def _channel_edges(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = 0.5 * (axis[1:] + axis[:-1])
    first, last = 2 * axis[0] - middle[0], 2 * axis[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _family_columns(
    axis: NDArray[np.float64],
    lines: Lines,
    weight: NDArray[np.float64],
    resolution: tuple[float, float],
) -> list[_Family]:
    """Spectra of the K, L and M lines of an element."""
    names, index = np.unique(np.array(lines.families), return_inverse=True)
    spectra = np.zeros((names.size, axis.size))
    sigma = 1e-3 * fwhm_ev(lines.energy_kev, *resolution) / FWHM_PER_SIGMA
    add_lines(spectra, _channel_edges(axis), index, lines.energy_kev, sigma, weight)
    inside = spectra.sum(axis=1)
    total = np.bincount(index, weights=weight, minlength=names.size)
    usable = (inside > 0) & (inside >= USABLE_SHARE * total)
    return [_Family(*family) for family in zip(names.tolist(), spectra, usable, strict=True)]


def _joined(element: str, families: Sequence[_Family]) -> _Column:
    """All lines of an element of the specimen in one column."""
    dominant = max(families, key=lambda family: float(family.spectrum.sum()))
    spectrum = np.sum([family.spectrum for family in families], axis=0)
    return _Column(element, "line", element, spectrum, factor_sigma(element, dominant.name))


def _system(element: str, family: _Family) -> _Column:
    """One family of an element of the instrument."""
    name = f"{element} {family.name} (system)"
    return _Column(name, "system", element, family.spectrum, factor_sigma(element, family.name))


def _no_line_message(element: str, lines: Lines, axis: NDArray[np.float64]) -> str:
    strongest = [
        f"{family} {lines.energy_kev[member][np.argmax(lines.cross_section_barn[member])]:.3f} keV"
        for family in dict.fromkeys(lines.families)
        if (member := np.array(lines.families) == family).any()
    ]
    return (
        f"element {element} has no usable line in the window {axis[0]:.3f} to {axis[-1]:.3f} keV "
        f"(its strongest: {', '.join(strongest) or 'none above 0.1 keV'}): leave {element} out of "
        "`elements`, or widen edxs.energy_min_kev / edxs.energy_max_kev"
    )


def _assemble(
    axis: NDArray[np.float64], columns: Sequence[_Column], continuum: NDArray[np.float64]
) -> Dictionary:
    background = [
        _Column(f"continuum {k}", "background", "", spectrum, 0.0)
        for k, spectrum in enumerate(continuum, start=1)
    ]
    names, kinds, symbols, spectra, sigmas = zip(*columns, *background, strict=True)
    return Dictionary.from_arrays(np.array(spectra), axis, names, kinds, symbols, sigmas)
