# SPDX-License-Identifier: GPL-3.0-or-later
"""Line factors are freed of what the absorption in different phases did to the sum spectrum."""

import numpy as np
import pytest

from mlatem import settings
from mlatem.model import Calibration, Estimate
from mlatem.physics.dictionary_columns import Film, detected_barn
from mlatem.physics.line_factors import subshells
from mlatem.physics.lines import emission_lines
from mlatem.physics.mixed_absorption import unmixed_line_factors

DETECTOR = settings.Detector()
ENERGY = np.linspace(0.3, 20.0, 4)
METAL = Film(2e-3, (22.0,), {"Fe": 0.3, "Ni": 0.7})
OXIDE = Film(3e-4, (22.0,), {"Fe": 0.1, "Si": 0.3, "O": 0.6})
MEAN = {"Fe": 0.2, "Ni": 0.3, "Si": 0.2, "O": 0.3}
#: Nine tenths of the iron are in the metal.
IRON = np.array([0.9, 0.1])


def calibration(**factors):
    def known(value):
        return Estimate(value, None, "user")

    return Calibration(
        energy_offset_kev=known(0.0),
        energy_gain=known(0.0),
        noise_ev=known(50.0),
        fano=known(0.118),
        beam_energy_kev=known(200.0),
        take_off_angle_deg=known(22.0),
        mass_thickness_kg_m2=known(5e-4),
        composition=MEAN,
        elements=tuple(MEAN),
        system_elements=(),
        first_channel=0,
        stop_channel=4,
        deviance_per_dof=1.0,
        line_factors=factors,
    )


def transmission(film, shell):
    lines = emission_lines("Fe", 200.0)
    emitted = detected_barn(lines, DETECTOR, {}) * (np.array(subshells(lines)) == shell)
    emitted = emitted * (lines.energy_kev > ENERGY[0])
    return float((emitted * film.escaping(lines)).sum() / emitted.sum())


def seen_in_the_sum(shell):
    """What a fit with the mean absorption finds for a shell whose intensity is as tabulated."""
    mean = Film(5e-4, (22.0,), MEAN)
    through = {
        s: IRON @ [transmission(METAL, s), transmission(OXIDE, s)] / transmission(mean, s)
        for s in (shell, "K")
    }
    return through[shell] / through["K"]


def unmixed(fitted):
    record = calibration(**{"Fe L3": fitted})
    return unmixed_line_factors(record, [METAL, OXIDE], {"Fe": IRON}, ENERGY, DETECTOR)["Fe L3"]


def test_absorption_in_the_phases_is_no_property_of_the_lines():
    fitted = Estimate(seen_in_the_sum("L3"), 0.0, "file")
    assert abs(fitted.value - 1.0) > 0.05
    assert unmixed(fitted).value == pytest.approx(1.0, rel=1e-6)


def test_what_the_prior_held_is_left_alone():
    from_prior = Estimate(1.0, np.hypot(0.40, 0.04), "file")
    assert unmixed(from_prior).value == pytest.approx(1.0)


def test_phases_that_absorb_like_the_mean_change_nothing():
    mean = Film(5e-4, (22.0,), MEAN)
    record = calibration(**{"Fe L3": Estimate(0.8, 0.01, "file")})
    found = unmixed_line_factors(record, [mean, mean], {"Fe": IRON}, ENERGY, DETECTOR)
    assert found["Fe L3"].value == pytest.approx(0.8)


def test_elements_that_no_phase_holds_keep_their_factors():
    record = calibration(**{"Fe L3": Estimate(0.8, 0.01, "file")})
    nowhere = {"Fe": np.zeros(2)}
    found = unmixed_line_factors(record, [METAL, OXIDE], nowhere, ENERGY, DETECTOR)
    assert found == record.line_factors
