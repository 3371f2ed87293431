# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of one phase."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlatem.model import Dictionary, Factorization
from mlatem.physics.atomic import atomic_weight
from mlatem.quantification.amounts import amount_matrix, with_absent_elements
from mlatem.quantification.composition import (
    atomic_fractions,
    element_matrix,
    fraction_jacobian,
    weight_fractions,
)
from mlatem.quantification.detection import detection_limits, null_sigma
from mlatem.quantification.intervals import percent_intervals, upper_percent
from mlatem.quantification.limits import upper_limit
from mlatem.quantification.oxides import (
    oxide_name,
    oxide_weight_percent,
    valences_of,
)
from mlatem.settings import Quantify
from mlatem.units import AVOGADRO_PER_MOL

Array = NDArray[np.float64]

#: One atom per barn in kg/m2 is this times the atomic weight in g/mol.
_KG_M2_PER_BARN_G_MOL = 1e28 * 1e-3 / AVOGADRO_PER_MOL

#: One-sided 95 % of a normal distribution.
_ONE_SIDED = 1.645


def phase_rows(
    factorization: Factorization,
    phase: int,
    *,
    dictionary: Dictionary,
    coefficient: Array,
    covariance: Array,
    factor_covariance: Array,
    settings: Quantify,
) -> pd.DataFrame:
    """One row per element of one phase, numbers only.

    An element is not seen, and has an upper limit, where it is below its detection limit or its
    interval reaches zero. The limit is the larger one of those of the pixels that the phase
    dominates, and of the interval, in which phases may mix.

    Parameters
    ----------
    factorization : Factorization
    phase : int
        Index from 0.
    dictionary : Dictionary
        With the columns of this phase.
    coefficient : ndarray of shape (n_columns,)
        For these columns.
    covariance, factor_covariance : ndarray of shape (n_columns, n_columns)
        Of the coefficients, from counts and from factors; NaN where not known.
    settings : settings.Quantify
    """
    measured, measured_matrix = element_matrix(dictionary)
    elements, matrix = amount_matrix(dictionary, settings)
    n_counts = float(factorization.abundance[..., phase].sum(dtype=np.float64))
    jacobian = fraction_jacobian(coefficient, matrix)
    amounts = matrix @ coefficient
    fractions = atomic_fractions(amounts)
    weights = np.array([atomic_weight(e) for e in elements])
    filled = with_absent_elements(coefficient, covariance, dictionary, n_counts)
    limits = detection_limits(
        coefficient, covariance, measured_matrix, dictionary, n_counts=n_counts
    )
    rows = pd.DataFrame(
        {
            "element": elements,
            "atomic_percent": 100 * fractions,
            "sigma_stat": 100 * _sigma(jacobian, filled),
            "sigma_sys": 100 * _sigma(jacobian, factor_covariance),
            "weight_percent": 100 * weight_fractions(fractions, weights),
            "detection_limit": 100 * _of_elements(limits, measured, elements, settings),
            **percent_intervals(factorization.leeway, phase, coefficient, matrix, weights),
        }
    )
    unseen = rows["atomic_percent"] < rows["detection_limit"]
    if factorization.leeway is not None:
        unseen |= rows["atomic_percent_low"] == 0
    of_mixing = upper_percent(factorization.leeway, phase, coefficient, matrix)
    upper = np.full(len(elements), np.nan)
    for place in np.flatnonzero(unseen):
        others = amounts.sum() - amounts[place]
        most = _largest_amount(
            factorization, phase, dictionary, coefficient, matrix[place], n_counts
        )
        alone = 100 * most / (most + others) if most + others > 0 else np.nan
        upper[place] = np.fmax(alone, of_mixing[place])
    rows["upper_limit"] = upper
    if settings.oxygen == "stoichiometry":
        valence = valences_of(elements, settings.valences)
        rows["oxide"] = [
            "" if e == "O" else oxide_name(e, v) for e, v in zip(elements, valence, strict=True)
        ]
        rows["oxide_weight_percent"] = oxide_weight_percent(fractions, elements, settings.valences)
    return rows


def mass_thickness(
    factorization: Factorization,
    phase: int,
    *,
    dictionary: Dictionary,
    coefficient: Array,
    covariance: Array,
    n_pixels: int,
    counts_per_atom_barn: float,
    settings: Quantify,
) -> tuple[float, float]:
    """Mass thickness of a phase where it has the most counts, kg/m2, and its standard deviation.

    Parameters
    ----------
    factorization, phase, dictionary, coefficient, settings
        As for `phase_rows`.
    covariance : ndarray of shape (n_columns, n_columns)
        Of the coefficients, from counts and factors together.
    n_pixels : int
        Pixels that the phase dominates.
    counts_per_atom_barn : float
        See `mlatem.quantification.methods.Method`.

    Notes
    -----
    ``rho t = sum_Z n_Z A_Z / N_A`` with ``n_Z = c_Z I / (N_e Omega / 4 pi)``: c per count, I the
    mean counts of the phase in these pixels.
    """
    if n_pixels == 0:
        return float("nan"), float("nan")
    elements, matrix = amount_matrix(dictionary, settings)
    counts = float(factorization.dominant_abundance[phase, phase]) / n_pixels
    weights = np.array([atomic_weight(e) for e in elements])
    per_coefficient = _KG_M2_PER_BARN_G_MOL * counts / counts_per_atom_barn * (weights @ matrix)
    variance = float(per_coefficient @ covariance @ per_coefficient)
    return float(per_coefficient @ coefficient), float(np.sqrt(max(variance, 0.0)))


def _sigma(jacobian: Array, covariance: Array) -> Array:
    """Standard deviations of fractions, at most 1/2: no quantity from 0 to 1 has a larger one."""
    variance = np.einsum("ei,ij,ej->e", jacobian, covariance, jacobian)
    sigma: Array = np.sqrt(np.clip(variance, 0.0, 0.25))
    return sigma


def _of_elements(
    values: Array, measured: tuple[str, ...], elements: tuple[str, ...], settings: Quantify
) -> Array:
    """Values of the measured elements in the order of the rows; NaN for oxygen that is not."""
    known = dict(zip(measured, values, strict=True))
    if settings.oxygen == "stoichiometry":
        known["O"] = np.nan
    return np.array([known[element] for element in elements])


def _largest_amount(
    factorization: Factorization,
    phase: int,
    dictionary: Dictionary,
    coefficient: Array,
    row: Array,
    n_counts: float,
) -> float:
    """Upper limit of an element's amount, in units of the coefficients.

    From the counts of the pixels that the phase dominates, with the other phases there as found;
    where it dominates none, from the variance of absence.
    """
    own = float(factorization.dominant_abundance[phase, phase])
    columns = np.flatnonzero(row)
    strongest = int(columns[np.argmax(dictionary.columns[columns].sum(axis=1))])
    if own > 0:
        share = factorization.dominant_abundance[phase].copy()
        share[phase] = 0.0
        return upper_limit(
            factorization.dominant_counts[phase],
            own * dictionary.columns,
            strongest,
            known=share @ factorization.spectrum,
        )
    sigma = null_sigma(coefficient, row[None], dictionary, n_counts=max(n_counts, 1.0))
    return float(row @ coefficient + _ONE_SIDED * sigma[0])
