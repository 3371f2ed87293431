# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a report: numbers turned into words and cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mlatem.model import Acquisition, Calibration, Factorization, PhaseTable
from mlatem.model.acquisition import FIELDS
from mlatem.model.calibration import Estimate
from mlatem.reporting.colors import phase_color
from mlatem.reporting.numbers import NOTHING, decimals_of, fixed, short, small_time, whole

#: How the origin of a value is told.
ORIGINS = {"file": "file", "default": "assumed", "user": "user", "measured": "measured"}

#: A phase is called by its elements of at least this many at%, at most so many of them.
_LABEL_PERCENT = 5.0
_LABEL_ELEMENTS = 3
#: Decimals of a calibrated value: enough for a Fano factor.
_MOST_DECIMALS = 4


@dataclass(frozen=True)
class Row:
    """A named value with its unit and where it comes from."""

    name: str
    value: str
    unit: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Cell:
    """One element of one phase."""

    main: str
    """Atomic percent, or the limit."""
    statistical: str
    systematic: str
    weight: str
    is_seen: bool
    oxide: str = ""
    """Weight percent of the element's oxide, where asked for."""
    interval: str = ""
    """Of 95 %, where it is known."""


@dataclass(frozen=True)
class PhaseRow:
    """One phase of the table."""

    number: int
    label: str
    """Its name, or main elements, "Fe-Ni"; empty where nothing was quantified."""
    color: str
    area: str
    counts: str
    cells: tuple[Cell, ...]
    thickness: str = ""
    """Mass thickness, where the dose is known."""


def phase_rows(table: PhaseTable, factorization: Factorization) -> tuple[PhaseRow, ...]:
    """The phases with a cell per element, in the order of the table."""
    counts = factorization.abundance.sum(axis=(0, 1), dtype=float)
    names = factorization.attrs.get("phase_names") or [""] * factorization.n_phases
    rows = []
    for number, (_, group) in enumerate(table.frame.groupby("phase", sort=False)):
        area = float(group["area_fraction"].iloc[0])
        rows.append(
            PhaseRow(
                number=number + 1,
                label=names[number] or _label(group),
                color=phase_color(number),
                area=fixed(100 * area, 1 if area >= 0.01 or area == 0 else 2),
                counts=whole(counts[number]),
                cells=tuple(_cell(row) for _, row in group.iterrows()),
                thickness=_mass_thickness(group),
            )
        )
    return tuple(rows)


def _label(group: pd.DataFrame) -> str:
    """The most abundant elements of a phase: a name to talk about it, no formula."""
    seen = group[(group["atomic_percent"] >= _LABEL_PERCENT) & ~_is_unseen(group)]
    main = seen.sort_values("atomic_percent", ascending=False, kind="stable").head(_LABEL_ELEMENTS)
    return "\N{EN DASH}".join(str(element) for element in main["element"])


def _is_unseen(group: pd.DataFrame) -> pd.Series[bool]:
    """Below the detection limit, or with an interval that reaches zero."""
    below = group["atomic_percent"] < group["detection_limit"]
    if "atomic_percent_low" not in group:
        return below
    return below | (group["atomic_percent_low"] == 0)


def _cell(row: pd.Series[Any]) -> Cell:
    percent, sigma, limit = (
        float(row[c]) for c in ("atomic_percent", "sigma_stat", "detection_limit")
    )
    if not math.isfinite(percent):
        return Cell("not quantified", "", "", "", False)
    if (math.isfinite(limit) and percent < limit) or row.get("atomic_percent_low") == 0:
        most = float(row.get("upper_limit", math.nan))
        shown = most if math.isfinite(most) else limit
        return Cell(f"< {fixed(shown, decimals_of(shown))}", "", "", "", False)
    decimals = decimals_of(sigma)
    systematic, weight = float(row["sigma_sys"]), float(row["weight_percent"])
    return Cell(
        fixed(percent, decimals),
        _plus_minus(sigma, decimals),
        _plus_minus(systematic, decimals_of(systematic)) if systematic > 0 else "",
        fixed(weight, decimals) if math.isfinite(weight) else "",
        True,
        _oxide(row, decimals),
        _interval(row, decimals),
    )


def _oxide(row: pd.Series[Any], decimals: int) -> str:
    percent = float(row.get("oxide_weight_percent", math.nan))
    return f"{fixed(percent, decimals)} {row['oxide']}" if math.isfinite(percent) else ""


