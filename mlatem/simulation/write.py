# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a simulation: the measurement in two formats, and the truth."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import pandas as pd

from mlatem.errors import StoreError
from mlatem.io.atomic import atomic_path
from mlatem.io.datasets import save_dataset
from mlatem.io.signals import RawSignals
from mlatem.io.store import write_store
from mlatem.simulation.hspy import write_hspy
from mlatem.simulation.specimen import Simulation


def write_simulation(
    simulation: Simulation, folder: str | PathLike[str], *, name: str | None = None
) -> list[Path]:
    """Write a simulation, each file whole or not at all.

    Parameters
    ----------
    simulation : Simulation
    folder : path-like
        Created if it does not exist; files of the same names are replaced.
    name : str, optional
        Of the files; the specimen's if not given.

    Returns
    -------
    list of Path
        `<name>.hspy` and `<name>.zarr` with counts and HAADF image, `<name>_truth.zarr` with the
        maps and spectra of `Simulation.truth`, `<name>_truth.csv` with columns phase, element,
        atomic_percent.

    Raises
    ------
    StoreError
        If the folder is a file or cannot be written.
    """
    name = name or simulation.settings.name
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: a file, not a folder; choose another folder")
    hspy, store = folder / f"{name}.hspy", folder / f"{name}.zarr"
    truth, table = folder / f"{name}_truth.zarr", folder / f"{name}_truth.csv"
    named = replace(simulation, image=replace(simulation.image, name=name))
    write_hspy(named, hspy)
    write_store(raw_signals(named), store)
    save_dataset(simulation.truth, truth)
    with atomic_path(table) as partial:
        truth_table(simulation).to_csv(partial, index=False, lineterminator="\n")
    return [hspy, store, truth, table]


def raw_signals(simulation: Simulation) -> RawSignals:
    """The measurement as the reader of a raw file would return it."""
    return RawSignals(
        spectrum_images=(simulation.image,),
        surveys=(simulation.haadf,),
        original_metadata=dict(simulation.truth.attrs),
        resident_bytes=simulation.image.counts.nbytes,
    )


def truth_table(simulation: Simulation) -> pd.DataFrame:
    """True composition of each phase, a row per phase and element that it holds."""
    rows = [
        (phase.name, element, 100.0 * fraction)
        for phase in simulation.settings.phases
        for element, fraction in phase.composition.items()
    ]
    return pd.DataFrame(rows, columns=["phase", "element", "atomic_percent"])
