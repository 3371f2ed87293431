# SPDX-License-Identifier: GPL-3.0-or-later
"""Compounds of known composition, absorbed slice by slice with xraylib, come back."""

from __future__ import annotations

from dataclasses import replace

import absorption as benchmark
import numpy as np
import pandas as pd
import pytest

import mlatem
from mlatem.model import Estimate, Factorization
from mlatem.quantification.absorption import (
    absorption_covariance,
    absorption_sigma,
    coefficient_sigma,
    transmission,
)
from mlatem.quantification.composition import element_matrix, fraction_jacobian
from mlatem.settings import Calibrate

EDXS = benchmark.EDXS
COMPOUNDS = {compound.name: compound for compound in benchmark.COMPOUNDS}


class Chain:
    """One compound through calibration and factorisation."""

    def __init__(self, name, thickness_nm, scale=1.0, **calibrate):
        self.compound = COMPOUNDS[name]
        image = benchmark.measured(self.compound, thickness_nm, 1e6, seed=0)
        self.calibration = mlatem.calibrate(
            image,
            list(self.compound.atoms),
            thickness_nm=scale * thickness_nm,
            density_g_cm3=self.compound.density_g_cm3,
            edxs=EDXS,
            settings=Calibrate(**calibrate),
        )
        dictionary = mlatem.edxs_dictionary(image, self.calibration, edxs=EDXS)
        self.dataset = mlatem.factorize(
            image, dictionary, 1, calibration=self.calibration, edxs=EDXS
        )
        self.result = Factorization.from_dataset(self.dataset)

    @property
    def frame(self):
        table = mlatem.quantify(self.dataset, calibration=self.calibration, edxs=EDXS)
        return table.frame.set_index("element")

    @property
    def error(self):
        return self.frame["atomic_percent"] - pd.Series(self.compound.percent)


@pytest.fixture(scope="module")
def scandate():
    return Chain("DyScO3", 300.0)


@pytest.mark.parametrize(
    ("name", "thickness_nm"), [("MgO", 300.0), ("Ni3Al", 100.0), ("FeO", 200.0)]
)
def test_known_compounds_within_half_an_atomic_percent(name, thickness_nm):
    assert Chain(name, thickness_nm).error.abs().max() < 0.5


def test_dysprosium_scandate_keeps_its_oxygen(scandate):
    assert scandate.error.abs().max() < 0.5
    image = benchmark.measured(scandate.compound, 300.0, 1e6, seed=0)
    thin = benchmark.quantified(image, scandate.compound, None)
    assert thin.frame.set_index("element").loc["O", "atomic_percent"] < 40


@pytest.mark.parametrize("scale", [0.8, 1.2])
def test_a_wrong_thickness_is_within_the_systematic_sigma(scale):
    # Free families of dysprosium would take up part of the error.
    wrong = Chain("DyScO3", 200.0, scale, line_factors=False)
    sigma = absorption_sigma(wrong.result, wrong.calibration, EDXS)[0]
    _, matrix = element_matrix(wrong.result.dictionary)
    jacobian = fraction_jacobian(wrong.result.coefficient[0], matrix)
    expected = 100 * np.abs(jacobian @ (wrong.result.coefficient[0] * sigma[:, 0]))
    # A fifth of the thickness is one standard deviation of it.
    found = wrong.error[list(wrong.compound.atoms)].abs().to_numpy()
    assert found[-1] > 2
    np.testing.assert_allclose(found, expected, rtol=0.35)
    assert np.all(wrong.error.abs() < wrong.frame["sigma_sys"])


def test_transmission_is_the_mean_over_the_depth(scandate):
    share = transmission(scandate.result, scandate.calibration, EDXS)[0]
    oxygen = scandate.result.dictionary.names.index("O")
    expected = benchmark.escaping(scandate.compound, np.array([0.5249]), 300.0)[0]
    assert share[oxygen] == pytest.approx(expected, rel=0.02)
    np.testing.assert_array_equal(share[~scandate.result.dictionary.quantified], 1.0)


def test_soft_lines_are_the_least_certain(scandate):
    sigma = absorption_sigma(scandate.result, scandate.calibration, EDXS)[0]
    names = scandate.result.dictionary.names
    oxygen, scandium = names.index("O"), names.index("Sc")
    assert sigma[oxygen, 0] > 3 * sigma[scandium, 0] > 0
    # Causes other than the thickness move the lines of one column alone.
    of_lines = sigma[:, 1:]
    np.testing.assert_array_equal(of_lines - np.diag(np.diag(of_lines)), 0.0)
    assert sigma[oxygen, 1 + oxygen] > sigma[scandium, 1 + scandium]


def test_a_measured_thickness_brings_its_own_sigma(scandate):
    thickness = scandate.calibration.mass_thickness_kg_m2
    exact = replace(thickness, sigma=1e-9 * thickness.value)
    known = replace(scandate.calibration, mass_thickness_kg_m2=exact)
    np.testing.assert_allclose(
        absorption_sigma(scandate.result, known, EDXS)[0, :, 0], 0, atol=1e-8
    )
    guessed = replace(
        scandate.calibration, mass_thickness_kg_m2=replace(thickness, origin="default")
    )
    wider = absorption_sigma(scandate.result, guessed, EDXS)[0, :, 0]
    given = absorption_sigma(scandate.result, scandate.calibration, EDXS)[0, :, 0]
    assert np.all(np.abs(wider) >= np.abs(given))


def test_without_a_thickness_nothing_is_claimed(scandate):
    unknown = replace(scandate.calibration, mass_thickness_kg_m2=Estimate(0.0, None, "default"))
    assert not absorption_sigma(scandate.result, unknown, EDXS).any()
    np.testing.assert_array_equal(transmission(scandate.result, unknown, EDXS), 1.0)


def test_attenuation_is_less_certain_at_low_energies():
    found = coefficient_sigma([0.3, 1.0, 1.5, 2.0, 9.0])
    np.testing.assert_allclose(found, [0.15, 0.15, 0.095, 0.04, 0.04])


def test_causes_move_columns_together():
    coefficient = np.array([2.0, 1.0])
    sigma = np.array([[0.1, 0.0], [-0.2, 0.3]])
    expected = [[0.04, -0.04], [-0.04, 0.13]]
    np.testing.assert_allclose(absorption_covariance(coefficient, sigma), expected)
