# SPDX-License-Identifier: GPL-3.0-or-later
"""The file between the central solve and the abundances: compositions and their dictionary."""

from __future__ import annotations

from dataclasses import fields, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.factorization.solver import CompositionSolution
from mlatem.io.arrays import load_arrays, save_arrays
from mlatem.model import Ambiguity, Dictionary, Leeway
from mlatem.steps.inputs import content_of


def save_compositions(
    path: str | PathLike[str],
    solution: CompositionSolution,
    dictionary: Dictionary,
    settings: _settings.Factorize,
) -> None:
    """Write a solution with the dictionary and the settings that it was found with."""
    solved, solved_attrs = _split(replace(solution, leeway=None, ambiguity=None))
    columns, column_attrs = _split(dictionary)
    leeway = {} if solution.leeway is None else vars(solution.leeway)
    opened, opened_attrs = _split(solution.ambiguity) if solution.ambiguity else ({}, None)
    save_arrays(
        path,
        {f"solution.{name}": values for name, values in solved.items()}
        | {f"dictionary.{name}": values for name, values in columns.items()}
        | {f"leeway.{name}": values for name, values in leeway.items()}
        | {f"ambiguity.{name}": values for name, values in opened.items()},
        {
            "solution": solved_attrs,
            "dictionary": column_attrs,
            "ambiguity": opened_attrs,
            "settings": settings.model_dump(mode="json"),
        },
    )


def load_compositions(
    path: str | PathLike[str],
) -> tuple[CompositionSolution, Dictionary, _settings.Factorize]:
    """The inverse of `save_compositions`.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or of another step or version.
    """
    arrays, attrs = load_arrays(path)
    records: dict[str, dict[str, Any]] = {"leeway": {}}
    with content_of(path, "compositions", "solve_compositions"):
        for record in ("solution", "dictionary", "ambiguity"):
            described = (attrs.get(record) or {}).items()
            records[record] = {k: tuple(v) if isinstance(v, list) else v for k, v in described}
        for name, values in arrays.items():
            record, _, field = name.partition(".")
            records[record][field] = values
        leeway = Leeway(**records["leeway"]) if records["leeway"] else None
        found = Ambiguity(**records["ambiguity"]) if records["ambiguity"] else None
        solved = {**records["solution"], "leeway": leeway, "ambiguity": found}
        return (
            CompositionSolution(**solved),
            Dictionary(**records["dictionary"]),
            _settings.Factorize(**attrs["settings"]),
        )


def _split(record: Any) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The fields of a record that are arrays, and the others."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in values.items() if name not in arrays}
