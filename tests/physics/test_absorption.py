# SPDX-License-Identifier: GPL-3.0-or-later
"""Absorption in the specimen, weights and densities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.elements import SYMBOLS
from mlatem.errors import InputError
from mlatem.physics.absorption import mass_absorption_m2_kg, self_absorption_factor
from mlatem.physics.atomic import (
    atomic_fractions,
    atomic_weight,
    density_g_cm3,
    weight_fractions,
)


def factor(composition, energy_kev, thickness=1e-4, angle=22.0):
    return self_absorption_factor(
        composition, energy_kev, mass_thickness_kg_m2=thickness, take_off_angle_deg=angle
    )


@pytest.mark.parametrize(
    ("composition", "energy_kev", "expected_cm2_g"),
    [
        # J. H. Hubbell, S. M. Seltzer, NIST Standard Reference Database 126 (2004)
        ({"Fe": 1}, 10.0, 170.6),
        ({"Cu": 1}, 8.0, 52.55),
        ({"Al": 1}, 1.5, 402.2),
        ({"Pb": 1}, 20.0, 86.36),
        ({"H": 2, "O": 1}, 10.0, 5.329),
    ],
)
def test_mass_attenuation(composition, energy_kev, expected_cm2_g):
    got = mass_absorption_m2_kg(composition, energy_kev)
    assert got == pytest.approx(0.1 * expected_cm2_g, rel=0.03)


def test_film_of_alumina_at_oxygen():
    # 100 nm Al2O3 (3.95 g/cm3) towards 22 degrees: chi = mu rho t / sin(22 deg).
    mu = mass_absorption_m2_kg({"Al": 2, "O": 3}, 0.5249)
    chi = float(mu) * 3950 * 100e-9 / np.sin(np.radians(22))
    got = factor({"Al": 0.4, "O": 0.6}, 0.5249, thickness=3.95e-4)
    assert got == pytest.approx((1 - np.exp(-chi)) / chi)
    assert 0.65 < got < 0.85


def test_absorption_is_the_average_over_the_depth():
    composition, energy, thickness, angle = {"Ni": 3, "Al": 1}, 1.487, 8e-4, 18.0
    depth = (np.arange(100_000) + 0.5) / 100_000 * thickness / np.sin(np.radians(angle))
    expected = np.exp(-mass_absorption_m2_kg(composition, energy) * depth).mean()
    assert factor(composition, energy, thickness, angle) == pytest.approx(expected, rel=1e-8)


def test_no_thickness_no_absorption():
    np.testing.assert_array_equal(factor({"Fe": 1}, [0.5, 6.4], thickness=0.0), 1.0)


def test_vanishing_thickness_is_continuous():
    assert factor({"Fe": 1}, 0.5, thickness=1e-14) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("thickness", "angle", "words"),
    [(-1e-5, 22.0, "thickness"), (float("nan"), 22.0, "thickness"), (1e-4, 0.0, "take-off")],
)
def test_impossible_geometry_is_named(thickness, angle, words):
    with pytest.raises(InputError, match=words):
        factor({"Fe": 1}, 1.0, thickness, angle)


@pytest.mark.parametrize("composition", [{}, {"Fe": 0.0}, {"Fe": -1.0, "O": 2.0}])
def test_impossible_compositions_are_named(composition):
    with pytest.raises(InputError, match="composition"):
        mass_absorption_m2_kg(composition, 1.0)


def test_weights():
    # IUPAC standard atomic weights
    assert atomic_weight("Fe") == pytest.approx(55.845, rel=2e-4)
    assert atomic_weight("O") == pytest.approx(15.999, rel=2e-4)
    weights = weight_fractions({"Fe": 2, "O": 3})
    assert weights["Fe"] == pytest.approx(0.6994, abs=1e-4)


@given(st.dictionaries(st.sampled_from(SYMBOLS[:92]), st.floats(1e-6, 1.0), min_size=1, max_size=6))
def test_atomic_and_weight_fractions_are_inverse(composition):
    total = sum(composition.values())
    back = atomic_fractions(weight_fractions(composition))
    for element, fraction in composition.items():
        assert back[element] == pytest.approx(fraction / total, rel=1e-9)


@pytest.mark.parametrize(
    ("composition", "expected"),
    [
        # CRC Handbook of Chemistry and Physics
        ({"Fe": 1}, 7.87),
        ({"Fe": 1, "Pt": 1}, 14.0),
        ({"Mg": 1, "O": 1}, 3.6),
        ({"Al": 2, "O": 3}, 3.97),
        ({"Si": 1, "O": 2}, 2.65),
        ({"Sr": 1, "Ti": 1, "O": 3}, 5.1),
        ({"Fe": 2, "O": 3}, 5.25),
        ({"Ca": 1, "O": 1}, 3.34),
        ({"Hf": 1, "O": 2}, 9.68),
        ({"Si": 3, "N": 4}, 3.17),
        ({"Ga": 1, "As": 1}, 5.32),
        ({"Na": 1, "Cl": 1}, 2.17),
    ],
)
def test_density_estimates(composition, expected):
    assert density_g_cm3(composition) == pytest.approx(expected, rel=0.3)
