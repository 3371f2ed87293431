# SPDX-License-Identifier: GPL-3.0-or-later
"""Composition of the phases of an EDXS factorization."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlatem.model import Dictionary, Factorization, PhaseTable
from mlatem.physics.standardless import STANDARDLESS
from mlatem.quantification.absorption import absorption_covariance
from mlatem.quantification.composition import element_matrix
from mlatem.quantification.factor_effects import FactorEffects
from mlatem.quantification.maps import dominating_phase
from mlatem.quantification.methods import Method
from mlatem.quantification.phase_rows import mass_thickness, phase_rows
from mlatem.settings import Quantify

logger = logging.getLogger(__name__)

_GIVEN = "columns as given"
_STOICHIOMETRY = "by stoichiometry"

Array = NDArray[np.float64]


def quantify(
    factorization: Factorization,
    *,
    dataset: str = "",
    settings: Quantify | None = None,
    factor_source: str | None = None,
    absorption_sigma: Array | None = None,
    effects: FactorEffects | None = None,
    method: Method | None = None,
    transmission: Array | None = None,
) -> PhaseTable:
    """Atomic and weight percent of every phase.

    Parameters
    ----------
    factorization : Factorization
    dataset : str
        Name written into the table.
    settings : Quantify, optional
    factor_source : str, optional
        Where the absolute intensities of the columns come from. Without it, that which `effects`
        tell, or the built-in one if the dictionary has prior uncertainties, or "columns as given".
    absorption_sigma : ndarray of shape (n_phases, n_columns, n_causes), optional
        See `mlatem.quantification.absorption.absorption_sigma`.
    effects : FactorEffects, optional
        How coefficients hang on the intensities of lines; without it the relative uncertainties of
        the dictionary's columns are taken, as independent.
    method : Method, optional
        Name and scale of the amounts; ratios without it.
    transmission : ndarray of shape (n_phases, n_columns), optional
        See `mlatem.quantification.absorption.transmission`; for the table.

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
    `sigma_sys` is J S J^T with S the covariance that the errors of line intensities
    (`mlatem.quantification.factor_effects`) and of absorption give to the coefficients; NaN where
    nothing is known of the intensities, since not known is not zero.
    `detection_limit` is Currie's (Anal. Chem. 40 (1968) 586), see `detection.detection_limits`;
    `upper_limit` that of the likelihood, see `limits.upper_limit`, for what lies below it.
    """
    settings = settings or Quantify()
    method = method or Method("absolute", None)
    area = _area_fractions(factorization, settings.min_pixel_counts)
    n_pixels = int(np.count_nonzero(factorization.used))
    if absorption_sigma is None:
        absorption_sigma = np.zeros((*factorization.coefficient.shape, 0))
    names = factorization.attrs.get("phase_names", ())
    tables = []
    for phase in range(factorization.n_phases):
        of_path = absorption_covariance(factorization.coefficient[phase], absorption_sigma[phase])
        rows = _one_phase(
            factorization, phase, settings, of_path, effects, method, round(area[phase] * n_pixels)
        )
        rows = rows.assign(phase=phase + 1, area_fraction=area[phase])
        if names:
            rows["name"] = names[phase]
        if transmission is not None:
            rows["absorption_factor"] = [
                _of_element(factorization.dictionary, transmission[phase], element)
                for element in rows["element"]
            ]
        tables.append(rows if factor_source is None else rows.assign(factor_source=factor_source))
    frame = pd.concat(tables, ignore_index=True).assign(dataset=dataset, method=method.name)
    logger.info(
        "quantified %d phases of %d elements by %s",
        factorization.n_phases,
        frame["element"].nunique(),
        method.name,
    )
    first = ["dataset", "phase", "area_fraction", "element"]
    return PhaseTable(frame[[*first, *(c for c in frame.columns if c not in first)]])


def _one_phase(
    factorization: Factorization,
    phase: int,
    settings: Quantify,
    of_path: Array,
    effects: FactorEffects | None,
    method: Method,
    n_pixels: int,
) -> pd.DataFrame:
    """One row per element of one phase."""
    dictionary = factorization.dictionary_of(phase)
    coefficient = factorization.coefficient[phase]
    covariance = factorization.coefficient_covariance[phase]
    of_factors = _factor_covariance(coefficient, dictionary, effects, phase) + of_path
    rows = phase_rows(
        factorization,
        phase,
        dictionary=dictionary,
        coefficient=coefficient,
        covariance=covariance,
        factor_covariance=of_factors,
        settings=settings,
    )
    rows["line_or_edge"] = [
        _lines(dictionary, e, effects, phase, settings) for e in rows["element"]
    ]
    rows["factor_source"] = [
        _source(dictionary, e, effects, phase, settings) for e in rows["element"]
    ]
    if method.counts_per_atom_barn is not None:
        value, sigma = mass_thickness(
            factorization,
            phase,
            dictionary=dictionary,
            coefficient=coefficient,
            covariance=covariance + of_factors,
            n_pixels=n_pixels,
            counts_per_atom_barn=method.counts_per_atom_barn,
            settings=settings,
        )
        rows["mass_thickness_kg_m2"] = value
        rows["mass_thickness_sigma_kg_m2"] = float(np.hypot(sigma, value * method.scale_sigma))
    return rows


def _factor_covariance(
    coefficient: Array, dictionary: Dictionary, effects: FactorEffects | None, phase: int
) -> Array:
    """Covariance from the lines' intensities; NaN where they came without uncertainty."""
    if effects is not None:
        causes = coefficient[:, None] * effects.causes()[phase]
        of_lines: Array = causes @ causes.T
        return of_lines
    n_elements = len(element_matrix(dictionary)[0])
    if not _has_prior(dictionary) and n_elements > 1:
        return np.full(2 * coefficient.shape, np.nan)
    return np.diag((coefficient * dictionary.factor_sigma) ** 2)


