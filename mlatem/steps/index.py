# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign at a glance: what finished, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import pandas as pd

import mlatem
from mlatem.errors import StoreError
from mlatem.io.atomic import atomic_path, read_json, write_json
from mlatem.model import Verdict
from mlatem.reporting import IndexEntry, campaign_frame, render_index
from mlatem.steps.outcome import DONE, outcome_of


def index(
    rows: Mapping[str, Mapping[str, str]],
    *,
    results: str | PathLike[str],
    logs: str | PathLike[str],
    title: str = "",
) -> None:
    """Write index.html and campaign.csv from what the datasets left; DONE.json if all finished.

    Parameters
    ----------
    rows : mapping
        Cells of the sample sheet by dataset.
    results, logs : path-like
        Folders with a folder for each dataset.
    title : str, optional
        Heading of the page.
    """
    results, logs = Path(results), Path(logs)
    entries = [
        _entry(name, results / name, logs / name, row.get("path", "")) for name, row in rows.items()
    ]
    done = results / DONE
    # Missing while a dataset is: the next run then writes the page again.
    done.unlink(missing_ok=True)
    with atomic_path(results / "index.html") as partial:
        partial.write_text(render_index(entries, title), encoding="utf-8")
    with atomic_path(results / "campaign.csv") as partial:
        campaign_frame(entries).to_csv(partial, index=False)
    if all(entry.finished for entry in entries):
        write_json(done, {"mlatem": mlatem.__version__, "datasets": list(rows)})


def _entry(name: str, folder: Path, logs: Path, raw: str) -> IndexEntry:
    outcome = outcome_of(folder, logs, raw)
    if outcome.state != "done":
        return IndexEntry(dataset=name, finished=False, message=outcome.message)
    try:
        done = read_json(folder / DONE)
        thumbnail = (folder / "figures" / "thumbnail.png").read_bytes()
    except (StoreError, OSError) as error:
        return IndexEntry(dataset=name, finished=False, message=str(error))
    return IndexEntry(
        dataset=name,
        finished=True,
        n_phases=done["n_phases"],
        elements=tuple(done["elements"]),
        total_counts=done["total_counts"],
        verdicts=tuple(Verdict(**verdict) for verdict in done["verdicts"]),
        thumbnail=thumbnail,
        report=f"{name}/report.html",
        seconds=_seconds(logs),
    )


def _seconds(logs: Path) -> float | None:
    """Wall time of all jobs of a dataset, from the workflow's benchmarks; None without any."""
    times = [pd.read_csv(path, sep="\t")["s"].iloc[0] for path in logs.glob("*.benchmark.tsv")]
    return float(sum(times)) if times else None
