# SPDX-License-Identifier: GPL-3.0-or-later
"""Factors computed from atomic data and the detector, without a standard."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlatem import settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model.factor_table import UNITS, Basis, Factor, FactorKind, FactorTable
from mlatem.model.line_names import family_of, line_name
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.factor_units import detected_cross_section_barn, zeta_kg_m2
from mlatem.physics.factors import factor_covariance
from mlatem.physics.lines import emission_lines

#: Source of computed intensities, as told in tables.
STANDARDLESS = "Bote-Salvat 2009 x xraylib, standardless"

#: Families whose strongest line lies outside are not listed, keV.
_LISTED_KEV = (0.2, 25.0)


def usual_lines(element: str, beam_energy_kev: float) -> tuple[str, ...]:
    """The families of an element whose strongest line lies between 0.2 and 25 keV.

    Raises
    ------
    InputError
        If there is none, or the element or beam energy is unknown.
    """
    lines = emission_lines(element, beam_energy_kev)
    families = np.array(lines.families)
    found = []
    for family in dict.fromkeys(lines.families):
        member = families == family
        strongest = lines.energy_kev[member][np.argmax(lines.cross_section_barn[member])]
        if _LISTED_KEV[0] <= strongest <= _LISTED_KEV[1]:
            found.append(family)
    if not found:
        raise InputError(f"{element} has no line between 0.2 and 25 keV: leave it out")
    return tuple(found)


def standardless_table(
    lines: Sequence[tuple[str, str]],
    *,
    kind: FactorKind,
    beam_energy_kev: float,
    detector: settings.Detector,
    solid_angle_sr: float | None = None,
    reference: tuple[str, str] = ("Si", "K"),
    basis: Basis = "weight",
) -> FactorTable:
    """Computed factors with their prior uncertainties.

    Parameters
    ----------
    lines : sequence of (str, str)
        Element and line, in any notation.
    kind : {"k", "zeta", "cross_section"}
    beam_energy_kev : float
    detector : settings.Detector
    solid_angle_sr : float, optional
        Needed for zeta and cross-section.
    reference : tuple of str
        Element and line of k = 1.
    basis : {"weight", "atom"}
        Of k.

    Raises
    ------
    InputError
        If an element has no such line, or the solid angle is needed and missing.

    Notes
    -----
    ``k_AB = (A_A / sigma_A eps_A) / (A_B / sigma_B eps_B)`` and
    ``zeta = A / (N_A sigma eps Omega / 4 pi)``; no absorption in the specimen. Standard deviations
    are those of `mlatem.physics.factors.factor_covariance`, for k of the ratio.
    """
    check_symbols(dict.fromkeys(element for element, _ in lines))
    if kind != "k" and (solid_angle_sr is None or solid_angle_sr <= 0):
        raise InputError(
            f"{kind} is absolute and needs the detector's solid angle (found {solid_angle_sr}): "
            "give it in sr, or ask for k-factors"
        )
    named = [(element, line_name(line, element)) for element, line in lines]
    rows = [*named, (reference[0], line_name(reference[1], reference[0]))]
    barn = [detected_cross_section_barn(e, n, beam_energy_kev, detector) for e, n in rows]
    prior = factor_covariance([f"{element} {family_of(line)}" for element, line in rows])
    factors = []
    for index, (element, line) in enumerate(named):
        if kind == "k":
            weights = 1.0
            if basis == "weight":
                weights = atomic_weight(element) / atomic_weight(rows[-1][0])
            value = weights * barn[-1] / barn[index]
            variance = prior[index, index] + prior[-1, -1] - 2 * prior[index, -1]
        else:
            absolute = barn[index] * (solid_angle_sr or 0.0) / (4 * math.pi)
            value = absolute if kind == "cross_section" else zeta_kg_m2(element, absolute)
            variance = prior[index, index]
        factors.append(
            Factor(
                element=element,
                line=line,
                kind=kind,
                value=value,
                sigma=value * math.sqrt(max(float(variance), 0.0)),
                beam_energy_kev=beam_energy_kev,
                unit=UNITS[kind],
                basis=basis if kind == "k" else "weight",
                reference_element=rows[-1][0] if kind == "k" else "",
                reference_line=rows[-1][1] if kind == "k" else "",
                source=STANDARDLESS,
            )
        )
    return FactorTable(tuple(factors), "standardless factors")
