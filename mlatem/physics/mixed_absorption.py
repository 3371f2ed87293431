# SPDX-License-Identifier: GPL-3.0-or-later
"""Line factors of a sum spectrum, without what different phases' absorption did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.model import Calibration, Estimate
from mlatem.physics.dictionary_columns import Film, detected_barn
from mlatem.physics.factors import factor_sigma
from mlatem.physics.line_factors import subshells
from mlatem.physics.lines import emission_lines

Array = NDArray[np.float64]


def unmixed_line_factors(
    calibration: Calibration,
    phases: Sequence[Film],
    atoms: Mapping[str, Array],
    energy: Array,
    detector: settings.Detector,
) -> dict[str, Estimate]:
    """The fitted line factors, for phases that absorb their own X-rays.

    Parameters
    ----------
    calibration : Calibration
        Its factors were fitted with the absorption in the mean composition.
    phases : sequence of Film
    atoms : mapping of str to ndarray of shape (n_phases,)
        Share of each element's atoms that each phase holds, on any scale.
    energy : ndarray of shape (n_energy,)
        The fitted window, keV.
    detector : settings.Detector

    Notes
    -----
    Iron that is mostly in a metal loses more of its L lines than the mean composition lets expect.
    In the sum spectrum that looks like a weaker L shell. What the fit found for a sub-shell s is
    therefore divided by ``r_s / r_0``, where r is the transmission of its lines through the phases,
    weighted with the element's atoms, over that through the mean, and 0 the sub-shell against which
    it was fitted. Where the prior held a factor back, only the part ``1 - (sigma / prior)^2`` of
    the logarithm came from the data, and only that is divided out.
    """
    factors = {name: estimate.value for name, estimate in calibration.line_factors.items()}
    mean = Film(
        calibration.mass_thickness_kg_m2.value, calibration.take_off, calibration.composition
    )
    result = dict(calibration.line_factors)
    for element, share in atoms.items():
        fitted = [name for name in result if name.startswith(f"{element} ")]
        if not fitted or not share.sum() > 0:
            continue
        lines = emission_lines(element, calibration.beam_energy_kev.value)
        inside = (lines.energy_kev >= energy[0]) & (lines.energy_kev <= energy[-1])
        emitted = detected_barn(lines, detector, factors) * inside
        shells = np.array(subshells(lines))
        through_mean = emitted * mean.escaping(lines)
        through_phases = emitted * sum(
            part * film.escaping(lines)
            for part, film in zip(share / share.sum(), phases, strict=True)
        )
        seen = {
            str(s): (shells == s) for s in dict.fromkeys(shells) if through_mean[shells == s].any()
        }
        ratio = {s: float(through_phases[m].sum() / through_mean[m].sum()) for s, m in seen.items()}
        free = [s for s in seen if f"{element} {s}" not in fitted]
        if not free:
            continue
        anchor = max(free, key=lambda s: float(through_mean[seen[s]].sum()))
        for name in fitted:
            shell = name.split()[1]
            if shell in ratio:
                known = _share_of_data(result[name], element, shell[0], anchor[0])
                change = (ratio[shell] / ratio[anchor]) ** known
                result[name] = replace(result[name], value=result[name].value / change)
    return result


def _share_of_data(factor: Estimate, element: str, family: str, reference: str) -> float:
    """Part of a fitted factor's logarithm that the data gave, the rest being the prior's."""
    if factor.sigma is None or not factor.value > 0:
        return 1.0
    prior = np.hypot(factor_sigma(element, family), factor_sigma(element, reference))
    return float(np.clip(1.0 - (factor.sigma / factor.value / prior) ** 2, 0.0, 1.0))
