# SPDX-License-Identifier: GPL-3.0-or-later
"""K-shell ionisation by the empirical formula of Casnati et al., to compare with Bote et al."""

from __future__ import annotations

import math

import xraylib

from mlatem.physics.ionization import check_beam_energy, check_tabulated
from mlatem.units import ELECTRON_REST_ENERGY_KEV

_RYDBERG_KEV = 0.013605693
_BOHR_RADIUS_SQUARED_BARN = 2.8002852e7
_K_ELECTRONS = 2


def casnati_k_cross_section(element: str, beam_energy_kev: float) -> float:
    """Cross-section for ionising the K shell by electron impact.

    Parameters
    ----------
    element : str
        Chemical symbol, Be to Pu.
    beam_energy_kev : float
        20 to 400 keV.

    Returns
    -------
    float
        In barn; zero where the edge lies above the beam energy.

    Raises
    ------
    InputError
        If the element or the beam energy cannot be treated.

    Notes
    -----
    ``n a0^2 (Ry/I)^2 phi psi R ln(U) / U`` with ``phi = 10.57 exp(-1.736/U + 0.317/U^2)``,
    ``psi = (I/Ry)^(-0.0318 + 0.316/U - 0.1135/U^2)`` and Gryzinski's relativistic factor R;
    I is the edge energy, U the overvoltage (E. Casnati, A. Tartari, C. Baraldi, Journal of
    Physics B 15 (1982) 155; given for 6 <= Z <= 79 and 1 <= U <= 20).
    """
    number = check_tabulated(element)
    beam = check_beam_energy(beam_energy_kev)
    edge = float(xraylib.EdgeEnergy(number, xraylib.K_SHELL))
    overvoltage = beam / edge
    if overvoltage <= 1:
        return 0.0
    phi = 10.57 * math.exp(-1.736 / overvoltage + 0.317 / overvoltage**2)
    exponent = -0.0318 + 0.3160 / overvoltage - 0.1135 / overvoltage**2
    psi = float((edge / _RYDBERG_KEV) ** exponent)
    scale = _K_ELECTRONS * _BOHR_RADIUS_SQUARED_BARN * (_RYDBERG_KEV / edge) ** 2
    relativistic = _gryzinski_factor(
        beam / ELECTRON_REST_ENERGY_KEV, edge / ELECTRON_REST_ENERGY_KEV
    )
    return scale * phi * psi * relativistic * math.log(overvoltage) / overvoltage


def _gryzinski_factor(beam: float, edge: float) -> float:
    """Relativistic correction; both energies in units of the electron's rest energy.

    M. Gryzinski, Physical Review 138 (1965) A336.
    """
    ratio = (2 + edge) / (2 + beam) * ((1 + beam) / (1 + edge)) ** 2
    squared = (1 + edge) ** 2
    numerator = (edge + beam) * (2 + beam) * squared
    denominator = beam * (2 + beam) * squared + edge * (2 + edge)
    return float(ratio * (numerator / denominator) ** 1.5)
