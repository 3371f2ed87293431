# SPDX-License-Identifier: GPL-3.0-or-later
"""Families of lines whose intensity a fit measured against others of the element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.model.calibration import Estimate
from mlatem.model.line_names import is_member
from mlatem.physics.detector import efficiency
from mlatem.physics.line_factors import line_factors_of
from mlatem.physics.lines import emission_lines

Array = NDArray[np.float64]


def fitted_intensity(
    element: str,
    line: str,
    beam_energy_kev: float,
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> float:
    """Detected cross-section of a line or family with the fitted factors, barn."""
    lines = emission_lines(element, beam_energy_kev)
    factor = line_factors_of(lines, {name: e.value for name, e in fitted.items()})
    member = np.array([is_member(name, line) for name in lines.names], dtype=bool)
    detected = lines.cross_section_barn * factor * efficiency(lines.energy_kev, detector)
    return float(detected[member].sum())


def fitted_scale(
    family: str,
    beam_energy_kev: float,
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> float:
    """The factor of a whole family that follows from the fitted ones of its sub-shells."""
    element, name = family.split()
    if not any(key.startswith(family) for key in fitted):
        return 1.0
    with_fit = fitted_intensity(element, name, beam_energy_kev, detector, fitted)
    return with_fit / fitted_intensity(element, name, beam_energy_kev, detector, {})


def parents_of(
    states: Sequence[str], fitted: Mapping[str, Estimate], in_table: set[str]
) -> dict[str, str]:
    """For each family that was fitted against another of its element, that other one.

    Parameters
    ----------
    states : sequence of str
        Families, "Fe K".
    fitted : mapping of str to Estimate
        Factors of families or sub-shells.
    in_table : set of str
        Families that a table of factors holds: these have no parents.
    """
    parents: dict[str, str] = {}
    for element in dict.fromkeys(state.split()[0] for state in states):
        mine = [state for state in states if state.split()[0] == element]
        free = [s for s in mine if not _is_fitted(s, fitted)]
        anchor = next((s for s in mine if s in in_table), free[0] if free else mine[0])
        parents |= {
            s: anchor
            for s in mine
            if s != anchor
            and s not in in_table
            and (_is_fitted(s, fitted) or (anchor not in free and s in free[:1]))
        }
    return parents


def _is_fitted(family: str, fitted: Mapping[str, Estimate]) -> bool:
    """Whether the whole family was free: by itself, or in its strongest sub-shell."""
    strongest = {"K": "K", "L": "L3", "M": "M5"}[family.split()[1]]
    return family in fitted or f"{family.split(maxsplit=1)[0]} {strongest}" in fitted


def tied(
    prior: Array,
    states: Sequence[str],
    parents: Mapping[str, str],
    fitted: Mapping[str, Estimate],
) -> Array:
    """The prior covariance with the errors of parents in place of those of fitted families.

    Parameters
    ----------
    prior : ndarray of shape (n_states, n_states)
        Of the logarithms of true over computed intensities.
    states : sequence of str
    parents : mapping of str to str
        From `parents_of`.
    fitted : mapping of str to Estimate

    Returns
    -------
    ndarray of shape (n_states, n_states)
    """
    index = [states.index(parents.get(state, state)) for state in states]
    variance = [_fit_sigma(s, parents[s], fitted) ** 2 if s in parents else 0.0 for s in states]
    tied: Array = prior[np.ix_(index, index)] + np.diag(variance)
    return tied


def _fit_sigma(state: str, parent: str, fitted: Mapping[str, Estimate]) -> float:
    """Relative standard deviation of a fitted ratio: that of the best known of its factors."""
    sigmas = [
        estimate.sigma / estimate.value
        for name, estimate in fitted.items()
        if name.startswith((state, parent)) and estimate.sigma is not None and estimate.value > 0
    ]
    return min(sigmas, default=0.0)
