# SPDX-License-Identifier: GPL-3.0-or-later
"""Which acquisition a raw file is part of, as far as its metadata tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Relation = Literal["same", "other", "unknown"]


@dataclass(frozen=True)
class Identity:
    """What the files of one acquisition have in common."""

    experiments: frozenset[str] = frozenset()
    """Names that the program gives to an acquisition and writes into all its files."""
    own: frozenset[str] = frozenset()
    """Unique numbers of the images of the file."""
    points_to: frozenset[str] = frozenset()
    """Unique numbers of images of other files of the acquisition."""
    started: str | None = None
    """Date and time of the start, as the file has it."""


def relation(one: Identity | None, other: Identity | None) -> tuple[Relation, str]:
    """Whether two files are of one acquisition, and the words that say why.

    "unknown" where the metadata say nothing of it.
    """
    if one is None or other is None:
        return "unknown", ""
    shared = one.experiments & other.experiments
    if shared:
        return "same", f"both are of the experiment {min(shared)!r}"
    if one.points_to & other.own or other.points_to & one.own:
        return "same", "one names the other"
    if one.experiments and other.experiments:
        first, second = min(one.experiments), min(other.experiments)
        return "other", f"one is of the experiment {first!r}, one of {second!r}"
    if one.started and other.started and one.started != other.started:
        return "other", f"one started at {one.started}, one at {other.started}"
    return "unknown", ""
