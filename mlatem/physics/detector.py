# SPDX-License-Identifier: GPL-3.0-or-later
"""Silicon drift detector: resolution and efficiency."""

from __future__ import annotations

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import DescribedDetector, EfficiencyTable
from mlatem.physics.absorption import element_absorption_m2_kg, tabulated
from mlatem.physics.layers import (
    KG_M2_PER_NM_G_CM3,
    SILICON_G_CM3,
    detector_layers,
    transmission,
)

#: Energy for one electron-hole pair in silicon, eV.
PAIR_ENERGY_EV = 3.66


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
        What a `DescribedDetector` says takes the place of window and layers, or of all this.

    Returns
    -------
    ndarray
        Between 0 and 1, of the shape of `energy_kev`; zero below 0.1 keV.

    Raises
    ------
    InputError
        If the settings name an efficiency file that has not been read.

    Notes
    -----
    ``T(E) [1 - exp(-mu_photo t_Si)]``: transmission of window, aluminium and dead layer
    (`mlatem.physics.layers.transmission`), and photo-absorption (not scattering) in the active
    silicon.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    known = tabulated(energy)
    if isinstance(detector, DescribedDetector):
        described = detector.described
        if isinstance(described, EfficiencyTable):
            # Beyond the table, its first or last value.
            value = np.interp(energy, described.energy_kev, described.efficiency)
            return np.where(known, value, 0.0)
        layers = described
    elif detector.efficiency_file is None:
        layers = detector_layers(detector)
    else:
        raise InputError(
            f"the detector's file {detector.efficiency_file} has not been read: pass the settings "
            "through mlatem.io.detector_tables"
        )
    active = detector.active_silicon_mm * 1e6 * SILICON_G_CM3 * KG_M2_PER_NM_G_CM3
    stopped = -np.expm1(-active * photo_absorption_silicon_m2_kg(energy))
    return np.where(known, transmission(energy, layers) * stopped, 0.0)


def photo_absorption_silicon_m2_kg(energy_kev: ArrayLike) -> NDArray[np.float64]:
    """Mass photo-absorption coefficient of silicon; zero below 0.1 keV."""
    return element_absorption_m2_kg("Si", energy_kev, process=xraylib.CS_Photo)
