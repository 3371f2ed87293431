# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion between k, zeta and cross-section, with their units and line definitions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model.factor_table import UNITS, Basis, Factor, FactorKind, FactorTable
from mlatem.model.line_names import family_of, is_member, line_name
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.detector import efficiency
from mlatem.physics.lines import emission_lines
from mlatem.units import AVOGADRO_PER_MOL

_KG_PER_G = 1e-3
_M2_PER_BARN = 1e-28


def detected_cross_section_barn(
    element: str, line: str, beam_energy_kev: float, detector: settings.Detector
) -> float:
    """Photons that a detector around the specimen would count, per atom and electron per barn.

    Parameters
    ----------
    element : str
    line : str
        Canonical name: a family, a sub-shell, a group or a single line.
    beam_energy_kev : float
    detector : settings.Detector

    Raises
    ------
    InputError
        If the element has no such line at this beam energy.
    """
    lines = emission_lines(element, beam_energy_kev)
    member = np.array([is_member(name, line) for name in lines.names], dtype=bool)
    detected = lines.cross_section_barn * efficiency(lines.energy_kev, detector)
    total = float(detected[member].sum())
    if total <= 0:
        known = ", ".join(dict.fromkeys(lines.families)) or "none"
        raise InputError(
            f"{element} has no {line} line above 0.1 keV at {beam_energy_kev:g} keV (its families: "
            f"{known}): take another line of {element}"
        )
    return total


def zeta_kg_m2(element: str, cross_section_barn: float) -> float:
    """Zeta factor of a cross-section that holds detector and solid angle.

    Notes
    -----
    ``zeta = A / (N_A sigma)`` (M. Watanabe, D. B. Williams, Journal of Microscopy 221 (2006) 89;
    K. E. MacArthur et al., Microscopy and Microanalysis 22 (2016) 71).
    """
    barn_per_kg_m2 = _KG_PER_G * atomic_weight(element) / (AVOGADRO_PER_MOL * _M2_PER_BARN)
    return barn_per_kg_m2 / cross_section_barn


def cross_section_barn(element: str, zeta: float) -> float:
    """Cross-section of a zeta factor in kg/m2; the inverse of `zeta_kg_m2`, the same formula."""
    return zeta_kg_m2(element, zeta)


def with_line(factor: Factor, line: str, detector: settings.Detector) -> Factor:
    """The same factor for another definition of the line, by computed relative intensities.

    Parameters
    ----------
    factor : Factor
    line : str
        In any notation; of the same family, for example "K" for a factor of "Ka".
    detector : settings.Detector

    Raises
    ------
    InputError
        If the line is of another family, or the element does not have it.
    """
    name = line_name(line, factor.element)
    if family_of(name) != family_of(factor.line):
        raise InputError(
            f"{factor.kind} of {factor.element} {factor.line} cannot be turned into one of {name}: "
            "families are tied by yields that are not known well; measure that line"
        )
    old, new = (
        detected_cross_section_barn(factor.element, each, factor.beam_energy_kev, detector)
        for each in (factor.line, name)
    )
    ratio = new / old if factor.kind == "cross_section" else old / new
    sigma = None if factor.sigma is None else factor.sigma * ratio
    return replace(factor, line=name, value=factor.value * ratio, sigma=sigma)


