# SPDX-License-Identifier: GPL-3.0-or-later
"""A detector's layers, or its efficiency, from a file of the user."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlatem.elements import atomic_number
from mlatem.errors import InputError, ReadError
from mlatem.physics.layers import Layer

_LAYER_COLUMNS = ("material", "thickness_nm", "density_g_cm3")
_TABLE_COLUMNS = ("energy_kev", "efficiency")
_FORM = (
    "Give the columns material, thickness_nm, density_g_cm3 and, for grids, open_area; or "
    "energy_keV, efficiency"
)


@dataclass(frozen=True, eq=False)
class EfficiencyTable:
    """Efficiency at given energies."""

    energy_kev: NDArray[np.float64]
    """Shape (n_points,), increasing."""
    efficiency: NDArray[np.float64]
    """Shape (n_points,), between 0 and 1."""

    def at(self, energy_kev: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolated linearly; beyond the table, its first or last value."""
        value: NDArray[np.float64] = np.interp(energy_kev, self.energy_kev, self.efficiency)
        return value


def read_detector_file(path: str | Path) -> tuple[Layer, ...] | EfficiencyTable:
    """Layers or efficiency of a detector from a CSV file.

    Parameters
    ----------
    path : path-like
        Either a row per layer, ``material,thickness_nm,density_g_cm3,open_area``, with a formula
        as material ("Si3N4", "C22H10N2O5") and the last column left out or empty for foils; or a
        row per energy, ``energy_keV,efficiency``. Lines that start with # are comments.

    Returns
    -------
    tuple of Layer, or EfficiencyTable
        Cached until the file changes.

    Raises
    ------
    ReadError
        Naming the file, the row and the mend.
    """
    return _read(Path(path), detector_file_state(path))


def detector_file_state(path: str | Path | None) -> int:
    """A number that changes when the file does; 0 for no file.

    Raises
    ------
    ReadError
        If there is no such file.
    """
    if path is None:
        return 0
    try:
        return Path(path).stat().st_mtime_ns
    except OSError as error:
        raise ReadError(
            path, f"cannot be read ({error.strerror})", "Correct edxs.detector.efficiency_file"
        ) from error


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> tuple[Layer, ...] | EfficiencyTable:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(path, f"cannot be read ({error})", _FORM) from error
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise ReadError(path, "is empty", _FORM)
    names = [name.strip().lower() for name in next(csv.reader([lines[0][1]]))]
    rows = [
        _Row(path, number, dict(zip(names, next(csv.reader([line])), strict=False)))
        for number, line in lines[1:]
    ]
    if not rows:
        raise ReadError(path, "has a heading and no rows", _FORM)
    if set(_LAYER_COLUMNS) <= set(names):
        return tuple(_layers(rows))
    if set(_TABLE_COLUMNS) <= set(names):
        return _table(path, rows)
    raise ReadError(path, f"has the columns {', '.join(names)}", _FORM)


@dataclass(frozen=True)
class _Row:
    path: Path
    line: int
    values: Mapping[str, str]

    def error(self, cause: str, mend: str) -> ReadError:
        return ReadError(self.path, f"line {self.line}: {cause}", mend)

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        text = self.values.get(name, "").strip()
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            limits = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
            raise self.error(f"{name} is {text!r}", f"Give a number, {limits}")
        return value


def _layers(rows: list[_Row]) -> Iterator[Layer]:
    for row in rows:
        name = row.values["material"].strip()
        try:
            composition = parse_formula(name)
        except InputError as error:
            raise row.error(f"material {name!r}: {error}", "Give a formula such as Si3N4") from None
        density = row.number("density_g_cm3", 0.0, 30.0)
        if density == 0:
            raise row.error("density_g_cm3 is 0", "Give the density of the layer in g/cm3")
        thickness = row.number("thickness_nm", 0.0, math.inf)
        if thickness == math.inf:
            raise row.error("thickness_nm is infinite", "Give the thickness of the layer in nm")
        yield Layer(name, composition, thickness, density, row.number("open_area", 0.0, 1.0, 0.0))


def _table(path: Path, rows: list[_Row]) -> EfficiencyTable:
    energy = np.array([row.number("energy_kev", 0.0, 1e3) for row in rows])
    value = np.array([row.number("efficiency", 0.0, 1.0) for row in rows])
    falls = np.flatnonzero(np.diff(energy) <= 0)
    if falls.size:
        row = rows[int(falls[0]) + 1]
        raise row.error(
            f"energy_keV {energy[falls[0] + 1]:g} does not lie above the row before",
            "Sort the rows by energy and give each energy once",
        )
    if not value.any():
        raise ReadError(path, "the efficiency is 0 at all energies", "Give values from 0 to 1")
    return EfficiencyTable(energy, value)


def parse_formula(formula: str) -> dict[str, float]:
    """Atoms of a formula without brackets, "Si3N4" or "C22H10N2O5".

    Raises
    ------
    InputError
        If it is not a row of symbols and numbers, or an element is unknown.
    """
    if not re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*)+", formula):
        raise InputError("not a formula of symbols and numbers")
    atoms: dict[str, float] = {}
    for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula):
        atomic_number(symbol)
        if number == ".":
            raise InputError("not a formula of symbols and numbers")
        atoms[symbol] = atoms.get(symbol, 0.0) + (float(number) if number else 1.0)
    if not sum(atoms.values()) > 0:
        raise InputError("it has no atoms")
    return atoms
