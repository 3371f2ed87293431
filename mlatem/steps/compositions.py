# SPDX-License-Identifier: GPL-3.0-or-later
"""The file between the central solve and the abundances: compositions and their dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.factorization.prior_places import PhasePatterns
from mlatem.factorization.solution import CompositionSolution
from mlatem.io.arrays import load_arrays, save_arrays
from mlatem.model import Ambiguity, Dictionary, Leeway
from mlatem.steps.inputs import content_of


@dataclass(frozen=True)
class Compositions:
    """A solution, and what it was found with."""

    solution: CompositionSolution
    dictionary: Dictionary
    settings: _settings.Factorize
    patterns: PhasePatterns | None = None
    """Where the phases may be, in the order of the solution."""
    priors: Mapping[str, list[str]] = field(default_factory=dict)
    """What is known of each named phase, in words."""


def save_compositions(path: str | PathLike[str], compositions: Compositions) -> None:
    """Write a solution with the dictionary, the settings and the priors that it was found with."""
    solution = compositions.solution
    optional = {
        "patterns": compositions.patterns,
        "leeway": solution.leeway,
        "ambiguity": solution.ambiguity,
    }
    records = {
        "solution": replace(solution, leeway=None, ambiguity=None),
        "dictionary": compositions.dictionary,
        **{name: record for name, record in optional.items() if record is not None},
    }
    parts = {name: _split(record) for name, record in records.items()}
    save_arrays(
        path,
        {
            f"{record}.{name}": values
            for record, (arrays, _) in parts.items()
            for name, values in arrays.items()
        },
        {
            **{record: attrs for record, (_, attrs) in parts.items()},
            "settings": compositions.settings.model_dump(mode="json"),
            "priors": dict(compositions.priors),
        },
    )


def load_compositions(path: str | PathLike[str]) -> Compositions:
    """The inverse of `save_compositions`.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or of another step or version.
    """
    arrays, attrs = load_arrays(path)
    records: dict[str, dict[str, Any]] = {}
    with content_of(path, "compositions", "solve_compositions"):
        for record in ("solution", "dictionary", "patterns", "leeway", "ambiguity"):
            described = attrs.get(record, {}).items()
            records[record] = {k: tuple(v) if isinstance(v, list) else v for k, v in described}
        for name, values in arrays.items():
            record, _, key = name.partition(".")
            records[record][key] = values
        solved = {
            **records["solution"],
            "leeway": Leeway(**records["leeway"]) if records["leeway"] else None,
            "ambiguity": Ambiguity(**records["ambiguity"]) if records["ambiguity"] else None,
        }
        return Compositions(
            CompositionSolution(**solved),
            Dictionary(**records["dictionary"]),
            _settings.Factorize(**attrs["settings"]),
            PhasePatterns(**records["patterns"]) if records["patterns"] else None,
            attrs["priors"],
        )


def _split(record: Any) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The fields of a record that are arrays, and the others."""
    values = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in values.items() if name not in arrays}
