# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign at a glance: what finished, what failed and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import pandas as pd

import mlatem
from mlatem.errors import StoreError
from mlatem.io.atomic import atomic_path, read_json, write_json
from mlatem.logs import FINISHED
from mlatem.model import Verdict
from mlatem.reporting import IndexEntry, campaign_frame, render_index

_ERROR = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) \S+: (.*)$")
_DONE = "DONE.json"


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
    done = results / _DONE
    # Missing while a dataset is: the next run then writes the page again.
    done.unlink(missing_ok=True)
    with atomic_path(results / "index.html") as partial:
        partial.write_text(render_index(entries, title), encoding="utf-8")
    with atomic_path(results / "campaign.csv") as partial:
        campaign_frame(entries).to_csv(partial, index=False)
    if all(entry.finished for entry in entries):
        write_json(done, {"mlatem": mlatem.__version__, "datasets": list(rows)})


def _entry(name: str, folder: Path, logs: Path, raw: str) -> IndexEntry:
    failure = _failure(folder / _DONE, logs, raw)
    if failure is not None:
        return IndexEntry(dataset=name, finished=False, message=failure)
    try:
        done = read_json(folder / _DONE)
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


def _failure(done: Path, logs: Path, raw: str) -> str | None:
    """Why a dataset has no up-to-date result; None if it has one."""
    finished = done.stat().st_mtime if done.is_file() else None
    found = []
    for path in logs.glob("*.log"):
        changed = path.stat().st_mtime
        if finished is None or changed > finished:
            message = _message(path, raw)
            found += [(changed, f"{path.stem}: {message}")] if message else []
    if found:
        return max(found)[1]
    return None if finished is not None else f"not started: {raw}; run the workflow again"


def _message(log: Path, raw: str) -> str | None:
    """Why a job failed, from its log; None for a job that finished."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [match[1] for line in lines if (match := _ERROR.match(line))]
    if errors:
        return errors[-1]
    if any(FINISHED in line for line in lines):
        return None
    return f"stopped without a message, killed or out of memory, while working on {raw}; see {log}"
