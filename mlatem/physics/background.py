# SPDX-License-Identifier: GPL-3.0-or-later
"""Bremsstrahlung continuum as non-negative columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from mlatem import settings
from mlatem.errors import InputError
from mlatem.physics.absorption import MIN_ENERGY_KEV, self_absorption_factor
from mlatem.physics.detector import efficiency

_CUBIC = 3

#: Grid on which efficiency and absorption are computed for the continuum: steps of 0.2 %.
_CURVE_STEP = 2e-3


def continuum_columns(
    energy_kev: NDArray[np.float64],
    *,
    n_functions: int,
    detector: settings.Detector,
    take_off_angle_deg: float | Sequence[float],
    mass_thickness_kg_m2: float = 0.0,
    composition: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Functions of which the continuum is a non-negative combination.

    Parameters
    ----------
    energy_kev : ndarray of shape (n_energy,)
        Centres of the channels; the continuum is zero below 0.1 keV.
    n_functions : int
        At least 2.
    detector : settings.Detector
    take_off_angle_deg : float or sequence of float
        Of each detector where there are several.
    mass_thickness_kg_m2 : float
        Density times thickness; 0 for no absorption.
    composition : mapping of str to float, optional
        Atomic fractions of the specimen; needed where the mass thickness is not 0.

    Returns
    -------
    ndarray of shape (n_functions, n_energy)
        Each adds up to one, so that coefficients are counts of the continuum.

    Raises
    ------
    InputError
        If no channel lies above 0.1 keV or fewer than two functions are asked for.

    Notes
    -----
    ``B_k(ln E) / E * eps(E) * A(E)`` with clamped cubic B-splines B_k whose knots are even in ln E
    (C. de Boor, A Practical Guide to Splines, 1978), eps the detector's efficiency and A the
    self-absorption. 1/E is Kramers' law for a thin film.
    """
    if n_functions < 2:
        raise InputError(f"n_background is {n_functions}: at least 2 functions are needed")
    inside = energy_kev >= MIN_ENERGY_KEV
    if np.count_nonzero(inside) <= n_functions:
        raise InputError(
            f"only {np.count_nonzero(inside)} channels lie above {MIN_ENERGY_KEV} keV: check the "
            "energy axis (it is in keV) and edxs.energy_min_kev / edxs.energy_max_kev"
        )
    energy = energy_kev[inside]
    shape = _response(energy, detector, take_off_angle_deg, mass_thickness_kg_m2, composition)
    columns = np.zeros((n_functions, energy_kev.size))
    columns[:, inside] = _splines(np.log(energy), n_functions) * shape / energy
    columns /= columns.sum(axis=1, keepdims=True)
    return columns


def _splines(position: NDArray[np.float64], n_functions: int) -> NDArray[np.float64]:
    """Clamped B-splines over the range of `position`, shape (n_functions, n_position)."""
    degree = min(_CUBIC, n_functions - 1)
    knots = np.linspace(position[0], position[-1], n_functions - degree + 1)
    clamped = np.concatenate([[knots[0]] * degree, knots, [knots[-1]] * degree])
    values: NDArray[np.float64] = BSpline.design_matrix(position, clamped, degree).toarray().T
    return np.maximum(values, 0.0)


def _response(
    energy: NDArray[np.float64],
    detector: settings.Detector,
    take_off_angle_deg: float | Sequence[float],
    mass_thickness_kg_m2: float,
    composition: Mapping[str, float] | None,
) -> NDArray[np.float64]:
    """Efficiency times self-absorption, interpolated from a fine grid."""
    # Rounded up, so that small changes of the axis in a calibration find the curve in the cache.
    stop = float(np.exp(np.ceil(np.log(energy[-1]) * 10) / 10))
    material = tuple((composition or {}).items()) if mass_thickness_kg_m2 != 0 else ()
    grid, curve = _response_curve(
        detector, take_off_angle_deg, mass_thickness_kg_m2, material, stop
    )
    return np.interp(energy, grid, curve)


@lru_cache(maxsize=64)
def _response_curve(
    detector: settings.Detector,
    take_off_angle_deg: float | Sequence[float],
    mass_thickness_kg_m2: float,
    material: tuple[tuple[str, float], ...],
    stop_kev: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_points = int(np.log(stop_kev / MIN_ENERGY_KEV) / _CURVE_STEP) + 2
    grid = np.geomspace(MIN_ENERGY_KEV, stop_kev, n_points)
    curve = efficiency(grid, detector) * self_absorption_factor(
        dict(material),
        grid,
        mass_thickness_kg_m2=mass_thickness_kg_m2,
        take_off_angle_deg=take_off_angle_deg,
    )
    return grid, curve
