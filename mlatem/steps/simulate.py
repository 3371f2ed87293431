# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated raw files with their truth."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mlatem.errors import ConfigError
from mlatem.simulation.specimen import simulate as simulate_specimen
from mlatem.simulation.write import write_simulation
from mlatem.specimen import load_specimen


def simulate(
    specimen: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    name: str | None = None,
    seed: int | None = None,
) -> list[Path]:
    """Simulate a specimen and write its data with the truth beside.

    Parameters
    ----------
    specimen : path-like
        YAML description, see `mlatem.specimen`.
    folder : path-like
        Where to write.
    name : str, optional
        Of the files; the specimen's if not given.
    seed : int, optional
        Replaces the specimen's.

    Returns
    -------
    paths : list of Path
        The files and folders written.

    Raises
    ------
    ConfigError
        If the description or the name cannot be used.
    """
    if name is not None and (not name or Path(name).name != name):
        raise ConfigError(f"name {name!r}: expected the name of a file, without folders")
    simulation = simulate_specimen(load_specimen(specimen), seed=seed)
    return write_simulation(simulation, folder, name=name)
