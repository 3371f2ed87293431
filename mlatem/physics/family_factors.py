# SPDX-License-Identifier: GPL-3.0-or-later
"""Intensities of families of lines: computed, corrected by a table, tied by what a fit measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.model import Calibration
from mlatem.model.calibration import Estimate
from mlatem.model.factor_table import UNITS, Factor, FactorKind, FactorTable
from mlatem.model.line_names import family_of, is_member
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.detector import efficiency
from mlatem.physics.factor_units import (
    cross_section_barn,
    detected_cross_section_barn,
    zeta_kg_m2,
)
from mlatem.physics.factors import factor_covariance
from mlatem.physics.line_factors import line_factors_of, subshells
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
    factors = _factors_at(table, beam_energy_kev)
    references = [_reference(factor) for factor in factors if factor.kind == "k"]
    states = list(dict.fromkeys([*families, *(f.family for f in factors), *references]))
    scales = {s: fitted_scale(s, beam_energy_kev, detector, fitted) for s in states}
    parents = _parents(states, fitted, {factor.family for factor in factors})
    mean = np.array([math.log(scales[state]) for state in states])
    prior = _tied(factor_covariance(states), states, parents, fitted)
    if not factors:
        sources = tuple(_source(s, None, 0.0, parents) for s in states)
        return FamilyFactors(tuple(states), np.exp(mean), prior, sources)
    mean, prior = np.append(mean, 0.0), _with_scale(prior)
    design, value, variance = _observations(factors, states, detector, fitted)
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


def families_between(
    elements: Sequence[str], beam_energy_kev: float, energy: ArrayLike
) -> tuple[str, ...]:
    """Families of elements whose strongest line lies on an energy axis (keV), as "Fe K"."""
    low, high = np.min(energy), np.max(energy)
    found = []
    for element in elements:
        lines = emission_lines(element, beam_energy_kev)
        families = np.array(lines.families)
        for family in dict.fromkeys(lines.families):
            member = families == family
            strongest = lines.energy_kev[member][np.argmax(lines.cross_section_barn[member])]
            if low <= strongest <= high:
                found.append(f"{element} {family}")
    return tuple(found)


def calibrated_family_factors(
    families: Sequence[str], calibration: Calibration, detector: settings.Detector
) -> FamilyFactors:
    """The factors of families with the table and the fitted factors of a calibration."""
    return family_factors(
        families,
        beam_energy_kev=calibration.beam_energy_kev.value,
        detector=detector,
        table=calibration.factor_table,
        fitted=_of_elements(calibration.elements, calibration.line_factors),
    )


def calibrated_line_factors(
    energy: ArrayLike, calibration: Calibration, detector: settings.Detector
) -> dict[str, float]:
    """The line factors of a calibration's dictionary on an axis (keV)."""
    return corrected_line_factors(
        energy,
        calibration.line_factors,
        calibration.factor_table,
        elements=calibration.elements,
        beam_energy_kev=calibration.beam_energy_kev.value,
        detector=detector,
    )


def corrected_line_factors(
    energy: ArrayLike,
    fitted: Mapping[str, Estimate],
    table: FactorTable | None,
    *,
    elements: Sequence[str],
    beam_energy_kev: float,
    detector: settings.Detector,
) -> dict[str, float]:
    """Fitted factors of lines with families scaled to a table, as far as there is one.

    Parameters
    ----------
    energy : array-like of shape (n_energy,)
        keV; families outside of it are left alone.
    fitted : mapping of str to Estimate
        Factors of families or sub-shells, of specimen and instrument.
    table : FactorTable or None
    elements : sequence of str
        Of the specimen: the table holds for these.
    beam_energy_kev : float
    detector : settings.Detector
    """
    factors = {name: estimate.value for name, estimate in fitted.items()}
    if table is None:
        return factors
    own = _of_elements(elements, fitted)
    families = families_between(elements, beam_energy_kev, energy)
    known = family_factors(
        families, beam_energy_kev=beam_energy_kev, detector=detector, table=table, fitted=own
    )
    scaled = line_factors(
        known, elements, beam_energy_kev=beam_energy_kev, detector=detector, fitted=own
    )
    return {**factors, **scaled}


