# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report does not claim."""

from __future__ import annotations

import numpy as np

from mlatem.reporting.inputs import ReportInputs

#: Beams of transmission microscopes have at least about this energy.
_LEAST_TRANSMISSION_KEV = 40.0

_BULK = (
    "An SEM or a beam of {energy:g} keV: if the specimen is bulk, the beam slows down and the "
    "X-rays come from the depth. The thin-film model has neither (no ZAF or phi-rho-z correction), "
    "so that the at% can be wrong by far more than both \N{PLUS-MINUS SIGN}."
)


def caveats(inputs: ReportInputs) -> tuple[str, ...]:
    """Sentences on what the numbers leave out, as far as it holds for this dataset."""
    factorization, calibration = inputs.factorization, inputs.calibration
    sentences = [
        "The first \N{PLUS-MINUS SIGN} is one standard deviation from counting statistics alone. "
        "It does not hold how far phases may be mixed into each other without a change of the "
        "likelihood: two phases that nowhere occur alone are determined by it only in part"
        + ("." if factorization.ambiguity is None else ', see "What the data leave open".'),
    ]
    if calibration.factor_table is not None:
        sentences.append(
            f"The intensities of lines follow {calibration.factor_table.name}; families that it "
            "does not name are computed and scaled by their neighbours. The uncertainty of both is "
            "part of the systematic \N{PLUS-MINUS SIGN}."
        )
    elif np.any(factorization.dictionary.factor_sigma > 0):
        sentences.append(
            "Standardless: the intensities of the lines are computed (ionisation cross-sections, "
            "yields, detector), not measured on standards. Their prior uncertainty is the "
            "systematic \N{PLUS-MINUS SIGN}."
        )
    else:
        sentences.append(
            "The intensities of the dictionary's columns were taken as exact: no systematic "
            "uncertainty is given."
        )
    if calibration.mass_thickness_kg_m2.value > 0:
        sentences.append(
            "Absorption is corrected for composition and mean mass thickness of each phase, for a "
            "flat film; variations of the thickness within a phase, fluorescence and edges "
            "of particles are left out."
        )
    else:
        sentences.append(
            "The thickness is not known, so absorption is not corrected: elements with lines below "
            "1 keV (C, N, O, F) come out too low. Give thickness_nm and density_g_cm3 in the "
            "sample sheet."
        )
    sentences.append(
        "Thin-film model: no fluorescence, no multiple scattering of the beam, no channelling."
    )
    sentences.append("Only elements that were named are fitted: see the residuals for missed ones.")
    if _is_likely_bulk(inputs):
        sentences.insert(0, _BULK.format(energy=calibration.beam_energy_kev.value))
    if factorization.attrs.get("converged") is False:
        sentences.insert(0, "The factorisation did not converge: read every number here with care.")
    return tuple(sentences)


def _is_likely_bulk(inputs: ReportInputs) -> bool:
    """Whether the file names an SEM or the beam hardly passes a specimen."""
    entry = inputs.acquisition.get("signal_type")
    is_sem = entry is not None and str(entry.value).endswith("SEM")
    return is_sem or inputs.calibration.beam_energy_kev.value < _LEAST_TRANSMISSION_KEV
