# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Acquisition, Value


def test_user_takes_precedence_and_origin_is_kept():
    from_file = Acquisition().updated({"beam_energy_kev": 200.0, "microscope": "Titan"}, "file")
    changed = from_file.updated({"beam_energy_kev": 300.0, "live_time_s": None}, "user")
    assert changed["beam_energy_kev"] == Value(300.0, "user")
    assert changed["microscope"] == Value("Titan", "file")
    assert from_file["beam_energy_kev"] == Value(200.0, "file")
    assert "live_time_s" not in changed
    assert len(changed) == 2


def test_unknown_stays_unknown():
    assert Acquisition().number("live_time_s") is None
    assert dict(Acquisition()) == {}


def test_attributes_survive_json():
    before = Acquisition().updated({"beam_energy_kev": 200.0, "sample": "A µ"}, "file")
    after = Acquisition.from_attrs(json.loads(json.dumps(before.to_attrs())))
    assert dict(after) == dict(before)


def test_number_refuses_text():
    acquisition = Acquisition({"microscope": Value("Titan", "file")})
    with pytest.raises(InputError, match="microscope is 'Titan', expected a number"):
        acquisition.number("microscope")


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float32("nan")])
def test_numbers_are_finite(bad: float):
    with pytest.raises(InputError, match=r"beam energy is .*leave out a value"):
        Acquisition({"beam_energy_kev": Value(bad, "file")})


def test_misspelt_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown acquisition value 'beam'.*beam_energy_kev"):
        Acquisition({"beam": Value(200.0, "file")})


def test_unknown_origin():
    with pytest.raises(InputError, match="origin 'guess', expected one of file, default, user"):
        Acquisition({"sample": Value("A", "guess")})  # type: ignore[arg-type]
