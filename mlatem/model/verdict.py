# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program decided by itself, and the qualities that it measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Decision:
    """A choice that was made automatically."""

    stage: str
    """The step that chose, for example "calibrate"."""
    choice: str
    """What was chosen, in the user's words."""
    reason: str
    """Why, with the number that decided."""
    setting: str
    """The configuration key or sample sheet column that overrides it."""

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON-safe values."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """A measured quality with its threshold."""

    name: str
    value: float
    threshold: float | None
    """Where "good" ends; None where there is no such number."""
    unit: str
    status: Status
    message: str
    """One sentence for the user: what the number means and what to do when it is not good."""

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-safe values."""
        return asdict(self)
