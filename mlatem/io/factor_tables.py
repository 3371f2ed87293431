# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of factors as CSV files."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path

from mlatem.errors import InputError
from mlatem.io.atomic import atomic_path
from mlatem.model.factor_table import Factor, FactorTable, factor_from_text, factor_to_text

COLUMNS = tuple(field.name for field in fields(Factor))
_NEEDED = ("element", "line", "kind", "value", "beam_energy_kev")


def read_factor_table(path: str | PathLike[str]) -> FactorTable:
    """The factors of a CSV file; lines that start with # are comments.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    table : FactorTable
        Named after the file.

    Raises
    ------
    InputError
        If the file is missing, no text, has a wrong heading, or a row cannot be used: naming the
        file, the line and the mend.
    """
    lines = [
        (number, line)
        for number, line in enumerate(_read_text(Path(path)).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    reader = csv.reader(line for _, line in lines)
    rows = [(lines[reader.line_num - 1][0], cells) for cells in reader]
    if not rows:
        raise InputError(
            f"factor table {path} is empty: its first line must name the columns "
            f"({', '.join(_NEEDED)}, ...); `mlatem factors` writes one to start from"
        )
    columns = [cell.strip() for cell in rows[0][1]]
    _check_columns(columns, f"factor table {path}")
    factors, numbers = [], []
    for number, cells in rows[1:]:
        label = f"factor table {path}, line {number}"
        if len(cells) != len(columns):
            raise InputError(
                f"{label}: {len(cells)} cells for {len(columns)} columns; separate cells by commas"
                " and put a text that holds one into quotation marks"
            )
        try:
            factors.append(factor_from_text(dict(zip(columns, cells, strict=True))))
        except InputError as error:
            raise InputError(f"{label}: {error}") from None
        numbers.append(number)
    _check_repeats(factors, numbers, f"factor table {path}")
    return FactorTable(tuple(factors), Path(path).name)


def write_factor_table(table: FactorTable, path: str | PathLike[str]) -> None:
    """Write the factors as a CSV file that `read_factor_table` reads back without loss."""
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(factor_to_text(factor) for factor in table.factors)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"factor table {path} is missing: correct the path, or write one with `mlatem factors`"
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f"factor table {path} is not UTF-8 text: save it as CSV in UTF-8"
        ) from None
    except OSError as error:
        raise InputError(
            f"factor table {path} cannot be read: {error.strerror}. Give the path of a CSV file"
        ) from None


def _check_columns(columns: Sequence[str], label: str) -> None:
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise InputError(
            f"{label} lacks the column {', '.join(missing)} (found: {', '.join(columns)}): its "
            "first line must name the columns, separated by commas"
        )
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{label} has two columns {column!r}: keep one")
        if column not in COLUMNS:
            near = difflib.get_close_matches(column, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(COLUMNS)}"
            raise InputError(f"{label}: unknown column {column!r}: {hint}")


def _check_repeats(factors: Sequence[Factor], numbers: Sequence[int], label: str) -> None:
    """A line that is defined twice, told by the lines of the file."""
    if not factors:
        raise InputError(f"{label} has no rows: give at least one factor")
    seen: dict[tuple[str, str, float], int] = {}
    for number, factor in zip(numbers, factors, strict=True):
        key = (factor.kind, factor.family, factor.beam_energy_kev)
        if key in seen:
            raise InputError(
                f"{label}, lines {seen[key]} and {number}: {factor.kind} of {factor.family} at "
                f"{factor.beam_energy_kev:g} keV is defined twice: keep one row for a family of "
                "lines"
            )
        seen[key] = number
