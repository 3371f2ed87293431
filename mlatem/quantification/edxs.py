# SPDX-License-Identifier: GPL-3.0-or-later
"""Composition of the phases of an EDXS factorization."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlatem.model import Dictionary, Factorization, PhaseTable
from mlatem.physics.atomic import atomic_weight
from mlatem.quantification.absorption import absorption_covariance
from mlatem.quantification.composition import (
    atomic_fractions,
    element_matrix,
    fraction_jacobian,
    weight_fractions,
)
from mlatem.quantification.detection import detection_limits, null_sigma
from mlatem.quantification.maps import dominating_phase
from mlatem.settings import Quantify

logger = logging.getLogger(__name__)

STANDARDLESS = "Bote-Salvat 2009 x xraylib, standardless"
_GIVEN = "columns as given"


def quantify(
    factorization: Factorization,
    *,
    dataset: str = "",
    settings: Quantify | None = None,
    factor_source: str | None = None,
    absorption_sigma: NDArray[np.float64] | None = None,
) -> PhaseTable:
    """Atomic and weight percent of every phase.

    Parameters
    ----------
    factorization : Factorization
    dataset : str
        Name written into the table.
    settings : Quantify, optional
    factor_source : str, optional
        Where the absolute intensities of the columns come from. Without it, the source is the
        built-in one if the dictionary has prior uncertainties, else "columns as given".
    absorption_sigma : ndarray of shape (n_phases, n_columns, n_causes), optional
        See `mlatem.quantification.absorption.absorption_sigma`.

    Returns
    -------
    table : PhaseTable
        Phases are numbered from 1 in the order of the factorization. `area_fraction` is the share
        of the map's pixels in which the phase has the most counts; pixels with too few line
        counts belong to no phase.

    Raises
    ------
    InputError
        If the dictionary has no column that can be quantified.

    Notes
    -----
    Absolute columns: coefficients are proportional to atoms, at% are coefficients over their sum.
    `sigma_stat` is the delta method, J C J^T with J = (I - x 1^T) / sum and C the covariance of
    the coefficients; an element at zero, of which C holds no variance, takes that of its absence.
    It is at most 50 at%, which says that nothing is known.
    `sigma_sys` is J (diag((c s)^2) + sum_q (c a_q)(c a_q)^T) J^T with s the relative uncertainties
    of the columns and a_q what the uncertainties of absorption do to them together; NaN where no
    column has an s, since not known is not zero.
    `detection_limit` is Currie's (Anal. Chem. 40 (1968) 586), see `detection.detection_limits`.
    """
    settings = settings or Quantify()
    dictionary = factorization.dictionary
    elements, _ = element_matrix(dictionary)
    source = factor_source or _source_of(dictionary)
    area = _area_fractions(factorization, settings.min_pixel_counts)
    if absorption_sigma is None:
        absorption_sigma = np.zeros((*factorization.coefficient.shape, 0))
    tables = [
        _phase_rows(factorization, phase, absorption_sigma[phase]).assign(
            phase=phase + 1, area_fraction=area[phase]
        )
        for phase in range(factorization.n_phases)
    ]
    frame = pd.concat(tables, ignore_index=True).assign(
        dataset=dataset,
        line_or_edge=[_lines(dictionary, e) for e in elements] * factorization.n_phases,
        method="absolute",
        factor_source=source,
    )
    logger.info("quantified %d phases of %d elements", factorization.n_phases, len(elements))
    first = ["dataset", "phase", "area_fraction", "element"]
    return PhaseTable(frame[[*first, *(c for c in frame.columns if c not in first)]])


def _phase_rows(
    factorization: Factorization, phase: int, absorption_sigma: NDArray[np.float64]
) -> pd.DataFrame:
    """One row per element of one phase, numbers only."""
    dictionary = factorization.dictionary_of(phase)
    elements, matrix = element_matrix(dictionary)
    coefficient = factorization.coefficient[phase]
    covariance = factorization.coefficient_covariance[phase]
    n_counts = float(factorization.abundance[..., phase].sum(dtype=np.float64))
    jacobian = fraction_jacobian(coefficient, matrix)
    fractions = atomic_fractions(matrix @ coefficient)
    weights = np.array([atomic_weight(e) for e in elements])
    filled = _with_absent_elements(coefficient, covariance, matrix, dictionary, n_counts)
    return pd.DataFrame(
        {
            "element": elements,
            "atomic_percent": 100 * fractions,
            "sigma_stat": 100 * _sigma(jacobian, filled),
            "sigma_sys": 100
            * _sigma(
                jacobian,
                _factor_covariance(coefficient, len(elements), dictionary)
                + absorption_covariance(coefficient, absorption_sigma),
            ),
            "weight_percent": 100 * weight_fractions(fractions, weights),
            "detection_limit": 100
            * detection_limits(coefficient, covariance, matrix, dictionary, n_counts=n_counts),
        }
    )


def _sigma(jacobian: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of fractions, at most 1/2: no quantity from 0 to 1 has a larger one."""
    variance = np.einsum("ei,ij,ej->e", jacobian, covariance, jacobian)
    sigma: NDArray[np.float64] = np.sqrt(np.clip(variance, 0.0, 0.25))
    return sigma


def _factor_covariance(
    coefficient: NDArray[np.float64], n_elements: int, dictionary: Dictionary
) -> NDArray[np.float64]:
    """Covariance from the columns' intensities; NaN where they came without uncertainty."""
    if not _has_prior(dictionary) and n_elements > 1:
        return np.full(2 * coefficient.shape, np.nan)
    return np.diag((coefficient * dictionary.factor_sigma) ** 2)


def _with_absent_elements(
    coefficient: NDArray[np.float64],
    covariance: NDArray[np.float64],
    matrix: NDArray[np.float64],
    dictionary: Dictionary,
    n_counts: float,
) -> NDArray[np.float64]:
    """The covariance with the variance of absence where an element at zero has none: no 0 +- 0."""
    empty = (coefficient == 0) & (np.diagonal(covariance) == 0) & (matrix.sum(axis=0) > 0)
    if not empty.any():
        return covariance
    sigma = null_sigma(coefficient, matrix, dictionary, n_counts=max(n_counts, 1.0))
    return covariance + np.diag(np.where(empty, sigma @ matrix, 0.0) ** 2)


def _area_fractions(factorization: Factorization, min_counts: float) -> NDArray[np.float64]:
    """Share of the map's pixels that each phase dominates."""
    abundance = factorization.abundance.reshape(-1, factorization.n_phases)
    phase = dominating_phase(
        abundance,
        factorization.coefficient,
        factorization.dictionary,
        min_counts=min_counts,
        counts_per_amount=factorization.columns.sum(axis=2),
    )
    counts = np.bincount(phase[phase >= 0], minlength=factorization.n_phases)
    return counts / len(phase)


def _source_of(dictionary: Dictionary) -> str:
    return STANDARDLESS if _has_prior(dictionary) else _GIVEN


def _has_prior(dictionary: Dictionary) -> bool:
    return bool(np.any(dictionary.factor_sigma[dictionary.quantified] > 0))


def _lines(dictionary: Dictionary, element: str) -> str:
    """All lines of the element in the window, named by the energy of the strongest."""
    mine = dictionary.quantified & (np.array(dictionary.elements) == element)
    strongest = dictionary.energy[np.argmax(dictionary.columns[mine], axis=1)]
    return "all lines, strongest " + ", ".join(f"{energy:.2f} keV" for energy in strongest)
