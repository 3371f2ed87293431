# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a dataset: from its DONE.json and the logs of its jobs, without heavy imports."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlatem.logs import FINISHED

DONE = "DONE.json"
THUMBNAIL = "thumbnail.png"

State = Literal["done", "failed", "running", "waiting"]

_ERROR = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) \S+: (.*)$")


@dataclass(frozen=True)
class Outcome:
    """State of one dataset."""

    state: State
    message: str = ""
    """Why it failed, which step is running, or what to do."""
    changed_s: float = 0.0
    """When it came to this state, seconds since 1970; 0 where nothing happened yet."""


def outcome_of(folder: Path, logs: Path, raw: str, *, is_running: bool = False) -> Outcome:
    """State of a dataset.

    Parameters
    ----------
    folder, logs : Path
        Of the dataset's results and logs.
    raw : str
        Its raw files, for messages.
    is_running : bool, optional
        Whether a run of the campaign is under way: then a log without an end is of a job that
        works, else of one that was stopped.

    Returns
    -------
    Outcome
        Only logs that are newer than the result are read, so that this is quick for what is done.
    """
    finished = _changed(folder / DONE)
    failures: list[tuple[float, str]] = []
    working: list[tuple[float, str]] = []
    submitted = False
    for changed, path, size in _newer_logs(logs, finished or 0.0):
        if is_running and not size:  # made when the job was submitted
            submitted = True
            continue
        message, has_ended = _end_of(path, raw)
        if has_ended:
            failures += [(changed, f"{path.stem}: {message}")] if message else []
        elif is_running:
            working.append((changed, path.stem))
        else:
            failures.append((changed, f"{path.stem}: {message}"))
    if working and (not failures or max(working) > max(failures)):
        changed, step = max(working)
        return Outcome("running", step, changed)
    if failures:
        changed, message = max(failures)
        return Outcome("failed", message, changed)
    if finished is not None:
        return Outcome("done", "", finished)
    if is_running:
        return Outcome("waiting", "submitted" if submitted else "")
    return Outcome("waiting", f"not started: {raw}; run the workflow again")


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _newer_logs(logs: Path, time_s: float) -> list[tuple[float, Path, int]]:
    """Logs that were written to after `time_s`, each with when, and its bytes."""
    try:
        with os.scandir(logs) as entries:
            found = [(entry.path, entry.stat()) for entry in entries if entry.name.endswith(".log")]
    except OSError:
        return []
    return [(s.st_mtime, Path(path), s.st_size) for path, s in found if s.st_mtime > time_s]


def _end_of(log: Path, raw: str) -> tuple[str, bool]:
    """Why a job failed, empty if it did not, and whether its log has an end."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"its log cannot be read: {error}", True
    errors = [match[1] for line in lines if (match := _ERROR.match(line))]
    if errors:
        return errors[-1], True
    if any(FINISHED in line for line in lines):
        return "", True
    words = "stopped without a message, killed or out of memory, while working on"
    return f"{words} {raw}; see {log}", False
