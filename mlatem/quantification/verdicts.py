# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the compositions are determined, for the report."""

from __future__ import annotations

from mlatem.model import PhaseTable, Verdict

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
