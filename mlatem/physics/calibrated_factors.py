# SPDX-License-Identifier: GPL-3.0-or-later
"""The factors of families of lines of a calibrated dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mlatem import settings
from mlatem.model import Calibration, FactorTable
from mlatem.model.calibration import Estimate
from mlatem.physics.family_factors import FamilyFactors, family_factors, line_factors
from mlatem.physics.lines import emission_lines


def families_between(
    elements: Sequence[str], beam_energy_kev: float, energy: ArrayLike
) -> tuple[str, ...]:
    """Families of elements whose strongest line lies on an energy axis (keV), as "Fe K"."""
    low, high = np.min(energy), np.max(energy)
    found = []
    for element in elements:
        lines = emission_lines(element, beam_energy_kev)
        families = np.array(lines.families)
        for family in dict.fromkeys(lines.families):
            member = families == family
            strongest = lines.energy_kev[member][np.argmax(lines.cross_section_barn[member])]
            if low <= strongest <= high:
                found.append(f"{element} {family}")
    return tuple(found)


def calibrated_family_factors(
    families: Sequence[str], calibration: Calibration, detector: settings.Detector
) -> FamilyFactors:
    """The factors of families with the table and the fitted factors of a calibration."""
    return family_factors(
        families,
        beam_energy_kev=calibration.beam_energy_kev.value,
        detector=detector,
        table=calibration.factor_table,
        fitted=_of_elements(calibration.elements, calibration.line_factors),
    )


def calibrated_line_factors(
    energy: ArrayLike, calibration: Calibration, detector: settings.Detector
) -> dict[str, float]:
    """The line factors of a calibration's dictionary on an axis (keV)."""
    return corrected_line_factors(
        energy,
        calibration.line_factors,
        calibration.factor_table,
        elements=calibration.elements,
        beam_energy_kev=calibration.beam_energy_kev.value,
        detector=detector,
    )


def corrected_line_factors(
    energy: ArrayLike,
    fitted: Mapping[str, Estimate],
    table: FactorTable | None,
    *,
    elements: Sequence[str],
    beam_energy_kev: float,
    detector: settings.Detector,
) -> dict[str, float]:
    """Fitted factors of lines with families scaled to a table, as far as there is one.

    Parameters
    ----------
    energy : array-like of shape (n_energy,)
        keV; families outside of it are left alone.
    fitted : mapping of str to Estimate
        Factors of families or sub-shells, of specimen and instrument.
    table : FactorTable or None
    elements : sequence of str
        Of the specimen: the table holds for these.
    beam_energy_kev : float
    detector : settings.Detector
    """
    factors = {name: estimate.value for name, estimate in fitted.items()}
    if table is None:
        return factors
    own = _of_elements(elements, fitted)
    families = families_between(elements, beam_energy_kev, energy)
    known = family_factors(
        families, beam_energy_kev=beam_energy_kev, detector=detector, table=table, fitted=own
    )
    scaled = line_factors(
        known, elements, beam_energy_kev=beam_energy_kev, detector=detector, fitted=own
    )
    return {**factors, **scaled}


def _of_elements(elements: Sequence[str], fitted: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The fitted factors of the specimen's elements, without those of the instrument."""
    return {name: e for name, e in fitted.items() if name.split(maxsplit=1)[0] in elements}
