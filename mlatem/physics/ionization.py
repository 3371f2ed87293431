# SPDX-License-Identifier: GPL-3.0-or-later
"""Electron-impact ionisation cross-sections from the table that the package ships.

The table holds the cross-sections of Bote, Salvat, Jablonski and Powell, Atomic Data and Nuclear
Data Tables 95 (2009) 871, for Be to Pu and beam energies from 20 to 400 keV, computed by
`mlatem.physics.build_ionization`.
"""

from __future__ import annotations

import numpy as np

from mlatem.elements import atomic_number
from mlatem.errors import InputError
from mlatem.physics.bote_salvat import SHELLS
from mlatem.physics.shipped import ionization_table

MIN_BEAM_ENERGY_KEV = 20.0
MAX_BEAM_ENERGY_KEV = 400.0
MIN_NUMBER = 4
MAX_NUMBER = 94


def check_beam_energy(beam_energy_kev: float | None) -> float:
    """The beam energy, if cross-sections are known for it.

    Raises
    ------
    InputError
        If it is missing, not a number, or outside 20 to 400 keV.
    """
    if beam_energy_kev is None:
        raise InputError(
            "the beam energy is missing: give `beam_energy_kev` in datasets.tsv, for example 200"
        )
    if not MIN_BEAM_ENERGY_KEV <= beam_energy_kev <= MAX_BEAM_ENERGY_KEV:
        raise InputError(
            f"beam energy {beam_energy_kev} keV lies outside the ionisation table "
            f"({MIN_BEAM_ENERGY_KEV:g} to {MAX_BEAM_ENERGY_KEV:g} keV): "
            "correct `beam_energy_kev` in datasets.tsv (it is in keV, not V)"
        )
    return float(beam_energy_kev)


def check_tabulated(element: str) -> int:
    """Atomic number of an element that the table covers.

    Raises
    ------
    InputError
        If the symbol is unknown or the element has no tabulated shell (H, He, Li).
    """
    number = atomic_number(element)
    if not MIN_NUMBER <= number <= MAX_NUMBER:
        raise InputError(
            f"{element} emits no X-ray line that can be detected: leave it out of `elements` "
            "(Be to Pu are possible)"
        )
    return number


def ionization_cross_section(element: str, shell: str, beam_energy_kev: float) -> float:
    """Cross-section for ionising one shell of an element by electron impact.

    Parameters
    ----------
    element : str
        Chemical symbol, Be to Pu.
    shell : {"K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5"}
    beam_energy_kev : float
        20 to 400 keV.

    Returns
    -------
    float
        In barn (1e-28 m2); zero if the element has no such shell or its edge lies above the beam
        energy.

    Raises
    ------
    InputError
        If the element or shell is unknown or the beam energy outside the table.

    Notes
    -----
    ``ln(sigma / ln U)`` is interpolated linearly in ln(beam energy), U being the overvoltage; this
    agrees with the formula of Bote et al. (2009) to better than 0.1 %.
    """
    number = check_tabulated(element)
    energy_ev = 1e3 * check_beam_energy(beam_energy_kev)
    if shell not in SHELLS:
        raise InputError(f"unknown shell {shell!r}: expected one of {', '.join(SHELLS)}")
    table = ionization_table()
    edge_ev = table.edge_ev[number, SHELLS.index(shell)]
    if not edge_ev < energy_ev:
        return 0.0
    nodes = table.nodes[number, SHELLS.index(shell)]
    grid = np.linspace(
        np.log(max(1e3 * MIN_BEAM_ENERGY_KEV, edge_ev)),
        np.log(1e3 * MAX_BEAM_ENERGY_KEV),
        nodes.size,
    )
    reduced = np.interp(np.log(energy_ev), grid, nodes)
    return float(np.exp(reduced) * np.log(energy_ev / edge_ev))
