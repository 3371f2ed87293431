# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that photons pass on their way into the detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.elements import parse_formula
from mlatem.model import Layer
from mlatem.physics.absorption import mass_absorption_m2_kg

SILICON_G_CM3 = 2.329
ALUMINIUM_G_CM3 = 2.699
#: From nm times g/cm3 to kg/m2.
KG_M2_PER_NM_G_CM3 = 1e-6


_POLYIMIDE = "C22H10N2O5"

#: Windows by the name of the setting. "ap33" is the polymer window Moxtek AP3.3: film, aluminium
#: and silicon grid with the dimensions of `XRayWindowFactory` in the EPQ library of NIST's DTSA-II.
WINDOWS: Mapping[str, tuple[Layer, ...]] = {
    "none": (),
    "polymer": (Layer(_POLYIMIDE, 300.0, 1.42),),
    "ap33": (
        Layer(_POLYIMIDE, 330.0, 1.42),
        Layer("Al", 30.0, ALUMINIUM_G_CM3),
        Layer("Si", 380_000.0, SILICON_G_CM3, open_area=0.77),
    ),
    "beryllium": (Layer("Be", 8000.0, 1.848),),
}


def detector_layers(detector: settings.Detector) -> tuple[Layer, ...]:
    """Window, contact and dead layer of a detector that is described by settings."""
    return (
        *WINDOWS[detector.window],
        Layer("Al", detector.aluminium_nm, ALUMINIUM_G_CM3),
        Layer("Si", detector.dead_layer_nm, SILICON_G_CM3),
    )


def transmission(energy_kev: ArrayLike, layers: Iterable[Layer]) -> NDArray[np.float64]:
    """Share of the photons that pass all layers.

    Parameters
    ----------
    energy_kev : array-like
    layers : iterable of Layer

    Returns
    -------
    ndarray
        Between 0 and 1, of the shape of `energy_kev`; without meaning below 0.1 keV.

    Notes
    -----
    ``prod_i [o_i + (1 - o_i) exp(-mu_i rho_i t_i)]`` with the open area o_i and total attenuation
    coefficients. Layers with openings are taken as independent of each other.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    result = np.ones(energy.shape)
    for layer in layers:
        if layer.thickness_nm == 0:
            continue
        mass = layer.thickness_nm * layer.density_g_cm3 * KG_M2_PER_NM_G_CM3
        passing = np.exp(-mass * mass_absorption_m2_kg(parse_formula(layer.material), energy))
        result *= layer.open_area + (1.0 - layer.open_area) * passing
    return result
