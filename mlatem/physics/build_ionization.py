# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the ionisation table that the package ships.

    python -m mlatem.physics.build_ionization FOLDER

FOLDER holds `SalvatXionA.csv`, `SalvatXionB.csv` and `xionUis.csv` of the EPQ library of NIST's
DTSA-II (public domain). The table is written to `mlatem/physics/data/ionization.npz`, or to the
file given as a second argument. The same coefficients always give the same file.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.physics.bote_salvat import SHELLS, Coefficients, cross_section_barn
from mlatem.physics.ionization import (
    MAX_BEAM_ENERGY_KEV,
    MAX_NUMBER,
    MIN_BEAM_ENERGY_KEV,
    MIN_NUMBER,
)
from mlatem.physics.shipped import IONIZATION_PATH

#: Nodes per shell, evenly spaced in ln(beam energy) from the edge (or 20 keV) to 400 keV.
N_NODES = 64

SOURCE = (
    "Computed by mlatem.physics.build_ionization from D. Bote, F. Salvat, A. Jablonski, "
    "C. J. Powell, Atomic Data and Nuclear Data Tables 95 (2009) 871, with the coefficients of "
    "the EPQ library of DTSA-II, US National Institute of Standards and Technology (public domain)"
)

log = logging.getLogger(__name__)


def reduced_nodes(shell: Coefficients) -> NDArray[np.float64]:
    """ln(cross-section in barn / ln overvoltage) on the shell's grid of beam energies.

    The quotient stays finite at the edge, where the cross-section itself goes to zero, and is
    smooth enough that linear interpolation is good to 0.1 %.
    """
    # At the edge itself both parts of the quotient are zero.
    start = max(1e3 * MIN_BEAM_ENERGY_KEV, shell.edge_ev * (1 + 1e-6))
    energy = np.geomspace(start, 1e3 * MAX_BEAM_ENERGY_KEV, N_NODES)
    return np.log(cross_section_barn(energy, shell) / np.log(energy / shell.edge_ev))


def build(folder: Path, target: Path = IONIZATION_PATH) -> None:
    """Compute the table from the coefficients in `folder` and write it to `target`.

    Raises
    ------
    ReadError
        If the coefficients cannot be read.
    """
    shape = (MAX_NUMBER + 1, len(SHELLS))
    edge_ev = np.full(shape, np.nan)
    nodes = np.full((*shape, N_NODES), np.nan, dtype=np.float32)
    for (number, shell), coefficients in read_coefficients(folder).items():
        if MIN_NUMBER <= number <= MAX_NUMBER and coefficients.edge_ev < 1e3 * MAX_BEAM_ENERGY_KEV:
            index = number, SHELLS.index(shell)
            edge_ev[index] = coefficients.edge_ev
            nodes[index] = reduced_nodes(coefficients)
    np.savez_compressed(target, edge_ev=edge_ev, nodes=nodes, source=np.array(SOURCE))
    log.info("%s: %d shells, %d bytes", target, np.isfinite(edge_ev).sum(), target.stat().st_size)


def read_coefficients(folder: Path) -> dict[tuple[int, str], Coefficients]:
    """All coefficients of the folder that holds the three EPQ files.

    Parameters
    ----------
    folder : Path
        With `SalvatXionA.csv`, `SalvatXionB.csv` and `xionUis.csv`.

    Returns
    -------
    dict
        Keyed by (atomic number, shell).

    Raises
    ------
    ReadError
        If a file is missing or does not hold what its name promises.
    """
    edges = _rows(folder / "xionUis.csv")
    low = _rows(folder / "SalvatXionA.csv")
    high = _rows(folder / "SalvatXionB.csv")
    coefficients = {}
    for number, edge_row in edges.items():
        for index, edge_ev in enumerate(edge_row):
            a = low[number][5 * index : 5 * index + 5]
            g = high[number][6 * index : 6 * index + 6]
            if a.size != 5 or g.size != 6:
                raise ReadError(
                    folder,
                    f"coefficients of shell {SHELLS[index]} are missing for atomic number {number}",
                    "Take the three files from one release of EPQ",
                )
            coefficients[number, SHELLS[index]] = Coefficients(float(edge_ev), a, g)
    return coefficients


def _rows(path: Path) -> dict[int, NDArray[np.float64]]:
    """Values of a comma-separated file by the integer in its first column."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        table = [[float(v) for v in line.split(",") if v.strip()] for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ReadError(
            path, f"cannot be read ({error})", "Give the folder of the EPQ tables"
        ) from error
    return {int(row[0]): np.array(row[1:]) for row in table}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build(Path(sys.argv[1]), *(Path(argument) for argument in sys.argv[2:]))
