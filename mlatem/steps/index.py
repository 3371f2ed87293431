# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign at a glance: what finished, what failed and why."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import mlatem
from mlatem.campaign.folder import load_folder
from mlatem.errors import MlatemError, StoreError
from mlatem.io.atomic import atomic_path, read_json, write_json
from mlatem.logs import FINISHED
from mlatem.model import Verdict
from mlatem.reporting import IndexEntry, campaign_frame, render_index
from mlatem.steps.outcome import DONE, THUMBNAIL, outcome_of

_logger = logging.getLogger(__name__)

#: Held by the job that writes the page.
_LOCK = ".index.lock"
_TIME = re.compile(rf"{FINISHED} in ([\d.]+) s")


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
    _write(entries, results, title)
    if all(entry.finished for entry in entries):
        write_json(done, {"mlatem": mlatem.__version__, "datasets": list(rows)})


def refresh(folder: str | PathLike[str] = ".", *, min_age_s: float = 60.0) -> bool:
    """Bring the page of a campaign that is running up to date, unless it is nearly so.

    Called by every dataset that finishes: the page shows those that finished or failed so far. One
    job at a time writes it, and not more often than its size allows. A page that cannot be written
    now is no fault of the dataset.

    Parameters
    ----------
    folder : path-like, optional
        Of the campaign.
    min_age_s : float, optional
        Least age of a page that is replaced; of large campaigns 1 s for 20 datasets.

    Returns
    -------
    is_written : bool
    """
    results, logs = Path(folder) / "results", Path(folder) / "logs"
    try:
        # Asked first: thousands of datasets must not read the sheet of thousands each.
        if (results / DONE).exists() or (min_age_s and time.time() < _due_s(results)):
            return False
        campaign = load_folder(folder)
        with (results / _LOCK).open("a", encoding="utf-8") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            due_s = time.time() + max(min_age_s, len(campaign.rows) / 20)
            os.utime(results / _LOCK, (due_s, due_s))
            entries = []
            for name, row in campaign.rows.items():
                raw = row.get("path", "")
                outcome = outcome_of(results / name, logs / name, raw, is_running=True)
                if outcome.state in ("done", "failed"):
                    entries.append(_entry(name, results / name, logs / name, raw))
            title = campaign.settings.report.title or "Campaign"
            so_far = f"{len(entries)} of {len(campaign.rows)} datasets so far"
            _write(entries, results, f"{title}: {so_far}")
    except (MlatemError, OSError) as error:
        _logger.info("the page of the campaign was not brought up to date: %s", error)
        return False
    return True


def _due_s(results: Path) -> float:
    """From when on the page may be written again: the time stamp of the lock, set ahead."""
    if not (results / "index.html").exists():
        return 0.0
    return (results / _LOCK).stat().st_mtime if (results / _LOCK).exists() else 0.0


def _write(entries: Sequence[IndexEntry], results: Path, title: str) -> None:
    with atomic_path(results / "index.html") as partial:
        partial.write_text(render_index(entries, title), encoding="utf-8")
    with atomic_path(results / "campaign.csv") as partial:
        campaign_frame(entries).to_csv(partial, index=False)


def _entry(name: str, folder: Path, logs: Path, raw: str) -> IndexEntry:
    outcome = outcome_of(folder, logs, raw)
    if outcome.state != "done":
        return IndexEntry(dataset=name, finished=False, message=outcome.message)
    try:
        done = read_json(folder / DONE)
        thumbnail = (folder / THUMBNAIL).read_bytes()
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
    """Wall time of all jobs of a dataset, from the last lines of their logs; None without any."""
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in logs.glob("*.log"))
    times = [float(seconds) for text in texts for seconds in _TIME.findall(text)]
    return sum(times) if times else None
