# SPDX-License-Identifier: GPL-3.0-or-later
"""What a table of factors tells of the intensities of families of lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.model import Factor, FactorTable
from mlatem.model.calibration import Estimate
from mlatem.model.line_names import family_of
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.factor_units import cross_section_barn
from mlatem.physics.fitted_families import fitted_intensity, fitted_scale

Array = NDArray[np.float64]


def factors_at(table: FactorTable | None, beam_energy_kev: float) -> tuple[Factor, ...]:
    """The factors at a beam energy, of the kind that is used before others; none without table.

    Raises
    ------
    InputError
        If the table does not hold at this beam energy.
    """
    if table is None:
        return ()
    here = table.at(beam_energy_kev)
    return here.of_kind(here.kinds[0])


def reference_of(factor: Factor) -> str:
    """Family of the line of k = 1, "Si K"."""
    return f"{factor.reference_element} {family_of(factor.reference_line)}"


def observations(
    factors: Sequence[Factor],
    states: Sequence[str],
    detector: settings.Detector,
    fitted: Mapping[str, Estimate],
) -> tuple[Array, Array, Array]:
    """Combinations of the states, what the table says of them, and its variances.

    Parameters
    ----------
    factors : sequence of Factor
        All of one kind.
    states : sequence of str
        Families, "Fe K"; one more state, the logarithm of the share of the sphere, follows them.
    detector : settings.Detector
    fitted : mapping of str to Estimate
        Factors of families or sub-shells.

    Returns
    -------
    design : ndarray of shape (n_observations, n_states + 1)
        Of the logarithms of true over computed intensities.
    value, variance : ndarray of shape (n_observations,)
    """
    design = np.zeros((len(factors), len(states) + 1))
    value, variance = np.zeros(len(factors)), np.zeros(len(factors))

    def computed(element: str, line: str, beam_energy_kev: float) -> float:
        family = f"{element} {family_of(line)}"
        scale = fitted_scale(family, beam_energy_kev, detector, fitted)
        return fitted_intensity(element, line, beam_energy_kev, detector, fitted) / scale

    for row, factor in enumerate(factors):
        design[row, states.index(factor.family)] = 1.0
        variance[row] = (factor.relative_sigma or 0.0) ** 2
        own = computed(factor.element, factor.line, factor.beam_energy_kev)
        if factor.kind == "k":
            design[row, states.index(reference_of(factor))] -= 1.0
            other = computed(
                factor.reference_element, factor.reference_line, factor.beam_energy_kev
            )
            value[row] = math.log(_intensity_ratio(factor) * other / own)
        else:
            design[row, -1] = 1.0
            value[row] = math.log(_barn(factor) / own)
    informative = np.abs(design).sum(axis=1) > 0
    return design[informative], value[informative], variance[informative]


def _intensity_ratio(factor: Factor) -> float:
    """Counts per atom of a line over those of its reference, from k."""
    if factor.basis == "atom":
        return 1.0 / factor.value
    weights = atomic_weight(factor.element) / atomic_weight(factor.reference_element)
    return weights / factor.value


def _barn(factor: Factor) -> float:
    if factor.kind == "cross_section":
        return factor.value
    return cross_section_barn(factor.element, factor.value)
