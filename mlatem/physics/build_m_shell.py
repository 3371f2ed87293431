# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the table of M-shell relaxation that the package ships.

    python -m mlatem.physics.build_m_shell FOLDER

FOLDER holds `relax.csv` of the EPQ library of NIST's DTSA-II (public domain): photons per vacancy
and transition, from D. E. Cullen's RELAX and the Evaluated Atomic Data Library (ENDLIB-97). The
table is written to `mlatem/physics/data/m_shell.npz`, or to the file given as a second argument.
It holds, per element, the fluorescence yields of M1 to M5, the shares of the transitions in the
photons of each shell, and the numbers of M vacancies that a vacancy in K to M5 leads to
(Coster-Kronig, Auger and radiative cascade together).

The M yields of xraylib are not used because they jump between elements: M2 of Au is seven times
that of Re, M4 stays at 0.0027 from Ge to Nd.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.physics.bote_salvat import SHELLS
from mlatem.physics.ionization import MAX_NUMBER
from mlatem.physics.relaxation import M_SOURCES
from mlatem.physics.shipped import M_SHELL_PATH

SOURCE = (
    "Computed by mlatem.physics.build_m_shell from the relaxation weights (RELAX, D. E. Cullen, "
    "ENDLIB-97) of the EPQ library of DTSA-II, US National Institute of Standards and Technology "
    "(public domain)"
)

_FIRST_M = SHELLS.index("M1")

log = logging.getLogger(__name__)


def build(folder: Path, target: Path = M_SHELL_PATH) -> None:
    """Compute the table from `relax.csv` in `folder` and write it to `target`.

    Raises
    ------
    ReadError
        If `relax.csv` cannot be read.
    """
    path = folder / "relax.csv"
    try:
        rows = np.loadtxt(path, delimiter=",", comments="//")
    except (OSError, ValueError) as error:
        raise ReadError(
            path, f"cannot be read ({error})", "Give the folder of the EPQ tables"
        ) from error
    n_shells = len(SHELLS)
    number, ionized, emitting = rows[:, :3].astype(int).T
    used = (number <= MAX_NUMBER) & (ionized < n_shells) & (emitting < n_shells)
    photons = np.zeros((MAX_NUMBER + 1, n_shells, n_shells))
    np.add.at(photons, (number[used], ionized[used], emitting[used]), rows[used, 4])

    fluorescence = np.diagonal(photons, axis1=1, axis2=2)[:, _FIRST_M:]
    with np.errstate(divide="ignore", invalid="ignore"):
        vacancies = photons[:, :, _FIRST_M:] / fluorescence[:, None, :]
    vacancies = np.where(fluorescence[:, None, :] > 0, vacancies, 0.0)
    np.savez_compressed(
        target,
        yields=fluorescence.astype(np.float32),
        rates=_rates(rows).astype(np.float32),
        vacancies=vacancies.astype(np.float32),
        source=np.array(SOURCE),
    )
    log.info("%s: %d bytes", target, target.stat().st_size)


def _rates(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the transitions in the photons of M1 to M5, shape (element, 5, source shell)."""
    number, ionized, emitting, source = rows[:, :4].astype(int).T
    is_m = (emitting >= _FIRST_M) & (emitting < len(SHELLS)) & (source < len(M_SOURCES))
    used = is_m & (number <= MAX_NUMBER) & (ionized == emitting)
    photons = np.zeros((MAX_NUMBER + 1, len(SHELLS) - _FIRST_M, len(M_SOURCES)))
    np.add.at(photons, (number[used], emitting[used] - _FIRST_M, source[used]), rows[used, 4])
    total = photons.sum(axis=2, keepdims=True)
    return np.where(total > 0, photons / np.where(total > 0, total, 1.0), 0.0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build(Path(sys.argv[1]), *(Path(argument) for argument in sys.argv[2:]))
