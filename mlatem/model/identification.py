# SPDX-License-Identifier: GPL-3.0-or-later
"""The elements that were found in a dataset, with what speaks for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pandas as pd

from mlatem.elements import check_symbols
from mlatem.errors import InputError

Rank = Literal["major", "minor", "candidate"]
Role = Literal["specimen", "instrument"]


@dataclass(frozen=True)
class FoundElement:
    """One element."""

    element: str
    rank: Rank
    """"major" and "minor" are used, a "candidate" is only shown."""
    role: Role
    """"instrument" for the system elements that were named beforehand."""
    counts: float | None
    """Of all its lines in the window, in the sum spectrum or in the blocks; None where they were
    not told apart from those of other elements."""
    likelihood_ratio: float
    """Twice its logarithm, for the element against none; at chance about chi square of 1."""
    line: str
    """Line with most counts in the window, for example "K-L3"."""
    line_energy_kev: float
    where: str
    """"sum spectrum", or how many of the map's blocks."""
    hint: str = ""
    """What to mind, for people."""


@dataclass(frozen=True)
class Identification:
    """All elements that were found, the surest first."""

    found: tuple[FoundElement, ...]
    deviance_per_bin: float
    """Of the sum spectrum; near 1 where the elements explain it."""

    def __post_init__(self) -> None:
        check_symbols(entry.element for entry in self.found)
        for entry in self.found:
            if entry.rank not in get_args(Rank) or entry.role not in get_args(Role):
                raise InputError(
                    f"{entry.element} has rank {entry.rank!r} and role {entry.role!r}: expected "
                    f"one of {', '.join(get_args(Rank))} and one of {', '.join(get_args(Role))}"
                )

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the specimen that are used, the surest first."""
        return tuple(
            entry.element
            for entry in self.found
            if entry.role == "specimen" and entry.rank != "candidate"
        )

    @property
    def candidates(self) -> tuple[str, ...]:
        """Elements that are shown and not used."""
        return tuple(entry.element for entry in self.found if entry.rank == "candidate")

    def to_frame(self) -> pd.DataFrame:
        """One row per element."""
        columns = list(FoundElement.__dataclass_fields__)
        return pd.DataFrame([asdict(entry) for entry in self.found], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-safe values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Identification:
        """The inverse of `to_dict`."""
        return cls(
            found=tuple(FoundElement(**entry) for entry in values["found"]),
            deviance_per_bin=float(values["deviance_per_bin"]),
        )
