# SPDX-License-Identifier: GPL-3.0-or-later
"""Absorption of a phase's X-rays in the phase itself, where the fit took the specimen's mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Calibration, Factorization
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.quantification.composition import atomic_fractions, element_matrix
from mlatem.settings import Edxs

_MAX_ROUNDS = 6
_TOLERANCE = 1e-3


def own_absorption(
    factorization: Factorization, calibration: Calibration, edxs: Edxs
) -> NDArray[np.float64]:
    """Factors that turn coefficients for the mean specimen into those for each phase.

    Parameters
    ----------
    factorization : Factorization
        Found with columns that are absorbed in the specimen's mean composition.
    calibration : Calibration
    edxs : settings.Edxs

    Returns
    -------
    factor : ndarray of shape (n_phases, n_columns)
        To be multiplied with the coefficients; 1 for columns that are not quantified, and
        everywhere where the thickness is not known.

    Notes
    -----
    A column absorbed more strongly in the phase than in the mean yields fewer counts per atom:
    the factor is the ratio of the columns' sums over the window. Composition and absorption of the
    phase are iterated, at most six rounds. The thickness is the specimen's; where its density was
    estimated, each phase takes that of its own composition.
    """
    coefficient = factorization.coefficient
    factors = np.ones_like(coefficient)
    if calibration.mass_thickness_kg_m2.value == 0:
        return factors
    elements, matrix = element_matrix(factorization.dictionary)
    sums = factorization.dictionary.columns.sum(axis=1)
    quantified = factorization.dictionary.quantified
    for phase, amounts in enumerate(coefficient):
        before = np.zeros(len(elements))
        for _ in range(_MAX_ROUNDS):
            total = matrix @ (amounts * factors[phase])
            if not total.sum() > 0:
                break
            fractions = atomic_fractions(total)
            if np.max(np.abs(fractions - before)) < _TOLERANCE:
                break
            before = fractions
            composition = {e: float(f) for e, f in zip(elements, fractions, strict=True) if f > 0}
            own = _column_sums(factorization, calibration, edxs, composition)
            factors[phase] = np.where(quantified, sums / own, 1.0)
    return factors


def _column_sums(
    factorization: Factorization,
    calibration: Calibration,
    edxs: Edxs,
    composition: Mapping[str, float],
) -> NDArray[np.float64]:
    """Counts per coefficient of every column in a film of the given composition."""
    thickness = calibration.mass_thickness_kg_m2
    if thickness.origin != "user":
        mean = density_g_cm3({e: f for e, f in calibration.composition.items() if f > 0})
        thickness = replace(thickness, value=thickness.value * density_g_cm3(composition) / mean)
    own = replace(calibration, composition=composition, mass_thickness_kg_m2=thickness)
    dictionary = dictionary_on_axis(factorization.dictionary.energy, own, edxs)
    sums: NDArray[np.float64] = dictionary.columns.sum(axis=1)
    return sums