def converted(
    table: FactorTable,
    kind: FactorKind,
    *,
    reference: tuple[str, str] | None = None,
    reference_zeta_kg_m2: float | None = None,
    basis: Basis = "weight",
) -> FactorTable:
    """A table of one kind as a table of another, all for the same lines.

    Parameters
    ----------
    table : FactorTable
        Of one kind.
    kind : {"k", "zeta", "cross_section"}
    reference : tuple of str, optional
        Element and line of k = 1, a row of the table; needed to get k from absolute factors.
    reference_zeta_kg_m2 : float, optional
        Zeta of the reference of the k-factors; needed to get absolute factors from k.
    basis : {"weight", "atom"}
        Of the k-factors that are made.

    Returns
    -------
    table : FactorTable
        Values convert back exactly. Standard deviations of k hold that of the reference; absolute
        factors from k hold that of k alone.

    Raises
    ------
    InputError
        If the table holds several kinds or references, or what is needed is missing.

    Notes
    -----
    ``k_AB = zeta_A / zeta_B`` by weight, ``sigma_B / sigma_A`` by atoms (Watanabe and Williams
    2006; MacArthur et al. 2016).
    """
    if len(table.kinds) != 1:
        raise InputError(
            f"{table.name} holds factors of kinds {', '.join(table.kinds)}: convert one kind"
        )
    if table.kinds == ("k",):
        zeta = _zeta_of_k(table, 1.0 if kind == "k" else reference_zeta_kg_m2)
        reference = (table.factors[0].reference_element, table.factors[0].reference_line)
        if kind == "k":
            made = [_k(f, z, f.relative_sigma, 1.0, reference, basis) for f, z in zeta]
            return FactorTable(tuple(made), table.name)
    else:
        zeta = [(f, _absolute(f, "zeta", f.value)) for f in table.factors]
    if kind == "k":
        return FactorTable(tuple(_relative_rows(table, zeta, reference, basis)), table.name)
    rows = [_as_absolute(factor, kind, value) for factor, value in zeta]
    return FactorTable(tuple(rows), table.name)


def _zeta_of_k(table: FactorTable, zeta: float | None) -> list[tuple[Factor, float]]:
    references = {(f.reference_element, f.reference_line) for f in table.factors}
    if len(references) > 1:
        names = ", ".join(f"{element} {line}" for element, line in sorted(references))
        raise InputError(f"{table.name} has k-factors against {names}: keep one reference")
    if zeta is None:
        ((element, line),) = references
        raise InputError(
            f"{table.name}: k-factors are relative; give the zeta factor of {element} {line} to "
            "turn them into absolute ones"
        )
    return [(factor, _weight_k(factor) * zeta) for factor in table.factors]


def _weight_k(factor: Factor) -> float:
    """K by weight: C_A / C_B = (n_A A_A) / (n_B A_B)."""
    if factor.basis == "weight":
        return factor.value
    ratio = atomic_weight(factor.element) / atomic_weight(factor.reference_element)
    return factor.value * ratio


def _absolute(factor: Factor, kind: FactorKind, value: float) -> float:
    """The value of an absolute factor as another kind; the formula is its own inverse."""
    return value if factor.kind == kind else zeta_kg_m2(factor.element, value)


def _as_absolute(factor: Factor, kind: FactorKind, zeta: float) -> Factor:
    value = zeta if kind == "zeta" else cross_section_barn(factor.element, zeta)
    relative = factor.relative_sigma
    return replace(
        factor,
        kind=kind,
        value=value,
        sigma=None if relative is None else relative * value,
        unit=UNITS[kind],
        basis="weight",
        reference_element="",
        reference_line="",
    )


def _relative_rows(
    table: FactorTable,
    zeta: list[tuple[Factor, float]],
    reference: tuple[str, str] | None,
    basis: Basis,
) -> list[Factor]:
    if reference is None:
        raise InputError(
            f"{table.name}: k-factors need a reference, for example the row of Si K: name it"
        )
    element, line = reference[0], line_name(reference[1], reference[0])
    found = [(f, z) for f, z in zeta if (f.element, f.line) == (element, line)]
    if not found:
        raise InputError(
            f"{table.name} has no row of the reference {element} {line}: add it, or take one of "
            f"{', '.join(f'{f.element} {f.line}' for f in table.factors)}"
        )
    against, zeta_reference = found[0]
    rows = []
    for factor, value in zeta:
        sigmas = (factor.relative_sigma, against.relative_sigma)
        relative = None if None in sigmas else math.hypot(*(s or 0.0 for s in sigmas))
        if factor is against:
            relative = 0.0
        rows.append(_k(factor, value, relative, zeta_reference, (element, line), basis))
    return rows


def _k(
    factor: Factor,
    zeta: float,
    relative_sigma: float | None,
    zeta_reference: float,
    reference: tuple[str, str],
    basis: Basis,
) -> Factor:
    value = zeta / zeta_reference
    if basis == "atom":
        value *= atomic_weight(reference[0]) / atomic_weight(factor.element)
    return replace(
        factor,
        kind="k",
        value=value,
        sigma=None if relative_sigma is None else relative_sigma * value,
        unit=UNITS["k"],
        basis=basis,
        reference_element=reference[0],
        reference_line=reference[1],
    )
