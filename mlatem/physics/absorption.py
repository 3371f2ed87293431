# SPDX-License-Identifier: GPL-3.0-or-later
"""Absorption of X-rays in the specimen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray

from mlatem.elements import atomic_number
from mlatem.errors import InputError
from mlatem.physics.atomic import weight_fractions

#: Energies (keV) for which xraylib tabulates attenuation.
MIN_ENERGY_KEV, MAX_ENERGY_KEV = 0.1, 1000.0

_M2_KG_PER_CM2_G = 0.1


def tabulated(energy_kev: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the energies for which attenuation is known."""
    energy = np.asarray(energy_kev, dtype=np.float64)
    return (energy >= MIN_ENERGY_KEV) & (energy <= MAX_ENERGY_KEV)


def element_absorption_m2_kg(
    element: str,
    energy_kev: ArrayLike,
    *,
    process: Callable[[int, float], float] = xraylib.CS_Total,
) -> NDArray[np.float64]:
    """Mass attenuation coefficient of an element.

    Parameters
    ----------
    element : str
    energy_kev : array-like
    process : callable
        A function of xraylib of atomic number and keV, in cm2/g; all processes by default.

    Returns
    -------
    ndarray
        In m2/kg, of the shape of `energy_kev`; zero where nothing is tabulated.

    Notes
    -----
    xraylib (T. Schoonjans et al., Spectrochimica Acta B 66 (2011) 776).
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    values = _from_table(atomic_number(element), energy.tobytes(), process)
    return values.reshape(energy.shape)


@lru_cache(maxsize=2048)
def _from_table(
    number: int, energies: bytes, process: Callable[[int, float], float]
) -> NDArray[np.float64]:
    """Coefficients at energies (float64 as bytes): the same lines are asked for many times."""
    energy = np.frombuffer(energies)
    known = tabulated(energy)
    values = np.zeros(energy.size)
    values[known] = [process(number, e) for e in energy[known].tolist()]
    values *= _M2_KG_PER_CM2_G
    values.flags.writeable = False
    return values


def mass_absorption_m2_kg(
    composition: Mapping[str, float], energy_kev: ArrayLike
) -> NDArray[np.float64]:
    """Mass attenuation coefficient of a compound or mixture.

    Parameters
    ----------
    composition : mapping of str to float
        Atomic fractions (any scale).
    energy_kev : array-like

    Returns
    -------
    ndarray
        In m2/kg, of the shape of `energy_kev`.

    Raises
    ------
    InputError
        If the composition is empty, negative or not finite.

    Notes
    -----
    ``mu = sum_j w_j mu_j`` with weight fractions ``w_j``.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    total = np.zeros(energy.shape)
    for element, weight in weight_fractions(composition).items():
        if weight > 0:
            total += weight * element_absorption_m2_kg(element, energy)
    return total


def self_absorption_factor(
    composition: Mapping[str, float],
    energy_kev: ArrayLike,
    *,
    mass_thickness_kg_m2: float,
    take_off_angle_deg: float | Sequence[float],
) -> NDArray[np.float64]:
    """Share of the photons generated in a thin film that leave it towards the detectors.

    Parameters
    ----------
    composition : mapping of str to float
        Atomic fractions of the film.
    energy_kev : array-like
    mass_thickness_kg_m2 : float
        Density times thickness, perpendicular to the film.
    take_off_angle_deg : float or sequence of float
        Angle between the film's surface and the direction of the detector; of each where there are
        several of the same size.

    Returns
    -------
    ndarray
        Between 0 and 1, of the shape of `energy_kev`.

    Raises
    ------
    InputError
        If the mass thickness is negative or an angle outside 0 to 90 degrees.

    Notes
    -----
    ``(1 - exp(-chi)) / chi`` with ``chi = mu rho t / sin(take-off angle)``: generation uniform in
    depth (Goldstein, Costley, Lorimer, Reed, SEM 1977 I, 315). Counts of several detectors add
    up, so that it is the mean of their factors, not the factor of a mean angle.
    """
    check_geometry(mass_thickness_kg_m2, take_off_angle_deg)
    energy = np.asarray(energy_kev, dtype=np.float64)
    if mass_thickness_kg_m2 == 0:
        return np.ones(energy.shape)
    per_depth = mass_thickness_kg_m2 * mass_absorption_m2_kg(composition, energy)
    return mean_escape(per_depth, take_off_angle_deg)


def mean_escape(
    depth: NDArray[np.float64], take_off_angle_deg: float | Sequence[float]
) -> NDArray[np.float64]:
    """Share that escapes a film of optical `depth` along its normal, averaged over detectors."""
    sines = np.sin(np.radians(np.atleast_1d(take_off_angle_deg)))
    mean: NDArray[np.float64] = np.mean([escape_probability(depth / s) for s in sines], axis=0)
    return mean


def escape_probability(chi: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(1 - exp(-chi)) / chi``, one at zero."""
    small = chi < 1e-8
    return np.where(small, 1.0, -np.expm1(-chi) / np.where(small, 1.0, chi))


def check_geometry(
    mass_thickness_kg_m2: float, take_off_angle_deg: float | Sequence[float]
) -> None:
    """Check thickness and angles.

    Raises
    ------
    InputError
        If the mass thickness is negative or not finite, an angle outside 0 to 90 degrees, or
        there is none.
    """
    if not 0 <= mass_thickness_kg_m2 < math.inf:
        raise InputError(
            f"mass thickness {mass_thickness_kg_m2} kg/m2 is not possible: give a `thickness_nm` "
            "and `density_g_cm3` that are not negative, or 0 for no absorption"
        )
    angles = np.atleast_1d(take_off_angle_deg).tolist()
    if not angles or not all(0 < angle <= 90 for angle in angles):
        raise InputError(
            f"take-off angle {take_off_angle_deg} degrees is not between 0 and 90: correct "
            "take_off_angle_deg in the sample sheet, or edxs.detector.take_off_angle_deg"
        )
