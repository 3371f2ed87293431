# SPDX-License-Identifier: GPL-3.0-or-later
"""A detector's layers, or its efficiency, from a CSV file of the user."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mlatem import settings
from mlatem.elements import parse_formula
from mlatem.errors import InputError, ReadError
from mlatem.model import DescribedDetector, EfficiencyTable, Layer

_LAYER_COLUMNS = ("material", "thickness_nm", "density_g_cm3")
_TABLE_COLUMNS = ("energy_kev", "efficiency")
_FORM = (
    "Give the columns material, thickness_nm, density_g_cm3 and, for grids, open_area; or "
    "energy_keV, efficiency"
)


def with_detector_file(edxs: settings.Edxs | None) -> settings.Edxs:
    """The settings (None: the defaults) with `described_detector` as their detector.

    Raises
    ------
    ReadError
        As `read_detector_file`.
    """
    edxs = edxs or settings.Edxs()
    return edxs.model_copy(update={"detector": described_detector(edxs.detector)})


def described_detector(detector: settings.Detector) -> settings.Detector:
    """The detector with what its `efficiency_file` holds, if one is named and not yet read.

    Raises
    ------
    ReadError
        As `read_detector_file`.
    """
    if detector.efficiency_file is None or isinstance(detector, DescribedDetector):
        return detector
    described = read_detector_file(detector.efficiency_file)
    return DescribedDetector(**detector.model_dump(), described=described)


def read_detector_file(path: str | PathLike[str]) -> tuple[Layer, ...] | EfficiencyTable:
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

    Raises
    ------
    ReadError
        Naming the file, the row and the mend.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ReadError(
            path, f"cannot be read ({error.strerror})", "Correct edxs.detector.efficiency_file"
        ) from error
    except UnicodeDecodeError as error:
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
        name = row.values.get("material", "").strip()
        try:
            parse_formula(name)
        except InputError as error:
            raise row.error(f"material {name!r}: {error}", "Give a formula such as Si3N4") from None
        density = row.number("density_g_cm3", 0.0, 30.0)
        if density == 0:
            raise row.error("density_g_cm3 is 0", "Give the density of the layer in g/cm3")
        thickness = row.number("thickness_nm", 0.0, math.inf)
        if thickness == math.inf:
            raise row.error("thickness_nm is infinite", "Give the thickness of the layer in nm")
        yield Layer(name, thickness, density, row.number("open_area", 0.0, 1.0, 0.0))


def _table(path: Path, rows: list[_Row]) -> EfficiencyTable:
    energy = [row.number("energy_kev", 0.0, 1e3) for row in rows]
    value = [row.number("efficiency", 0.0, 1.0) for row in rows]
    falls = np.flatnonzero(np.diff(energy) <= 0)
    if falls.size:
        row = rows[int(falls[0]) + 1]
        raise row.error(
            f"energy_keV {energy[falls[0] + 1]:g} does not lie above the row before",
            "Sort the rows by energy and give each energy once",
        )
    if not any(value):
        raise ReadError(path, "the efficiency is 0 at all energies", "Give values from 0 to 1")
    return EfficiencyTable(tuple(energy), tuple(value))
