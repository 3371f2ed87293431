# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors that the user describes."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib

from mlatem.model import DescribedDetector, EfficiencyTable, Layer
from mlatem.physics.detector import efficiency
from mlatem.settings import Detector


def test_layers_in_place_of_those_of_the_settings():
    window = (Layer("Si3N4", 40.0, 3.17), Layer("Al", 30.0, 2.70), Layer("Si", 15e3, 2.329, 0.78))
    energy = 0.525
    nitride = xraylib.CS_Total_CP("Si3N4", energy) * 3.17 * 40e-7
    aluminium = xraylib.CS_Total(13, energy) * 2.70 * 30e-7
    grid = 0.78 + 0.22 * np.exp(-xraylib.CS_Total(14, energy) * 2.329 * 15000e-7)
    expected = np.exp(-nitride - aluminium) * grid
    found = efficiency(energy, DescribedDetector(described=window))
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_active_silicon_behind_layers_is_that_of_the_settings():
    bare = DescribedDetector(described=(Layer("Al", 0.0, 2.7),), active_silicon_mm=0.45)
    expected = 1 - np.exp(-xraylib.CS_Photo(14, 17.48) * 2.329 * 0.045)
    assert efficiency(17.48, bare) == pytest.approx(expected)


def test_a_table_is_the_whole_efficiency():
    table = EfficiencyTable((0.2, 1.0, 10.0, 20.0), (0.1, 0.5, 0.9, 0.4))
    found = efficiency([0.05, 0.15, 0.6, 15.0, 30.0], DescribedDetector(described=table))
    np.testing.assert_allclose(found, [0.0, 0.1, 0.3, 0.65, 0.4])


def test_ap33_is_close_to_the_manufacturers_table(test_data):
    path = test_data / "atomic" / "AP3_3.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    table = np.loadtxt(path, delimiter=",", comments="//").T
    detector = Detector(window="ap33", dead_layer_nm=0, aluminium_nm=0)
    # Polyimide stands for the film, whose composition the maker does not tell.
    for energy_kev, tolerance in {
        **dict.fromkeys((0.277, 0.392), 0.13),
        **dict.fromkeys((0.525, 0.677, 1.041, 1.254, 1.487, 1.740), 0.05),
    }.items():
        expected = np.interp(1e3 * energy_kev, *table)
        assert efficiency(energy_kev, detector) == pytest.approx(expected, rel=tolerance)
