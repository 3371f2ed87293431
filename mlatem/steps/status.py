# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a campaign at a glance, also while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from mlatem.campaign import folder as _campaign
from mlatem.campaign.claim import RECORD, is_running
from mlatem.errors import StoreError
from mlatem.io.atomic import read_json
from mlatem.steps.outcome import Outcome, outcome_of

_STATES = ("done", "failed", "running", "waiting")


@dataclass(frozen=True)
class Status:
    """State of every dataset of a campaign."""

    outcomes: dict[str, Outcome]
    """By dataset, in the order of the sample sheet."""
    is_running: bool
    """Whether a run is under way."""
    remaining_s: float | None
    """Time until all is done, at the pace of this run; None where there is no pace yet."""

    def of(self, state: str) -> dict[str, Outcome]:
        """Datasets in a state."""
        return {name: found for name, found in self.outcomes.items() if found.state == state}

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "is_running": self.is_running,
            "remaining_s": self.remaining_s,
            "counts": {state: len(self.of(state)) for state in _STATES},
            "datasets": {
                name: {"state": found.state, "message": found.message}
                for name, found in self.outcomes.items()
            },
        }

    def lines(self, *, most: int = 20) -> list[str]:
        """For people: the numbers, why datasets failed, and what is running."""
        counts = ", ".join(f"{len(self.of(state))} {state}" for state in _STATES)
        lines = [f"{len(self.outcomes)} datasets: {counts}"]
        if self.is_running:
            rest = "not known yet" if self.remaining_s is None else _duration(self.remaining_s)
            lines.append(f"a run is under way; time until all is done: {rest}")
        elif len(self.of("done")) < len(self.outcomes):
            lines.append("no run is under way: run snakemake again to go on")
        for state in ("failed", "running"):
            found = list(self.of(state).items())
            lines += [f"{state}  {name}: {outcome.message}" for name, outcome in found[:most]]
            if len(found) > most:
                lines.append(f"{state}  and {len(found) - most} more (--all shows them)")
        return lines


def status(folder: str | PathLike[str]) -> Status:
    """State of a campaign from what its jobs left behind.

    Raises
    ------
    ConfigError
        If the configuration or the sample sheet cannot be used.
    """
    campaign = _campaign.load_folder(folder)
    results, logs = campaign.root / "results", campaign.root / "logs"
    running = is_running(results)
    outcomes = {
        name: outcome_of(results / name, logs / name, row.get("path", ""), is_running=running)
        for name, row in campaign.rows.items()
    }
    return Status(outcomes, running, _remaining_s(outcomes, results) if running else None)


def _remaining_s(outcomes: dict[str, Outcome], results: Path) -> float | None:
    begun = _begin_of_run(results)
    if begun is None:
        return None
    ended = [found for found in outcomes.values() if found.state in ("done", "failed")]
    n_ended_now = sum(found.changed_s >= begun for found in ended)
    if not n_ended_now:
        return None
    return (time.time() - begun) / n_ended_now * (len(outcomes) - len(ended))


def _begin_of_run(results: Path) -> float | None:
    try:
        since = read_json(results / RECORD)["since"]
        return datetime.strptime(since, "%Y-%m-%d %H:%M:%S %z").timestamp()
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 120 else f"about {minutes / 60:.0f} h"
