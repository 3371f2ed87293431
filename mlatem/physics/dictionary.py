# SPDX-License-Identifier: GPL-3.0-or-later
"""The EDXS dictionary: absolute columns of lines, instrument and continuum."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary
from mlatem.physics.absorption import check_geometry, self_absorption_factor
from mlatem.physics.background import continuum_columns
from mlatem.physics.columns import LineGroup, check_axis, line_groups
from mlatem.physics.detector import efficiency
from mlatem.physics.factors import factor_sigma
from mlatem.physics.ionization import check_beam_energy
from mlatem.physics.line_factors import check_line_factors, line_factors_of
from mlatem.physics.lines import Lines, emission_lines
from mlatem.physics.pile_up import pile_up_column

#: What has a column of its own.
Split = Literal["element", "family", "shell"]

log = logging.getLogger(__name__)


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
    take_off_angle_deg: float | None = None,
    mass_thickness_kg_m2: float = 0.0,
    composition: Mapping[str, float] | None = None,
    line_factors: Mapping[str, float] | None = None,
    pile_up: ArrayLike | None = None,
    split: Split = "element",
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
    take_off_angle_deg : float, optional
        From `detector` if not given.
    mass_thickness_kg_m2 : float
        Density times thickness of the specimen; 0 leaves absorption out.
    composition : mapping of str to float, optional
        Atomic fractions of the specimen, for absorption; equal shares of `elements` if not given.
    line_factors : mapping of str to float, optional
        Factors on tabulated intensities, of a family ("Pt M") or of the lines that fill vacancies
        of a sub-shell ("Pt M5"); the sub-shell takes precedence.
    pile_up : array-like of shape (n_energy,) or (2, n_channels), optional
        The measured spectrum on this axis, or energies and counts on an axis of their own; adds a
        column of its sum peaks, "pile-up".
    split : {"element", "family", "shell"}
        One column per element of the specimen, "Pt"; or per family, "Pt M", or sub-shell, "Pt M5",
        of those that the window holds. "shell" also splits the instrument's elements so.

    Returns
    -------
    Dictionary
        Lines, then system, then continuum, then pile-up, which is of kind "background" too.
        `factor_sigma` is that of the family of lines (K, L or M) that gives most counts in the
        window.

    Raises
    ------
    InputError
        For an unknown element, one without a usable line in the window, one named twice, a beam
        energy that is missing or outside the tables, a negative thickness, a bad energy axis, a
        line factor of no line of these elements.

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
    axis = check_axis(energy)
    check_beam_energy(beam_energy_kev)
    elements, system_elements = check_symbols(elements), check_symbols(system_elements)
    _check_disjoint(elements, system_elements)
    if split not in get_args(Split):
        raise InputError(f"split is {split!r}: expected one of {', '.join(get_args(Split))}")
    detector = detector or settings.Detector()
    angle = detector.take_off_angle_deg if take_off_angle_deg is None else take_off_angle_deg
    check_geometry(mass_thickness_kg_m2, angle)
    composition = composition or dict.fromkeys(elements, 1.0)
    lines_of = {e: emission_lines(e, beam_energy_kev) for e in (*elements, *system_elements)}
    check_line_factors(line_factors or {}, lines_of.values())
    detected = {e: _detected(lines, detector, line_factors or {}) for e, lines in lines_of.items()}
    resolution = (
        detector.noise_ev if noise_ev is None else noise_ev,
        detector.fano if fano is None else fano,
    )
    by: Literal["family", "shell"] = "shell" if split == "shell" else "family"
    columns = []
    for element in elements:
        escaping = self_absorption_factor(
            composition,
            lines_of[element].energy_kev,
            mass_thickness_kg_m2=mass_thickness_kg_m2,
            take_off_angle_deg=angle,
        )
        weight = detected[element] * escaping
        groups = line_groups(axis, lines_of[element], weight, resolution, detector, by=by)
        usable = [group for group in groups if group.usable]
        if not usable:
            raise InputError(_no_line_message(lines_of[element], axis))
        if split == "element":
            columns.append(_joined(element, groups))
        else:
            columns += [_single(element, group, "line") for group in usable]
    for element in system_elements:
        groups = line_groups(
            axis, lines_of[element], detected[element], resolution, detector, by=by
        )
        usable = [group for group in groups if group.usable]
        columns += [_single(element, group, "system") for group in usable]
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
    columns += [
        _Column(f"continuum {k}", "background", "", spectrum, 0.0)
        for k, spectrum in enumerate(continuum, start=1)
    ]
    if pile_up is not None:
        columns.append(_Column("pile-up", "background", "", pile_up_column(axis, pile_up), 0.0))
    return _assemble(axis, columns)


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
        take_off_angle_deg=calibration.take_off_angle_deg.value,
        mass_thickness_kg_m2=calibration.mass_thickness_kg_m2.value,
        composition=calibration.composition or None,
    )


def _check_disjoint(elements: Sequence[str], system_elements: Sequence[str]) -> None:
    both = sorted(set(elements) & set(system_elements))
    if both:
        raise InputError(
            f"{', '.join(both)} is named both as an element of the specimen and as one of the "
            "instrument: keep it in one of `elements` and `system_elements`"
        )


def _detected(
    lines: Lines, detector: settings.Detector, line_factors: Mapping[str, float]
) -> NDArray[np.float64]:
    """Barn per line, after the detector."""
    factor = line_factors_of(lines, line_factors)
    return lines.cross_section_barn * factor * efficiency(lines.energy_kev, detector)


def _joined(element: str, groups: Sequence[LineGroup]) -> _Column:
    """All lines of an element of the specimen in one column."""
    dominant = max(groups, key=lambda group: float(group.spectrum.sum()))
    spectrum = np.sum([group.spectrum for group in groups], axis=0)
    return _Column(element, "line", element, spectrum, factor_sigma(element, dominant.name[0]))


def _single(element: str, group: LineGroup, kind: Literal["line", "system"]) -> _Column:
    """One family or sub-shell of an element."""
    name = f"{element} {group.name}" + (" (system)" if kind == "system" else "")
    return _Column(name, kind, element, group.spectrum, factor_sigma(element, group.name[0]))


def _no_line_message(lines: Lines, axis: NDArray[np.float64]) -> str:
    element = lines.element
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


def _assemble(axis: NDArray[np.float64], columns: Sequence[_Column]) -> Dictionary:
    names, kinds, symbols, spectra, sigmas = zip(*columns, strict=True)
    return Dictionary.from_arrays(np.array(spectra), axis, names, kinds, symbols, sigmas)
