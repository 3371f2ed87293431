# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the at% of each element come from: lines, absorption, factors."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mlatem.model import PhaseTable
from mlatem.reporting.numbers import NOTHING, fixed


@dataclass(frozen=True)
class OriginRow:
    """One element in all phases."""

    element: str
    lines: str
    """Families that give its amount, with their shares; by phase where they differ."""
    absorption: tuple[str, ...]
    """Share of its photons that leave the specimen, for each phase; empty if not told."""
    source: str
    """Of the intensities of its lines."""


def origin_rows(table: PhaseTable) -> tuple[OriginRow, ...]:
    """The elements of a table in its order."""
    frame = table.frame
    return tuple(
        OriginRow(
            element=str(element),
            lines=_by_phase(group, "line_or_edge"),
            absorption=_absorption(group),
            source=_by_phase(group, "factor_source"),
        )
        for element, group in frame.groupby("element", sort=False)
    )


def _absorption(group: pd.DataFrame) -> tuple[str, ...]:
    if "absorption_factor" not in group:
        return ()
    return tuple(fixed(float(value), 3) for value in group["absorption_factor"])


def _by_phase(group: pd.DataFrame, column: str) -> str:
    """A text once where all phases share it, else with the numbers of the phases."""
    phases: dict[str, list[str]] = {}
    for phase, text in zip(group["phase"], group[column], strict=True):
        if isinstance(text, str) and text:
            phases.setdefault(text, []).append(str(phase))
    if len(phases) == 1:
        return next(iter(phases))
    return "; ".join(f"{', '.join(n)}: {text}" for text, n in phases.items()) or NOTHING