def _area_fractions(factorization: Factorization, min_counts: float) -> NDArray[np.float64]:
    """Share of the map's pixels, masked ones left out, that each phase dominates."""
    abundance = factorization.abundance.reshape(-1, factorization.n_phases)
    phase = dominating_phase(
        abundance,
        factorization.coefficient,
        factorization.dictionary,
        min_counts=min_counts,
        counts_per_amount=factorization.columns.sum(axis=2),
    )
    counts = np.bincount(phase[phase >= 0], minlength=factorization.n_phases)
    return counts / np.count_nonzero(factorization.used)


def _source(
    dictionary: Dictionary,
    element: str,
    effects: FactorEffects | None,
    phase: int,
    settings: Quantify,
) -> str:
    """Where the intensities of an element's lines come from."""
    if element == "O" and settings.oxygen == "stoichiometry":
        return "valences"
    if effects is None:
        return STANDARDLESS if _has_prior(dictionary) else _GIVEN
    column = int(np.argmax(_columns_of(dictionary, element)))
    return effects.source(phase, column, element)


def _has_prior(dictionary: Dictionary) -> bool:
    return bool(np.any(dictionary.factor_sigma[dictionary.quantified] > 0))


def _columns_of(dictionary: Dictionary, element: str) -> NDArray[np.bool_]:
    mine: NDArray[np.bool_] = dictionary.quantified & (np.array(dictionary.elements) == element)
    return mine


def _of_element(dictionary: Dictionary, values: Array, element: str) -> float:
    """The value of an element's strongest column; NaN where it has none."""
    mine = np.flatnonzero(_columns_of(dictionary, element))
    if not mine.size:
        return float("nan")
    return float(values[mine[np.argmax(dictionary.columns[mine].sum(axis=1))]])


def _lines(
    dictionary: Dictionary,
    element: str,
    effects: FactorEffects | None,
    phase: int,
    settings: Quantify,
) -> str:
    """The lines that give an element's amount; without effects, by the energy of the strongest."""
    if element == "O" and settings.oxygen == "stoichiometry":
        return _STOICHIOMETRY
    mine = _columns_of(dictionary, element)
    strongest = dictionary.energy[np.argmax(dictionary.columns[mine], axis=1)]
    energies = ", ".join(f"{energy:.2f} keV" for energy in strongest)
    if effects is None:
        return f"all lines, strongest {energies}"
    return f"{effects.lines(phase, int(np.argmax(mine)), element)}, strongest {energies}"
