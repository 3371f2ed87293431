# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that the package ships; the only files that the physics opens."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DATA = Path(__file__).parent / "data"
IONIZATION_PATH = _DATA / "ionization.npz"
M_SHELL_PATH = _DATA / "m_shell.npz"
OVERRIDES_PATH = _DATA / "overrides.csv"


class IonizationTable(NamedTuple):
    """Cross-sections for ionisation by electrons, from `mlatem.physics.build_ionization`."""

    edge_ev: NDArray[np.float64]
    """Shape (n_elements, n_shells); NaN where the element has no such shell."""
    nodes: NDArray[np.float32]
    """Shape (n_elements, n_shells, n_nodes); ln(barn / ln overvoltage)."""


class MShellTable(NamedTuple):
    """Relaxation of M shells, from `mlatem.physics.build_m_shell`."""

    yields: NDArray[np.float32]
    """Shape (n_elements, 5); photons per vacancy."""
    rates: NDArray[np.float32]
    """Shape (n_elements, 5, n_sources); share of each transition in the photons of the shell."""
    vacancies: NDArray[np.float32]
    """Shape (n_elements, n_shells, 5); M vacancies per vacancy in any shell."""


@lru_cache(maxsize=1)
def ionization_table() -> IonizationTable:
    """The table of ionisation."""
    with np.load(IONIZATION_PATH) as arrays:
        return IonizationTable(arrays["edge_ev"], arrays["nodes"])


@lru_cache(maxsize=1)
def m_shell_table() -> MShellTable:
    """The table of M shells."""
    with np.load(M_SHELL_PATH) as arrays:
        return MShellTable(arrays["yields"], arrays["rates"], arrays["vacancies"])


@lru_cache(maxsize=1)
def overrides() -> dict[tuple[str, str, str], str]:
    """Values in place of faulty ones of xraylib, by element, item and quantity."""
    with OVERRIDES_PATH.open(encoding="utf-8") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        return {(row["element"], row["item"], row["quantity"]): row["value"] for row in rows}
