# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals of the composition of a phase, from what the counts allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model.leeway import Z_68, Z_95, Z_ONE_SIDED, Leeway

Array = NDArray[np.float64]


def percent_intervals(
    leeway: Leeway | None, phase: int, coefficient: Array, matrix: Array, weight_g_mol: Array
) -> dict[str, Array]:
    """Columns of the phase table, (n_elements,) each; none where the leeway is not known.

    Parameters
    ----------
    leeway : Leeway or None
    phase : int
        Index from 0.
    coefficient : ndarray of shape (n_columns,)
    matrix : ndarray of shape (n_elements, n_columns)
        Atoms from coefficients, see `mlatem.quantification.amounts.amount_matrix`.
    weight_g_mol : ndarray of shape (n_elements,)
        Atomic weights.
    """
    if leeway is None:
        return {}
    masses = weight_g_mol[:, None] * matrix
    kinds = {
        ("atomic_percent", ""): (matrix, Z_95),
        ("atomic_percent", "_68"): (matrix, Z_68),
        ("weight_percent", ""): (masses, Z_95),
    }
    columns = {}
    for (name, suffix), (amounts, z) in kinds.items():
        low, high = leeway.fraction_bounds(phase, coefficient, amounts, z=z)
        columns[f"{name}_low{suffix}"], columns[f"{name}_high{suffix}"] = 100 * low, 100 * high
    return columns


def upper_percent(leeway: Leeway | None, phase: int, coefficient: Array, matrix: Array) -> Array:
    """One-sided upper limits (95 %) of the atomic percent, NaN where the leeway is not known.

    Parameters and shape are those of `percent_intervals`.
    """
    if leeway is None:
        return np.full(len(matrix), np.nan)
    return 100 * leeway.fraction_bounds(phase, coefficient, matrix, z=Z_ONE_SIDED)[1]
