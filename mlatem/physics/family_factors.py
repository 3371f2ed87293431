# SPDX-License-Identifier: GPL-3.0-or-later
"""Intensities of families of lines: computed, corrected by a table, tied by what a fit measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.model.calibration import Estimate
from mlatem.model.factor_table import UNITS, Factor, FactorKind, FactorTable
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.factor_observations import factors_at, observations, reference_of
from mlatem.physics.factor_units import detected_cross_section_barn, zeta_kg_m2
from mlatem.physics.factors import factor_covariance
from mlatem.physics.fitted_families import fitted_scale, parents_of, tied
from mlatem.physics.line_factors import subshells
from mlatem.physics.lines import emission_lines
from mlatem.physics.standardless import STANDARDLESS

Array = NDArray[np.float64]

#: Relative standard deviation of the solid angle before absolute factors are seen: as good as none.
_FREE_SCALE = 100.0

#: A family counts as scaled by the table if that took away this share of its variance.
_SCALED = 0.5


@dataclass(frozen=True)
class FamilyFactors:
    """Factors on the computed intensities of families, with the covariance of their errors."""

    families: tuple[str, ...]
    """Element and family, "Fe K"."""
    value: Array
    """Shape (n_families,); 1 for the computed intensity."""
    covariance: Array
    """Shape (n_families, n_families); of the logarithms."""
    sources: tuple[str, ...]
    """Where each comes from, for people."""
    solid_angle_sr: Estimate | None = None
    """That which absolute factors imply; None where there are none."""


def family_factors(
    families: Sequence[str],
    *,
    beam_energy_kev: float,
    detector: settings.Detector,
    table: FactorTable | None = None,
    fitted: Mapping[str, Estimate] | None = None,
) -> FamilyFactors:
    """What is known of the intensities of families of lines.

    Parameters
    ----------
    families : sequence of str
        Element and family, "Fe K": those that the fitted window holds.
    beam_energy_kev : float
    detector : settings.Detector
    table : FactorTable, optional
        Its absolute factors are used, if it has none its k-factors.
    fitted : mapping of str to Estimate, optional
        Factors of families or sub-shells that a fit found against the element's other lines.

    Raises
    ------
    InputError
        If the table does not hold at this beam energy.

    Notes
    -----
    The logarithms e of true over computed intensities have the prior covariance P of
    `mlatem.physics.factors.factor_covariance`. The table tells combinations H e of them (for k the
    difference to the reference, for zeta and cross-section the sum with a free scale). The factors
    are the most probable ones that agree with the table exactly, ``e = K y`` with
    ``K = P H^T (H P H^T)^-1``: lines in the table have its ratios, and neighbours of the family
    follow as far as their errors are common. The covariance is
    ``(1 - K H) P (1 - K H)^T + K S K^T`` with S the variances of the table (C. D. Rodgers, Inverse
    Methods for Atmospheric Sounding (2000), ch. 4).

    A family that was fitted against another of the same element shares the error of that.
    """
    fitted = fitted or {}
    factors = factors_at(table, beam_energy_kev)
    references = [reference_of(factor) for factor in factors if factor.kind == "k"]
    states = list(dict.fromkeys([*families, *(f.family for f in factors), *references]))
    scales = {s: fitted_scale(s, beam_energy_kev, detector, fitted) for s in states}
    parents = parents_of(states, fitted, {factor.family for factor in factors})
    mean = np.array([math.log(scales[state]) for state in states])
    prior = tied(factor_covariance(states), states, parents, fitted)
    if not factors:
        sources = tuple(_source(s, None, 0.0, parents) for s in states)
        return FamilyFactors(tuple(states), np.exp(mean), prior, sources)
    mean, prior = np.append(mean, 0.0), _with_scale(prior)
    design, value, variance = observations(factors, states, detector, fitted)
    gain = np.linalg.solve(design @ prior @ design.T, design @ prior).T
    mean = mean + gain @ (value - design @ mean)
    rest = np.eye(len(prior)) - gain @ design
    covariance = rest @ prior @ rest.T + (gain * variance) @ gain.T
    n = len(states)
    explained = 1.0 - np.diagonal(rest @ prior @ rest.T)[:n] / np.diagonal(prior)[:n]
    by_family = {factor.family: factor for factor in factors}
    name = table.name if table else ""
    sources = tuple(
        _source(state, by_family.get(state), share, parents, name)
        for state, share in zip(states, explained, strict=True)
    )
    solid_angle = None
    if factors[0].kind != "k":
        sigma = 4 * math.pi * math.exp(mean[n]) * math.sqrt(covariance[n, n])
        solid_angle = Estimate(4 * math.pi * math.exp(mean[n]), sigma, "user")
    return FamilyFactors(tuple(states), np.exp(mean[:n]), covariance[:n, :n], sources, solid_angle)


def line_factors(
    factors: FamilyFactors,
    elements: Sequence[str],
    *,
    beam_energy_kev: float,
    detector: settings.Detector,
    fitted: Mapping[str, Estimate] | None = None,
) -> dict[str, float]:
    """Factors by family and sub-shell, as `mlatem.physics.dictionary.edxs_dictionary` takes them.

    Parameters
    ----------
    factors : FamilyFactors
        From `family_factors` with the same arguments.
    elements : sequence of str
        Only theirs are returned.
    beam_energy_kev, detector, fitted
        As for `family_factors`. The shares of the sub-shells in a family stay as fitted.
    """
    fitted = fitted or {}
    result = {name: e.value for name, e in fitted.items() if name.split()[0] in elements}
    for family, value in zip(factors.families, factors.value, strict=True):
        element, shell = family.split()
        if element not in elements:
            continue
        scale = float(value) / fitted_scale(family, beam_energy_kev, detector, fitted)
        if abs(scale - 1.0) < 1e-12:
            continue
        lines = emission_lines(element, beam_energy_kev)
        names = [f"{element} {s}" for s in dict.fromkeys(subshells(lines)) if s.startswith(shell)]
        if any(name in result for name in names):
            for name in names:
                result[name] = scale * result.get(name, result.get(family, 1.0))
        result[family] = scale * result.get(family, 1.0)
    return result


def table_of(
    factors: FamilyFactors,
    families: Sequence[str],
    *,
    beam_energy_kev: float,
    detector: settings.Detector,
    reference: str,
) -> FactorTable:
    """Factors of families as a table: absolute ones where the solid angle is known, else k.

    Parameters
    ----------
    factors : FamilyFactors
        Of `families` and the reference.
    families : sequence of str
        "Fe K".
    beam_energy_kev : float
    detector : settings.Detector
    reference : str
        Family of k = 1.
    """
    place = {name: index for index, name in enumerate(factors.families)}
    absolute = factors.solid_angle_sr is not None
    kind: FactorKind = "zeta" if absolute else "k"
    against = "" if absolute else reference
    anchor = place[reference]
    rows = []
    for name in families:
        index = place[name]
        element, line = name.split()
        barn = detected_cross_section_barn(element, line, beam_energy_kev, detector)
        barn *= float(factors.value[index])
        variance = factors.covariance[index, index]
        if factors.solid_angle_sr is not None:
            share = factors.solid_angle_sr.value / (4 * math.pi)
            value = zeta_kg_m2(element, barn * share)
        else:
            other, line_of_other = reference.split()
            other_barn = detected_cross_section_barn(
                other, line_of_other, beam_energy_kev, detector
            ) * float(factors.value[anchor])
            value = atomic_weight(element) / atomic_weight(other) * other_barn / barn
            variance += factors.covariance[anchor, anchor] - 2 * factors.covariance[index, anchor]
        rows.append(
            Factor(
                element=element,
                line=line,
                kind=kind,
                value=value,
                sigma=value * math.sqrt(max(float(variance), 0.0)),
                beam_energy_kev=beam_energy_kev,
                unit=UNITS[kind],
                reference_element=against[: against.find(" ")] if against else "",
                reference_line=against[against.find(" ") + 1 :] if against else "",
                source=factors.sources[index],
            )
        )
    return FactorTable(tuple(rows), "completed factors")


def _with_scale(prior: Array) -> Array:
    """The covariance with the logarithm of the share of the sphere as last state."""
    n = len(prior)
    result = np.zeros((n + 1, n + 1))
    result[:n, :n] = prior
    result[n, n] = _FREE_SCALE**2
    return result


def _source(
    state: str,
    factor: Factor | None,
    explained: float,
    parents: Mapping[str, str],
    table: str = "",
) -> str:
    """Where the intensity of a family comes from, for people."""
    if factor is not None:
        label = f"{factor.kind} of {factor.line} in {table}"
        return f"{label} ({factor.source})" if factor.source else label
    if state in parents:
        return f"fitted against {parents[state]}"
    if explained > _SCALED:
        return f"{STANDARDLESS}, scaled by {table}"
    return STANDARDLESS
