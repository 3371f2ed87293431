# SPDX-License-Identifier: GPL-3.0-or-later
"""Mass thickness of every pixel from its counts."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.model import Calibration, Factorization
from mlatem.physics.mass_thickness import mass_per_count, relative_mass_thickness
from mlatem.units import AVOGADRO_PER_MOL

Array = NDArray[np.float64]

#: What the scale of a map of mass thickness rests on.
Scale = Literal["dose", "thickness", "relative"]

_KG_M2_PER_G_BARN = 1e-3 / 1e-28


def mass_thickness_map(
    factorization: Factorization,
    calibration: Calibration,
    *,
    counts_per_atom_barn: float | None = None,
) -> xr.Dataset:
    """Mass thickness of every pixel along the beam.

    Parameters
    ----------
    factorization : Factorization
    calibration : Calibration
        Its mass thickness is the mean where the dose is not known.
    counts_per_atom_barn : float, optional
        Dose times solid angle over 4 pi, see `mlatem.quantification.methods.Method`.

    Returns
    -------
    maps : Dataset
        `mass_thickness_kg_m2` and its statistical `sigma_mass_thickness_kg_m2` (y, x); without any
        scale `relative_mass_thickness` and its sigma instead, with mean one. The attribute `scale`
        of each says what it rests on: "dose", "thickness" (the mean of the sample sheet) or
        "relative". NaN where a pixel has no counts.

    Notes
    -----
    Absolute columns: with abundances a and coefficients c in barn,
    ``rho t = sum_k a_k sum_j c_kj A_j / (N_A N_e Omega / 4 pi)``, the zeta-factor method (M.
    Watanabe, D. B. Williams, J. Microscopy 221 (2006) 89) with computed factors. Absorption is in
    the columns. The variance is that of the abundances; compositions are taken as exact.
    """
    mass = mass_per_count(factorization.dictionary, factorization.coefficient)
    per_pixel = factorization.abundance.astype(np.float64) @ mass
    covariance = factorization.abundance_covariance.astype(np.float64)
    sigma = np.sqrt(np.maximum(np.einsum("k,yxkl,l->yx", mass, covariance, mass), 0.0))
    factor, scale = _scale(per_pixel, calibration, counts_per_atom_barn)
    empty = ~(factorization.abundance.sum(axis=2) > 0)
    name = "relative_mass_thickness" if scale == "relative" else "mass_thickness_kg_m2"
    attrs = {"units": "1" if scale == "relative" else "kg/m2", "scale": scale}
    return xr.Dataset(
        {
            label: (("y", "x"), np.where(empty, np.nan, factor * v).astype(np.float32), attrs)
            for label, v in ((name, per_pixel), (f"sigma_{name}", sigma))
        },
        coords={
            "y": ("y", factorization.y_nm, {"units": "nm"}),
            "x": ("x", factorization.x_nm, {"units": "nm"}),
        },
    )


def _scale(
    per_pixel: Array, calibration: Calibration, counts_per_atom_barn: float | None
) -> tuple[float, Scale]:
    """What turns atoms times weights (in units of the columns) into mass thickness."""
    if counts_per_atom_barn is not None:
        return _KG_M2_PER_G_BARN / (AVOGADRO_PER_MOL * counts_per_atom_barn), "dose"
    flat = per_pixel.ravel()
    largest = int(flat.argmax())
    if not flat[largest] > 0:
        return 1.0, "relative"
    relative = relative_mass_thickness(flat, np.ones(flat.size, dtype=np.int64))
    factor = float(relative[largest] / flat[largest])
    mean = calibration.mass_thickness_kg_m2.value
    return (factor * mean, "thickness") if mean > 0 else (factor, "relative")
