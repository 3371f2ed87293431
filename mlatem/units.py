# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical constants and conversions of units."""

from __future__ import annotations

AVOGADRO_PER_MOL = 6.02214076e23
ELECTRON_REST_ENERGY_KEV = 510.99895
FWHM_PER_SIGMA = 2.3548200450309493

#: Nanometres in one of each unit of length that vendors write ("µm" in both its code points).
NM_PER_UNIT = {
    "pm": 1e-3,
    "Å": 0.1,
    "A": 0.1,
    "nm": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "mm": 1e6,
    "m": 1e9,
}

#: Kiloelectronvolts in one of each unit of energy.
KEV_PER_UNIT = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}


def mass_thickness_kg_m2(thickness_nm: float, density_g_cm3: float) -> float:
    """Mass thickness in kg/m2 of a film: thickness times density."""
    return thickness_nm * density_g_cm3 * 1e-6
