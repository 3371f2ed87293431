# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic and weight percent of a factorisation."""

from __future__ import annotations

from os import PathLike

from mlatem import api
from mlatem import settings as _settings
from mlatem.io.atomic import atomic_path
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.model import Factorization, PhaseTable
from mlatem.sheet import DatasetRow
from mlatem.steps.inputs import content_of, load_calibration


def quantify(
    factorization: str | PathLike[str],
    calibration: str | PathLike[str],
    *,
    table: str | PathLike[str],
    maps: str | PathLike[str],
    dataset: str,
    edxs: _settings.Edxs,
    settings: _settings.Quantify,
    row: DatasetRow | None = None,
) -> PhaseTable:
    """Quantify phases and pixels of a factorisation.

    Parameters
    ----------
    factorization, calibration : path-like
        What `factorize` and `calibrate` wrote.
    table : path-like
        CSV file to write: a row per phase and element.
    maps : path-like
        Folder to write: at% of every pixel, its standard deviation, the phase map, and the mass
        thickness.
    dataset : str
        Name written into the table.
    edxs, settings : settings records
    row : DatasetRow, optional
        What it says of oxygen takes precedence.

    Returns
    -------
    table : PhaseTable
    """
    settings = quantify_settings(row, settings)
    with content_of(factorization, "a factorisation", "mlatem factorize"):
        result = Factorization.from_dataset(load_dataset(factorization))
    known = load_calibration(calibration)
    phases = api.quantify(result, calibration=known, dataset=dataset, edxs=edxs, settings=settings)
    pixels = api.quantify_pixels(result, settings=settings)
    thickness = api.mass_thickness(result, known, edxs=edxs, settings=settings)
    save_dataset(pixels.merge(thickness), maps)
    with atomic_path(table) as partial:
        phases.frame.to_csv(partial, index=False, float_format="%.8g")
    return phases


def quantify_settings(row: DatasetRow | None, settings: _settings.Quantify) -> _settings.Quantify:
    """The settings of one dataset: what its row of the sample sheet says takes precedence."""
    if row is None or row.oxygen is None:
        return settings
    return settings.model_copy(update={"oxygen": row.oxygen})
