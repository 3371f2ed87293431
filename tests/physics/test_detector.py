# SPDX-License-Identifier: GPL-3.0-or-later
"""Width and efficiency of the detector."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib

from mlatem.physics.detector import efficiency, fwhm_ev
from mlatem.settings import Detector


def test_width_at_manganese():
    # 45 eV of noise and F = 0.118 are a usual silicon drift detector: 125 to 130 eV at Mn K alpha.
    expected = np.sqrt(45**2 + 8 * np.log(2) * 0.118 * 3.66 * 5898.8)
    assert expected == pytest.approx(126.8, abs=0.5)
    assert fwhm_ev(5.8988, 45, 0.118) == pytest.approx(expected)


def test_width_at_and_below_zero_is_the_noise():
    np.testing.assert_allclose(fwhm_ev([-0.2, 0.0], 50, 0.118), 50)


def test_a_bare_crystal_stops_soft_and_passes_hard_photons():
    detector = Detector(dead_layer_nm=0, aluminium_nm=0, active_silicon_mm=0.45)
    photo = xraylib.CS_Photo(14, 17.479) * 2.329 * 0.045
    assert efficiency(17.479, detector) == pytest.approx(1 - np.exp(-photo))
    assert efficiency(17.479, detector) == pytest.approx(0.47, abs=0.03)
    assert efficiency(1.74, detector) == pytest.approx(1, abs=1e-6)


def test_beryllium_window():
    # 8 um Be: half of Na K (1.041 keV) passes, hardly any O K, nearly all of Fe K.
    detector = Detector(window="beryllium", dead_layer_nm=0, aluminium_nm=0)
    na, o, fe = efficiency([1.041, 0.525, 6.404], detector)
    assert na == pytest.approx(np.exp(-xraylib.CS_Total(4, 1.041) * 1.848 * 8e-4))
    assert 0.3 < na < 0.6
    assert o < 0.01
    assert fe > 0.99


def test_polymer_window_is_polyimide():
    detector = Detector(window="polymer", dead_layer_nm=0, aluminium_nm=0)
    depth = xraylib.CS_Total_CP("C22H10N2O5", 0.5249) * 1.42 * 300e-7
    assert efficiency(0.5249, detector) == pytest.approx(np.exp(-depth), rel=1e-3)


def test_layers_lower_the_efficiency_and_keep_its_shape():
    energy = np.linspace(-0.5, 40, 300).reshape(3, 100)
    bare = efficiency(energy, Detector(dead_layer_nm=0, aluminium_nm=0))
    real = efficiency(energy, Detector())
    assert real.shape == energy.shape
    assert np.all((real >= 0) & (real <= bare) & (bare <= 1))
    assert np.all(real[energy < 0.1] == 0)
