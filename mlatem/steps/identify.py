# SPDX-License-Identifier: GPL-3.0-or-later
"""Identification of the elements of a raw file or a store."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from mlatem.api import identify as identify_data
from mlatem.io.read import read
from mlatem.io.store import is_store
from mlatem.model import Identification, SpectrumImage
from mlatem.steps.inputs import open_source
from mlatem.steps.progress import progress

_ROW = "{:<4}{:<11}{:<11}{:>11}{:>11}  {}"


def identify(
    path: str | PathLike[str],
    *,
    elements: tuple[str, ...] = (),
    beam_energy_kev: float | None = None,
    threads: int = 1,
) -> Identification:
    """Find the elements of a raw file or a store.

    Parameters
    ----------
    path : path-like
        A vendor's file, or what `convert` wrote.
    elements : tuple of str, optional
        A list to check; empty to find all.
    beam_energy_kev : float, optional
        Takes precedence over the file's.
    threads : int, optional
        Tiles worked on at a time.

    Raises
    ------
    ReadError, StoreError
        If the path cannot be read.
    InputError
        As `mlatem.identify`.
    """
    data, options = _opened(Path(path))
    with progress("identify") as advance:
        return identify_data(
            data,
            elements,
            beam_energy_kev=beam_energy_kev,
            threads=threads,
            progress=advance,
            **options,
        )


def _opened(path: Path) -> tuple[SpectrumImage | xr.DataTree, dict[str, Any]]:
    if is_store(path):
        image, tile_shape = open_source(path)
        return image, {"tile_shape": tile_shape}
    return read(path), {}


def lines_of(identification: Identification) -> Iterator[str]:
    """A table for a terminal, line by line, with the hints below it."""
    yield _ROW.format("", "rank", "role", "counts", "ratio", "strongest line")
    for entry in identification.found:
        line = f"{entry.line} {entry.line_energy_kev:.3f} keV, {entry.where}"
        counts = "" if entry.counts is None else f"{entry.counts:.0f}"
        ratio = f"{entry.likelihood_ratio:.0f}"
        yield _ROW.format(entry.element, entry.rank, entry.role, counts, ratio, line)
    for hint, elements in _hints(identification).items():
        yield f"{', '.join(elements)}: {hint}"
    yield f"deviance per bin: {identification.deviance_per_bin:.2f} (near 1 if all is explained)"
    yield f"elements: {','.join(identification.elements)}"


def _hints(identification: Identification) -> dict[str, list[str]]:
    """Elements by what is to be minded of them."""
    hints: dict[str, list[str]] = {}
    for entry in identification.found:
        if entry.hint:
            hints.setdefault(entry.hint, []).append(entry.element)
    return hints
