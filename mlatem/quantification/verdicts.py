# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the compositions are determined, for the report."""

from __future__ import annotations

import pandas as pd

from mlatem.model import Decision, PhaseTable, Verdict
from mlatem.quantification.methods import RATIOS_ONLY

_SIGMA_LIMIT_PERCENT = 5.0


def verdicts(table: PhaseTable) -> tuple[Verdict, ...]:
    """Whether the counts determine the composition of every phase.

    Returns
    -------
    verdicts : tuple of Verdict
        Empty where nothing was quantified.
    """
    frame = table.frame.dropna(subset=["sigma_stat"])
    if frame.empty:
        return ()
    return (*_determination(frame), *_method(str(frame["method"].iloc[0])))


def decisions(table: PhaseTable) -> tuple[Decision, ...]:
    """What was decided by itself: ratios, where amounts could not be told.

    Returns
    -------
    decisions : tuple of Decision
    """
    if table.frame.empty:
        return ()
    name, _, rest = str(table.frame["method"].iloc[0]).partition(": ")
    if not rest:
        return ()
    return (
        Decision(
            "quantify",
            f"{name} gives ratios of elements only: no mass thickness",
            rest.removeprefix(f"{RATIOS_ONLY}, "),
            "columns beam_current_na, live_time_s, solid_angle_sr",
        ),
    )


def _method(method: str) -> tuple[Verdict, ...]:
    """A method that lacks the dose: what was asked for beyond ratios could not be done."""
    name, _, rest = method.partition(": ")
    if not rest or name == "absolute":
        return ()
    return (
        Verdict(
            "method",
            0.0,
            1.0,
            "",
            "warning",
            f"{name} was asked for, but {rest.removeprefix(f'{RATIOS_ONLY}, ')}: compositions are "
            "ratios, mass thickness is missing; give beam_current_na, live_time_s and "
            "solid_angle_sr",
        ),
    )


def _determination(frame: pd.DataFrame) -> tuple[Verdict, ...]:
    """The standard deviation of the least certain composition."""
    worst = frame.sort_values("sigma_stat").iloc[-1]
    sigma = float(worst["sigma_stat"])
    is_good = sigma <= _SIGMA_LIMIT_PERCENT
    return (
        Verdict(
            "least certain composition",
            sigma,
            _SIGMA_LIMIT_PERCENT,
            "at%",
            "good" if is_good else "warning",
            f"{worst['element']} in phase {worst['phase']}, one standard deviation of the counts"
            if is_good
            else f"the counts hardly determine {worst['element']} in phase {worst['phase']}: ask "
            "for fewer phases, or take its composition as unknown",
        ),
    )