def _of_elements(elements: Sequence[str], fitted: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The fitted factors of the specimen's elements, without those of the instrument."""
    return {name: e for name, e in fitted.items() if name.split(maxsplit=1)[0] in elements}


def _factors_at(table: FactorTable | None, beam_energy_kev: float) -> tuple[Factor, ...]:
    if table is None:
        return ()
    here = table.at(beam_energy_kev)
    return here.of_kind(here.kinds[0])


def _reference(factor: Factor) -> str:
    return f"{factor.reference_element} {family_of(factor.reference_line)}"


def _fitted_intensity(
    element: str,
    line: str,
    beam_energy_kev: float,
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> float:
    """Detected cross-section of a line or family with the fitted factors, barn."""
    lines = emission_lines(element, beam_energy_kev)
    factor = line_factors_of(lines, {name: e.value for name, e in fitted.items()})
    member = np.array([is_member(name, line) for name in lines.names], dtype=bool)
    detected = lines.cross_section_barn * factor * efficiency(lines.energy_kev, detector)
    return float(detected[member].sum())


def fitted_scale(
    family: str,
    beam_energy_kev: float,
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> float:
    """The factor of a whole family that follows from the fitted ones of its sub-shells."""
    element, name = family.split()
    if not any(key.startswith(family) for key in fitted):
        return 1.0
    with_fit = _fitted_intensity(element, name, beam_energy_kev, detector, fitted)
    return with_fit / _fitted_intensity(element, name, beam_energy_kev, detector, {})


def _parents(
    states: Sequence[str], fitted: Mapping[str, Estimate], in_table: set[str]
) -> dict[str, str]:
    """For each family that was fitted against another of its element, that other one."""
    parents: dict[str, str] = {}
    for element in dict.fromkeys(state.split()[0] for state in states):
        mine = [state for state in states if state.split()[0] == element]
        free = [s for s in mine if not _is_fitted(s, fitted)]
        anchor = next((s for s in mine if s in in_table), free[0] if free else mine[0])
        parents |= {
            s: anchor
            for s in mine
            if s != anchor
            and s not in in_table
            and (_is_fitted(s, fitted) or (anchor not in free and s in free[:1]))
        }
    return parents


def _is_fitted(family: str, fitted: Mapping[str, Estimate]) -> bool:
    """Whether the whole family was free: by itself, or in its strongest sub-shell."""
    strongest = {"K": "K", "L": "L3", "M": "M5"}[family.split()[1]]
    return family in fitted or f"{family.split(maxsplit=1)[0]} {strongest}" in fitted


def _tied(
    prior: Array,
    states: Sequence[str],
    parents: Mapping[str, str],
    fitted: Mapping[str, Estimate],
) -> Array:
    """The prior covariance with the errors of parents in place of those of fitted families."""
    index = [states.index(parents.get(state, state)) for state in states]
    variance = [_fit_sigma(s, parents[s], fitted) ** 2 if s in parents else 0.0 for s in states]
    tied: Array = prior[np.ix_(index, index)] + np.diag(variance)
    return tied


def _fit_sigma(state: str, parent: str, fitted: Mapping[str, Estimate]) -> float:
    """Relative standard deviation of a fitted ratio: that of the best known of its factors."""
    sigmas = [
        estimate.sigma / estimate.value
        for name, estimate in fitted.items()
        if name.startswith((state, parent)) and estimate.sigma is not None and estimate.value > 0
    ]
    return min(sigmas, default=0.0)


def _with_scale(prior: Array) -> Array:
    """The covariance with the logarithm of the share of the sphere as last state."""
    n = len(prior)
    result = np.zeros((n + 1, n + 1))
    result[:n, :n] = prior
    result[n, n] = _FREE_SCALE**2
    return result


def _observations(
    factors: Sequence[Factor],
    states: Sequence[str],
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> tuple[Array, Array, Array]:
    """Combinations of the states, what the table says of them, and its variances."""
    design = np.zeros((len(factors), len(states) + 1))
    value, variance = np.zeros(len(factors)), np.zeros(len(factors))

    def computed(element: str, line: str, beam_energy_kev: float) -> float:
        family = f"{element} {family_of(line)}"
        scale = fitted_scale(family, beam_energy_kev, detector, fitted)
        return _fitted_intensity(element, line, beam_energy_kev, detector, fitted) / scale

    for row, factor in enumerate(factors):
        design[row, states.index(factor.family)] = 1.0
        variance[row] = (factor.relative_sigma or 0.0) ** 2
        own = computed(factor.element, factor.line, factor.beam_energy_kev)
        if factor.kind == "k":
            design[row, states.index(_reference(factor))] -= 1.0
            other = computed(
                factor.reference_element, factor.reference_line, factor.beam_energy_kev
            )
            value[row] = math.log(_intensity_ratio(factor) * other / own)
        else:
            design[row, -1] = 1.0
            value[row] = math.log(_barn(factor) / own)
    informative = np.abs(design).sum(axis=1) > 0
    return design[informative], value[informative], variance[informative]


def _intensity_ratio(factor: Factor) -> float:
    """Counts per atom of a line over those of its reference, from k."""
    if factor.basis == "atom":
        return 1.0 / factor.value
    weights = atomic_weight(factor.element) / atomic_weight(factor.reference_element)
    return weights / factor.value


def _barn(factor: Factor) -> float:
    if factor.kind == "cross_section":
        return factor.value
    return cross_section_barn(factor.element, factor.value)


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