def _interval(row: pd.Series[Any], decimals: int) -> str:
    low, high = (float(row.get(f"atomic_percent_{end}", math.nan)) for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{fixed(low, decimals)}\N{EN DASH}{fixed(high, decimals)}"


def _mass_thickness(group: pd.DataFrame) -> str:
    """Mass thickness in ug/cm2, as that of the calibration is told."""
    if "mass_thickness_kg_m2" not in group:
        return ""
    first = group.iloc[0]
    value, sigma = (
        1e5 * float(first[c]) for c in ("mass_thickness_kg_m2", "mass_thickness_sigma_kg_m2")
    )
    if not math.isfinite(value):
        return ""
    decimals = decimals_of(sigma)
    unit = "\N{MICRO SIGN}g/cm\N{SUPERSCRIPT TWO}"
    return f"{fixed(value, decimals)} {_plus_minus(sigma, decimals)} {unit}"


def _plus_minus(sigma: float, decimals: int) -> str:
    return f"\N{PLUS-MINUS SIGN} {fixed(sigma, decimals)}" if math.isfinite(sigma) else ""


def main_elements(table: PhaseTable, *, at_least_percent: float = 1.0) -> tuple[str, ...]:
    """Elements of the specimen, the most abundant first.

    Parameters
    ----------
    table : PhaseTable
    at_least_percent : float, optional
        Elements that reach this in no phase are left out.

    Returns
    -------
    elements : tuple of str
    """
    highest = table.frame.groupby("element", sort=False)["atomic_percent"].max()
    chosen = highest[highest >= at_least_percent].sort_values(ascending=False, kind="stable")
    return tuple(str(e) for e in chosen.index)


def acquisition_rows(acquisition: Acquisition) -> tuple[Row, ...]:
    """The acquisition in the order of the known values."""
    rows = []
    for name, (label, unit) in FIELDS.items():
        if name in acquisition:
            entry = acquisition[name]
            value, shown_unit = short(entry.value, 6), unit
            if unit == "s" and isinstance(entry.value, float) and 0 < entry.value < 0.1:
                value, shown_unit = small_time(entry.value), ""
            rows.append(Row(label, value, shown_unit, ORIGINS[entry.origin]))
    return tuple(rows)


def calibration_rows(calibration: Calibration) -> tuple[Row, ...]:
    """What the dictionary was made with."""
    return (
        estimate_row("energy offset", calibration.energy_offset_kev, "eV", scale=1e3),
        estimate_row("energy gain", calibration.energy_gain, "\N{PER MILLE SIGN}", scale=1e3),
        *_correlation(calibration),
        estimate_row("electronic noise, FWHM", calibration.noise_ev, "eV"),
        estimate_row("Fano factor", calibration.fano, ""),
        *_resolution(calibration),
        *_pile_up(calibration),
        estimate_row("beam energy", calibration.beam_energy_kev, "keV"),
        estimate_row("take-off angle", calibration.take_off_angle_deg, "deg"),
        _thickness(calibration.mass_thickness_kg_m2),
        Row("fitted channels", f"{calibration.first_channel} to {calibration.stop_channel - 1}"),
        Row("deviance per degree of freedom", short(calibration.deviance_per_dof, 4)),
        Row("elements", ", ".join(calibration.elements) or NOTHING),
        Row("of the instrument", ", ".join(calibration.system_elements) or NOTHING),
    )


@dataclass(frozen=True)
class ElementRow:
    """One element that the data show."""

    element: str
    rank: str
    role: str
    counts: str
    ratio: str
    line: str
    where: str
    hint: str
    is_used: bool


def element_rows(calibration: Calibration) -> tuple[ElementRow, ...]:
    """What the data show of the elements, the surest first; empty where it was not looked for."""
    if calibration.identification is None:
        return ()
    return tuple(
        ElementRow(
            element=entry.element,
            rank=entry.rank,
            role=entry.role,
            counts=NOTHING if entry.counts is None else whole(entry.counts),
            ratio=whole(entry.likelihood_ratio),
            line=f"{entry.line}, {fixed(entry.line_energy_kev, 3)} keV",
            where=entry.where,
            hint=entry.hint,
            is_used=entry.element in calibration.elements
            or entry.element in calibration.system_elements,
        )
        for entry in calibration.identification.found
    )


def estimate_row(name: str, estimate: Estimate, unit: str, scale: float = 1.0) -> Row:
    """A value with its standard deviation, where it has one, and its origin."""
    value, sigma = estimate.value * scale, estimate.sigma
    if sigma is None or not sigma > 0:
        return Row(name, short(value), unit, ORIGINS[estimate.origin])
    decimals = decimals_of(sigma * scale, most=_MOST_DECIMALS)
    text = f"{fixed(value, decimals)} \N{PLUS-MINUS SIGN} {fixed(sigma * scale, decimals)}"
    origin = "measured" if estimate.origin == "file" else estimate.origin
    return Row(name, text, unit, ORIGINS[origin])


def _correlation(calibration: Calibration) -> tuple[Row, ...]:
    value = calibration.offset_gain_correlation
    return () if value is None else (Row("correlation of offset and gain", fixed(value, 2)),)


def _resolution(calibration: Calibration) -> tuple[Row, ...]:
    found = calibration.resolution_ev
    name = "resolution at Mn K\N{GREEK SMALL LETTER ALPHA}, FWHM"
    return () if found is None else (estimate_row(name, found, "eV"),)


def _pile_up(calibration: Calibration) -> tuple[Row, ...]:
    found = calibration.pile_up
    return () if found is None else (estimate_row("sum peaks", found, "% of the counts", 100.0),)


def _thickness(estimate: Estimate) -> Row:
    if estimate.value > 0:
        return estimate_row(
            "mass thickness", estimate, "\N{MICRO SIGN}g/cm\N{SUPERSCRIPT TWO}", 1e5
        )
    return Row("mass thickness", "not known: no absorption correction")


def solve_rows(factorization: Factorization) -> tuple[Row, ...]:
    """How the factorisation went."""
    attrs = factorization.attrs
    rows = [Row("phases", str(factorization.n_phases))]
    if "n_carried" in attrs:
        rows.append(Row("phases that the data carry, at most", str(attrs["n_carried"])))
    if "converged" in attrs:
        rows.append(Row("converged", "yes" if attrs["converged"] else f"NO: {_reason(attrs)}"))
    if "n_rounds" in attrs:
        rows.append(Row("rounds", str(attrs["n_rounds"])))
    if attrs.get("n_pixels_not_converged"):
        rows.append(Row("pixels that did not converge", whole(attrs["n_pixels_not_converged"])))
    spread = attrs.get("spread_deg")
    if isinstance(spread, Sequence) and len(spread):
        angles = ", ".join(short(float(angle), 2) for angle in spread)
        rows.append(Row("spread over thinnings, by phase", angles, "deg"))
    return tuple(rows)


@dataclass(frozen=True)
class PriorRow:
    """A phase of which something is known beforehand."""

    phase: str
    known: str
    cost: str
    """Deviance with its prior minus that without it."""
    limit: str
    is_contradicted: bool


def prior_rows(factorization: Factorization) -> tuple[PriorRow, ...]:
    """What is known of phases, and what it costs against the data."""
    attrs = factorization.attrs
    rows = []
    for number, name in enumerate(attrs.get("phase_names", ()), start=1):
        if name:
            cost, limit = (attrs[key][number - 1] for key in ("prior_deviance", "prior_limit"))
            rows.append(
                PriorRow(
                    f"{number}: {name}",
                    "; ".join(attrs.get("priors", {}).get(name, ())),
                    short(cost, 3),
                    short(limit, 3),
                    cost > limit,
                )
            )
    return tuple(rows)


def _reason(attrs: Mapping[str, Any]) -> str:
    pixels = attrs.get("n_pixels_not_converged") or 0
    return str(attrs.get("reason") or f"{pixels} pixels")


def provenance_rows(values: Mapping[str, Any]) -> dict[str, tuple[Row, ...]]:
    """Nested values as rows, by the first key; single values under "run"."""
    groups: dict[str, list[Row]] = {}
    for key, value in values.items():
        is_group = isinstance(value, Mapping) or _is_list_of_records(value)
        rows = groups.setdefault(str(key) if is_group else "run", [])
        rows += _flat("" if is_group else str(key), value)
    return {group: tuple(rows) for group, rows in groups.items() if rows}


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value)


def _flat(name: str, value: Any) -> list[Row]:
    if isinstance(value, Mapping):
        parts = [_flat(f"{name}.{k}" if name else str(k), v) for k, v in value.items()]
        return [row for part in parts for row in part]
    if _is_list_of_records(value):
        numbers = [
            f"{name} {i}".strip() if len(value) > 1 else name for i in range(1, len(value) + 1)
        ]
        parts = [_flat(number, v) for number, v in zip(numbers, value, strict=True)]
        return [row for part in parts for row in part]
    if isinstance(value, list | tuple):
        return [Row(name, ", ".join(str(v) for v in value) or NOTHING)]
    if value is None or value == "":
        return [Row(name, NOTHING)]
    return [Row(name, str(value))]
