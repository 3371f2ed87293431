# SPDX-License-Identifier: GPL-3.0-or-later
"""Silicon drift detector: resolution and efficiency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.physics.absorption import element_absorption_m2_kg, tabulated

#: Energy for one electron-hole pair in silicon, eV.
PAIR_ENERGY_EV = 3.66

_KG_M2_PER_NM_G_CM3 = 1e-6

_SILICON_G_CM3 = 2.329
_ALUMINIUM_G_CM3 = 2.699

#: Thickness (nm), density (g/cm3) and weight fractions. The polymer is polyimide (C22 H10 N2 O5).
_WINDOWS: Mapping[str, tuple[float, float, Mapping[str, float]]] = {
    "none": (0.0, 1.0, {}),
    "polymer": (300.0, 1.42, {"C": 0.6911, "H": 0.0264, "N": 0.0733, "O": 0.2092}),
    "beryllium": (8000.0, 1.848, {"Be": 1.0}),
}


def fwhm_ev(energy_kev: ArrayLike, noise_ev: float, fano: float) -> NDArray[np.float64]:
    """Full width at half maximum of a line.

    Parameters
    ----------
    energy_kev : array-like
    noise_ev : float
        Electronic noise, FWHM in eV.
    fano : float
        Fano factor.

    Returns
    -------
    ndarray
        In eV, of the shape of `energy_kev`.

    Notes
    -----
    ``FWHM^2 = noise^2 + 8 ln2 F eps E`` with eps = 3.66 eV: electronic noise and the statistics of
    electron-hole pairs (Fano, Physical Review 72 (1947) 26) add in quadrature.
    """
    energy_ev = 1e3 * np.maximum(np.asarray(energy_kev, dtype=np.float64), 0.0)
    width: NDArray[np.float64] = np.sqrt(
        noise_ev**2 + 8 * np.log(2) * fano * PAIR_ENERGY_EV * energy_ev
    )
    return width


def efficiency(energy_kev: ArrayLike, detector: settings.Detector) -> NDArray[np.float64]:
    """Share of the photons aimed at the detector that are counted.

    Parameters
    ----------
    energy_kev : array-like
    detector : settings.Detector

    Returns
    -------
    ndarray
        Between 0 and 1, of the shape of `energy_kev`; zero below 0.1 keV.

    Notes
    -----
    ``exp(-sum mu_i t_i) [1 - exp(-mu_photo t_Si)]``: transmission of window, aluminium and dead
    layer with the total attenuation coefficients of xraylib, and photo-absorption (not scattering)
    in the active silicon.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    thickness_nm, density, weights = _WINDOWS[detector.window]
    layers = {element: w * thickness_nm * density for element, w in weights.items()}
    layers["Al"] = detector.aluminium_nm * _ALUMINIUM_G_CM3
    layers["Si"] = detector.dead_layer_nm * _SILICON_G_CM3
    depth = sum(
        areal * _KG_M2_PER_NM_G_CM3 * element_absorption_m2_kg(element, energy)
        for element, areal in layers.items()
    )
    active = detector.active_silicon_mm * 1e6 * _SILICON_G_CM3 * _KG_M2_PER_NM_G_CM3
    stopped = -np.expm1(-active * _photo_absorption_silicon(energy))
    return np.where(tabulated(energy), np.exp(-depth) * stopped, 0.0)


def _photo_absorption_silicon(energy_kev: NDArray[np.float64]) -> NDArray[np.float64]:
    return element_absorption_m2_kg("Si", energy_kev, process=xraylib.CS_Photo)
