# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

import pandas as pd

from mlatem.model.verdict import Status
from mlatem.reporting.inputs import IndexEntry
from mlatem.reporting.numbers import duration
from mlatem.reporting.page import environment

_STATUSES: tuple[Status, ...] = ("bad", "warning", "good")


def render_index(entries: Sequence[IndexEntry], title: str = "") -> str:
    """One self-contained HTML page with a sortable row per dataset.

    Parameters
    ----------
    entries : sequence of IndexEntry
    title : str, optional
        Heading; "Campaign" if empty.

    Returns
    -------
    html : str
        Failed datasets come first, each with its message.
    """
    environ = environment()
    environ.filters.update(duration=duration, link=_link, tally=_tally)
    failed = [entry for entry in entries if not entry.finished]
    return environ.get_template("index.html.j2").render(
        title=title or "Campaign", entries=list(entries), failed=failed
    )


def campaign_frame(entries: Sequence[IndexEntry]) -> pd.DataFrame:
    """The campaign as a table, a row per dataset.

    Parameters
    ----------
    entries : sequence of IndexEntry

    Returns
    -------
    frame : DataFrame
        `dataset`, `status` ("finished" or "failed"), `message`, `n_phases`, `elements`,
        `total_counts`, `seconds`, `n_good`, `n_warning`, `n_bad`, `report`, and a column with the
        value of each verdict, named with its unit.
    """
    return pd.DataFrame([_frame_row(entry) for entry in entries], columns=_columns(entries))


def _columns(entries: Sequence[IndexEntry]) -> list[str]:
    first = ["dataset", "status", "message", "n_phases", "elements", "total_counts", "seconds"]
    named = [_verdict_column(v.name, v.unit) for entry in entries for v in entry.verdicts]
    return [*first, "n_good", "n_warning", "n_bad", "report", *dict.fromkeys(named)]


def _frame_row(entry: IndexEntry) -> dict[str, object]:
    tally = Counter(verdict.status for verdict in entry.verdicts)
    return {
        "dataset": entry.dataset,
        "status": "finished" if entry.finished else "failed",
        "message": entry.message,
        "n_phases": entry.n_phases,
        "elements": ",".join(entry.elements),
        "total_counts": entry.total_counts,
        "seconds": entry.seconds,
        **{f"n_{status}": tally[status] for status in _STATUSES},
        "report": _link(entry),
        **{_verdict_column(v.name, v.unit): v.value for v in entry.verdicts},
    }


def _verdict_column(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _link(entry: IndexEntry) -> str:
    """Relative address of the dataset's page; empty where there is none."""
    if entry.report:
        return quote(entry.report)
    return quote(f"{entry.dataset}/report.html") if entry.finished else ""


def _tally(entry: IndexEntry) -> list[tuple[str, int, str]]:
    """Status, number of verdicts and their words, the worst status first."""
    groups: list[tuple[str, int, str]] = []
    for status in _STATUSES:
        verdicts = [v for v in entry.verdicts if v.status == status]
        if verdicts:
            words = "\n".join(f"{v.name}: {v.value:.4g} {v.unit}. {v.message}" for v in verdicts)
            groups.append((status, len(verdicts), words))
    return groups
