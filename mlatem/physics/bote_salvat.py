# SPDX-License-Identifier: GPL-3.0-or-later
"""Electron-impact ionisation after Bote and Salvat: the formula and its coefficients.

Only the builder of the shipped table and the tests evaluate the formula; everybody else reads
the table through `mlatem.physics.ionization`.

References
----------
D. Bote, F. Salvat, A. Jablonski, C. J. Powell, Atomic Data and Nuclear Data Tables 95 (2009) 871.
The coefficients come from the EPQ library of DTSA-II by the US National Institute of Standards
and Technology (public domain).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.units import ELECTRON_REST_ENERGY_KEV

#: Shells in the order of the files and of every table here.
SHELLS = ("K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")

BOHR_RADIUS_CM = 5.29177210903e-9
CM2_PER_BARN = 1e-24

#: Overvoltage at which the low-energy expression gives way to the high-energy one.
BRANCH_OVERVOLTAGE = 16.0

_AREA_BARN = 4.0 * np.pi * BOHR_RADIUS_CM**2 / CM2_PER_BARN


@dataclass(frozen=True)
class Coefficients:
    """What the formula needs for one shell of one element."""

    edge_ev: float
    """Ionisation energy, eV."""
    low: NDArray[np.float64]
    """Shape (5,); a1 to a5 of the expression for overvoltages up to 16."""
    high: NDArray[np.float64]
    """Shape (6,); b, A, g1 to g4 of the expression above 16."""


def cross_section_barn(beam_energy_ev: ArrayLike, shell: Coefficients) -> NDArray[np.float64]:
    """Ionisation cross-section of one shell.

    Parameters
    ----------
    beam_energy_ev : array-like
        Kinetic energy of the electrons, eV; any shape.
    shell : Coefficients

    Returns
    -------
    ndarray
        In barn, of the shape of `beam_energy_ev`; zero at and below the edge.

    Notes
    -----
    With overvoltage ``U = E / E_edge`` (Bote et al. 2009, equations 3 and 4)::

        U <= 16:  4 pi a0^2 (U-1)/U^2 [a1 + a2 U + a3/(1+U) + a4/(1+U)^3 + a5/(1+U)^5]^2
        U  > 16:  U/(U+b) 4 pi a0^2 A/beta^2
                  { [ln X^2 - beta^2] (1 + g1/X) + g2 + g3 (1-beta^2)^(1/4) + g4/X },  X = p/(m c)

    The exponent of ``1 - beta^2`` is +1/4: only with it do the two expressions meet at U = 16.
    """
    energy = np.atleast_1d(np.asarray(beam_energy_ev, dtype=np.float64))
    overvoltage = energy / shell.edge_ev
    result = np.zeros_like(energy)
    low = (overvoltage > 1.0) & (overvoltage <= BRANCH_OVERVOLTAGE)
    high = overvoltage > BRANCH_OVERVOLTAGE
    result[low] = low_branch(overvoltage[low], shell)
    result[high] = high_branch(overvoltage[high], shell)
    return result.reshape(np.shape(beam_energy_ev))


def low_branch(overvoltage: NDArray[np.float64], shell: Coefficients) -> NDArray[np.float64]:
    """The expression for overvoltages between 1 and 16, in barn."""
    a1, a2, a3, a4, a5 = shell.low
    u = overvoltage
    bracket = a1 + a2 * u + a3 / (1 + u) + a4 / (1 + u) ** 3 + a5 / (1 + u) ** 5
    barn: NDArray[np.float64] = _AREA_BARN * (u - 1) / u**2 * bracket**2
    return barn


def high_branch(overvoltage: NDArray[np.float64], shell: Coefficients) -> NDArray[np.float64]:
    """The expression for overvoltages above 16, in barn."""
    b, a, g1, g2, g3, g4 = shell.high
    kinetic = overvoltage * shell.edge_ev / (1e3 * ELECTRON_REST_ENERGY_KEV)
    momentum = np.sqrt(kinetic * (kinetic + 2))
    one_minus_beta2 = 1 / (kinetic + 1) ** 2
    beta2 = 1 - one_minus_beta2
    brace = (
        (2 * np.log(momentum) - beta2) * (1 + g1 / momentum)
        + g2
        + g3 * one_minus_beta2**0.25
        + g4 / momentum
    )
    barn: NDArray[np.float64] = overvoltage / (overvoltage + b) * _AREA_BARN * a / beta2 * brace
    return barn
