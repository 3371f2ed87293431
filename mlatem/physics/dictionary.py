# SPDX-License-Identifier: GPL-3.0-or-later
"""The EDXS dictionary: absolute columns of lines, instrument and continuum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary
from mlatem.physics.absorption import check_geometry
from mlatem.physics.calibrated_factors import calibrated_line_factors
from mlatem.physics.columns import check_axis
from mlatem.physics.dictionary_columns import (
    Film,
    Split,
    assemble,
    background_columns,
    detected_barn,
    leaving_bulk,
    specimen_columns,
    system_columns,
)
from mlatem.physics.ionization import check_beam_energy
from mlatem.physics.line_factors import check_line_factors
from mlatem.physics.lines import emission_lines


def edxs_dictionary(  # noqa: PLR0913 - one keyword per physical quantity
    energy: ArrayLike,
    *,
    elements: Sequence[str],
    system_elements: Sequence[str] = (),
    beam_energy_kev: float | None,
    noise_ev: float | None = None,
    fano: float | None = None,
    detector: settings.Detector | None = None,
    n_background: int = 9,
    take_off_angle_deg: float | Sequence[float] | None = None,
    mass_thickness_kg_m2: float = 0.0,
    composition: Mapping[str, float] | None = None,
    system_thickness_um: float = 5.0,
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
    take_off_angle_deg : float or sequence of float, optional
        Of each detector where there are several; from `detector` if not given.
    mass_thickness_kg_m2 : float
        Density times thickness of the specimen; 0 leaves absorption out.
    composition : mapping of str to float, optional
        Atomic fractions of the specimen, for absorption; equal shares of `elements` if not given.
    system_thickness_um : float
        Depth of the instrument's elements in which their K lines are made and absorbed; 0 leaves
        this out.
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
    ReadError
        If the detector's efficiency file cannot be used.

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
    two with 2.6. Within a family, the absorption of the grid itself makes K beta stronger against
    K alpha.
    """
    axis = check_axis(energy)
    check_beam_energy(beam_energy_kev)
    elements, system_elements = check_symbols(elements), check_symbols(system_elements)
    _check_disjoint(elements, system_elements)
    if split not in get_args(Split):
        raise InputError(f"split is {split!r}: expected one of {', '.join(get_args(Split))}")
    detector = detector or settings.Detector()
    film = Film(
        mass_thickness_kg_m2,
        detector.take_off_angle_deg if take_off_angle_deg is None else take_off_angle_deg,
        composition or dict.fromkeys(elements, 1.0),
    )
    check_geometry(film.mass_thickness_kg_m2, film.take_off_angle_deg)
    lines = [emission_lines(e, beam_energy_kev) for e in (*elements, *system_elements)]
    check_line_factors(line_factors or {}, lines)
    resolution = (
        detector.noise_ev if noise_ev is None else noise_ev,
        detector.fano if fano is None else fano,
    )
    _check_resolution(*resolution)
    emitted = [detected_barn(each, detector, line_factors or {}) for each in lines]
    columns = []
    for each, weight in zip(lines[: len(elements)], emitted, strict=False):
        columns += specimen_columns(
            axis, each, weight * film.escaping(each), resolution, detector, split
        )
    for each, weight in zip(lines[len(elements) :], emitted[len(elements) :], strict=True):
        leaving = leaving_bulk(each, system_thickness_um, film.take_off_angle_deg)
        columns += system_columns(axis, each, weight * leaving, resolution, detector, split)
    columns += background_columns(axis, n_background, detector, film, pile_up)
    return assemble(axis, columns)


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
    energy: ArrayLike,
    calibration: Calibration,
    edxs: settings.Edxs,
    *,
    split: Split = "element",
) -> Dictionary:
    """The dictionary of a calibrated dataset on an axis that is already corrected and cut.

    Parameters
    ----------
    energy : array-like of shape (n_energy,)
        keV.
    calibration : Calibration
        Its offset, gain and window are not applied.
    edxs : settings.Edxs
    split : {"element", "family", "shell"}
        As for `edxs_dictionary`.

    Raises
    ------
    InputError
        As `edxs_dictionary`.

    Notes
    -----
    Where detectors have axes and resolutions of their own, a column is the sum of theirs, each
    with its share of the counts.
    """
    axis = np.asarray(energy, dtype=np.float64)
    measured = np.array(calibration.spectrum[calibration.window])
    has_pile_up = calibration.pile_up is not None and measured.size == axis.size
    line_factors = calibrated_line_factors(axis, calibration, edxs.detector)

    def on(own_axis: NDArray[np.float64], noise_ev: float) -> Dictionary:
        return edxs_dictionary(
            own_axis,
            elements=calibration.elements,
            system_elements=calibration.system_elements,
            beam_energy_kev=calibration.beam_energy_kev.value,
            noise_ev=noise_ev,
            fano=calibration.fano.value,
            detector=edxs.detector,
            n_background=edxs.n_background,
            take_off_angle_deg=calibration.take_off,
            mass_thickness_kg_m2=calibration.mass_thickness_kg_m2.value,
            composition=calibration.composition or None,
            system_thickness_um=edxs.system_thickness_um,
            line_factors=line_factors,
            pile_up=measured if has_pile_up else None,
            split=split,
        )

    mean = on(axis, calibration.noise_ev.value)
    if not calibration.detectors:
        return mean
    of_file = calibration.on_file_axis(axis)
    columns = np.zeros_like(mean.columns)
    for detector in calibration.detectors:
        own = on(detector.corrected(of_file), detector.noise_ev.value)
        found = dict(zip(own.names, own.columns, strict=True))
        # A family of the instrument may end just outside the window for one of the detectors.
        rows = [found.get(name, row) for name, row in zip(mean.names, mean.columns, strict=True)]
        columns += detector.share * np.array(rows)
    return replace(mean, columns=columns)


def _check_resolution(noise_ev: float, fano: float) -> None:
    if not (0 < noise_ev < math.inf and 0 < fano < math.inf):
        raise InputError(
            f"noise of {noise_ev} eV and Fano factor of {fano} are no resolution: expected finite "
            "numbers above 0, such as edxs.detector.noise_ev 50 and edxs.detector.fano 0.118"
        )


def _check_disjoint(elements: Sequence[str], system_elements: Sequence[str]) -> None:
    both = sorted(set(elements) & set(system_elements))
    if both:
        raise InputError(
            f"{', '.join(both)} is named both as an element of the specimen and as one of the "
            "instrument: keep it in one of `elements` and `system_elements`"
        )
