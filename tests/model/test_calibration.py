# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Calibration, Decision, DetectorAxis, Estimate, Verdict


def axis(name: str, share: float, offset_kev: float) -> DetectorAxis:
    return DetectorAxis(
        name,
        share,
        Estimate(offset_kev, 0.001, "file"),
        Estimate(1e-4, 1e-5, "file"),
        Estimate(47.0, 1.0, "file"),
    )


@pytest.fixture
def calibration() -> Calibration:
    return Calibration(
        energy_offset_kev=Estimate(-0.005, 0.001, "file"),
        energy_gain=Estimate(2e-4, 1e-5, "file"),
        noise_ev=Estimate(48.0, 1.0, "file"),
        fano=Estimate(0.118, None, "default"),
        beam_energy_kev=Estimate(200.0, None, "user"),
        take_off_angle_deg=Estimate(22.0, None, "default"),
        mass_thickness_kg_m2=Estimate(0.0, None, "default"),
        composition={"O": 0.6, "Al": 0.4},
        elements=("O", "Al"),
        system_elements=("Cu",),
        first_channel=35,
        stop_channel=900,
        deviance_per_dof=1.3,
        line_factors={"Al L3": Estimate(0.9, 0.1, "file")},
        line_factor_prior={"Al L3": 0.4},
        line_factor_common={"Al L3": 0.3},
        offset_gain_correlation=-0.7,
        resolution_ev=Estimate(129.0, 0.5, "file"),
        pile_up=Estimate(0.004, 0.001, "file"),
        detectors=(axis("A", 0.4, -0.006), axis("B", 0.6, 0.004)),
        spectrum=tuple(float(n % 7) for n in range(1000)),
        decisions=(Decision("calibrate", "axis fitted", "1e6 counts", "calibrate.fit"),),
        verdicts=(Verdict("deviance", 1.3, 2.0, "", "good", "The model fits."),),
    )


def test_round_trip_through_json(calibration: Calibration):
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_a_record_without_the_later_fields_is_read(calibration: Calibration):
    later = ("line_factors", "offset_gain_correlation", "resolution_ev", "pile_up", "detectors")
    values = calibration.to_dict()
    old = {k: v for k, v in values.items() if k not in (*later, "spectrum")}
    assert Calibration.from_dict(old).detectors == ()


def test_corrected_axis(calibration: Calibration):
    energy = np.array([0.0, 10.0])
    np.testing.assert_allclose(calibration.corrected(energy), [-0.005, 9.997])
    np.testing.assert_allclose(calibration.on_file_axis(calibration.corrected(energy)), energy)
    np.testing.assert_allclose(calibration.detectors[1].corrected(energy), [0.004, 10.005])
    assert calibration.corrected(np.zeros(900)[calibration.window]).size == 865


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system_elements": ("Cu", "Al")}, "Al is named both"),
        ({"elements": ("O", "Aluminium")}, "unknown element 'Aluminium'"),
        ({"first_channel": 900}, "widen edxs.energy_min_kev"),
        ({"first_channel": -1}, "is empty"),
        ({"detectors": (axis("A", 0.4, 0.0),)}, "shares of the detectors add up to 0.4"),
        ({"spectrum": (1.0, 2.0)}, "sum spectrum has 2 channels"),
        ({"composition": {"O": 0.6}}, "adds up to 0.6, expected 1"),
    ],
)
def test_contradictions(calibration: Calibration, change: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        replace(calibration, **change)


def test_sub_shells_share_the_error_of_their_family(calibration: Calibration):
    known = replace(
        calibration,
        line_factor_prior={"Fe L3": 0.4, "Fe L1": 0.5, "Ni L3": 0.4, "Pt M5": 0.5},
        line_factor_common={"Fe L3": 0.4, "Fe L1": 0.4, "Ni L3": 0.4},
    )
    names = list(known.line_factor_prior)
    expected = np.diag([0.16, 0.25, 0.16, 0.25])
    expected[0, 1] = expected[1, 0] = 0.16
    np.testing.assert_allclose(known.line_factor_covariance(names), expected)
    np.testing.assert_allclose(known.line_factor_covariance(names[1:]), expected[1:, 1:])
    assert known.line_factor_covariance([]).shape == (0, 0)
