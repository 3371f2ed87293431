# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of the EDXS dictionary: of the specimen, of the instrument, of the continuum."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Dictionary
from mlatem.physics.absorption import self_absorption_factor
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.background import continuum_columns
from mlatem.physics.columns import LineGroup, line_groups
from mlatem.physics.detector import efficiency
from mlatem.physics.factors import factor_sigma
from mlatem.physics.line_factors import line_factors_of
from mlatem.physics.lines import Lines
from mlatem.physics.pile_up import pile_up_column
from mlatem.units import mass_thickness_kg_m2

#: What has a column of its own.
Split = Literal["element", "family", "shell"]
_GROUPED_BY: Mapping[Split, Literal["family", "shell"]] = {
    "element": "family",
    "family": "family",
    "shell": "shell",
}

log = logging.getLogger(__name__)


class Film(NamedTuple):
    """The specimen, or a piece of the instrument, as far as it absorbs."""

    mass_thickness_kg_m2: float
    take_off_angle_deg: float | Sequence[float]
    composition: Mapping[str, float]
    """Atomic fractions."""

    def escaping(self, lines: Lines) -> NDArray[np.float64]:
        """Share of the photons of each line that leave the specimen towards the detector."""
        return self_absorption_factor(
            self.composition,
            lines.energy_kev,
            mass_thickness_kg_m2=self.mass_thickness_kg_m2,
            take_off_angle_deg=self.take_off_angle_deg,
        )


def leaving_bulk(
    lines: Lines, thickness_um: float, take_off_angle_deg: float | Sequence[float]
) -> NDArray[np.float64]:
    """Share of the photons of each K line that leave a piece of grid or holder; 1 for other lines.

    Notes
    -----
    Absorption changes L lines of such thick pieces as well, but their edges lie between the lines
    and the effect hangs on the thickness of the piece; sub-shell factors take it up.
    """
    composition = {lines.element: 1.0}
    mass = mass_thickness_kg_m2(1e3 * thickness_um, density_g_cm3(composition))
    is_k = np.array(lines.families) == "K"
    return np.where(is_k, Film(mass, take_off_angle_deg, composition).escaping(lines), 1.0)


class Column(NamedTuple):
    """One column with its meaning, as in `Dictionary`."""

    name: str
    kind: str
    element: str
    spectrum: NDArray[np.float64]
    factor_sigma: float


def detected_barn(
    lines: Lines, detector: settings.Detector, line_factors: Mapping[str, float]
) -> NDArray[np.float64]:
    """Barn per line, after the detector."""
    factor = line_factors_of(lines, line_factors)
    return lines.cross_section_barn * factor * efficiency(lines.energy_kev, detector)


def specimen_columns(
    axis: NDArray[np.float64],
    lines: Lines,
    weight: NDArray[np.float64],
    resolution: tuple[float, float],
    detector: settings.Detector,
    split: Split,
) -> list[Column]:
    """Columns of an element of the specimen.

    Parameters
    ----------
    axis : ndarray of shape (n_energy,)
        Channel centres, keV.
    lines : Lines
    weight : ndarray of shape (n_lines,)
        Barn per line, after specimen and detector.
    resolution : (float, float)
        Noise (FWHM, eV) and Fano factor.
    detector : settings.Detector
    split : {"element", "family", "shell"}

    Raises
    ------
    InputError
        If no line of the element falls into the window.
    """
    groups = line_groups(axis, lines, weight, resolution, detector, by=_GROUPED_BY[split])
    usable = [group for group in groups if group.usable]
    if not usable:
        raise InputError(_no_line_message(lines, axis))
    if split != "element":
        return [_single(lines.element, group, "line") for group in usable]
    dominant = max(groups, key=lambda group: float(group.spectrum.sum()))
    spectrum = np.sum([group.spectrum for group in groups], axis=0)
    sigma = factor_sigma(lines.element, dominant.name[0])
    return [Column(lines.element, "line", lines.element, spectrum, sigma)]


def system_columns(
    axis: NDArray[np.float64],
    lines: Lines,
    weight: NDArray[np.float64],
    resolution: tuple[float, float],
    detector: settings.Detector,
    split: Split,
) -> list[Column]:
    """Columns of an element of the instrument; those mostly outside the window are left out.

    Parameters are those of `specimen_columns`.
    """
    groups = line_groups(axis, lines, weight, resolution, detector, by=_GROUPED_BY[split])
    usable = [group for group in groups if group.usable]
    if not usable:
        log.info("system element %s has no line in the window and is left out", lines.element)
    return [_single(lines.element, group, "system") for group in usable]


def background_columns(
    axis: NDArray[np.float64],
    n_functions: int,
    detector: settings.Detector,
    film: Film,
    pile_up: ArrayLike | None,
) -> list[Column]:
    """Columns of the continuum and, where the measured spectrum is given, of its sum peaks."""
    continuum = continuum_columns(
        axis,
        n_functions=n_functions,
        detector=detector,
        take_off_angle_deg=film.take_off_angle_deg,
        mass_thickness_kg_m2=film.mass_thickness_kg_m2,
        composition=film.composition,
    )
    spectra = {f"continuum {k}": spectrum for k, spectrum in enumerate(continuum, start=1)}
    if pile_up is not None:
        spectra["pile-up"] = pile_up_column(axis, pile_up)
    return [Column(name, "background", "", spectrum, 0.0) for name, spectrum in spectra.items()]


def _single(element: str, group: LineGroup, kind: Literal["line", "system"]) -> Column:
    """One family or sub-shell of an element."""
    name = f"{element} {group.name}" + (" (system)" if kind == "system" else "")
    return Column(name, kind, element, group.spectrum, factor_sigma(element, group.name[0]))


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


def assemble(axis: NDArray[np.float64], columns: Sequence[Column]) -> Dictionary:
    """The dictionary of these columns."""
    names, kinds, symbols, spectra, sigmas = zip(*columns, strict=True)
    return Dictionary.from_arrays(np.array(spectra), axis, names, kinds, symbols, sigmas)
