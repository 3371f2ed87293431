# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic and weight percent of a factorisation."""

from __future__ import annotations

from os import PathLike

from mlatem import settings as _settings
from mlatem.io.atomic import atomic_path
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.model import Factorization, PhaseTable
from mlatem.quantification.edxs import quantify as quantify_phases
from mlatem.quantification.maps import pixel_maps


def quantify(
    factorization: str | PathLike[str],
    *,
    table: str | PathLike[str],
    maps: str | PathLike[str],
    dataset: str,
    settings: _settings.Quantify,
) -> PhaseTable:
    """Quantify phases and pixels of a factorisation.

    Parameters
    ----------
    factorization : path-like
        What `factorize` wrote.
    table : path-like
        CSV file to write: a row per phase and element.
    maps : path-like
        Folder to write: at% of every pixel, its standard deviation, and the phase map.
    dataset : str
        Name written into the table.
    settings : settings.Quantify

    Returns
    -------
    table : PhaseTable
    """
    result = Factorization.from_dataset(load_dataset(factorization))
    phases = quantify_phases(result, dataset=dataset, settings=settings)
    save_dataset(pixel_maps(result, settings=settings).to_dataset(), maps)
    with atomic_path(table) as partial:
        phases.frame.to_csv(partial, index=False, float_format="%.8g")
    return phases
