# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions of factors against their published formulas, and computed factors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import FactorTable
from mlatem.physics.factor_units import (
    converted,
    cross_section_barn,
    detected_cross_section_barn,
    with_line,
    zeta_kg_m2,
)
from mlatem.physics.lines import emission_lines
from mlatem.physics.standardless import standardless_table, usual_lines

DETECTOR = settings.Detector()
#: g/mol, IUPAC 2021 abridged.
WEIGHT = {"O": 15.999, "Ti": 47.867, "Sr": 87.62}
LINES = [("O", "K"), ("Ti", "Ka"), ("Sr", "K"), ("Sr", "L")]
COMMON = {"beam_energy_kev": 200.0, "detector": DETECTOR}


def zeta_table() -> FactorTable:
    return standardless_table(LINES, kind="zeta", solid_angle_sr=0.7, **COMMON)


def test_zeta_and_cross_section_in_their_units():
    # 1 barn = 1e-28 m2; A / (N_A sigma) with A in kg/mol.
    expected = 47.867e-3 / (6.02214076e23 * 100e-28)
    assert zeta_kg_m2("Ti", 100.0) == pytest.approx(expected, rel=1e-3)
    assert cross_section_barn("Ti", expected) == pytest.approx(100.0, rel=1e-3)


def test_a_zeta_factor_gives_back_the_mass_thickness_that_made_the_counts():
    # n atoms per area give I = N_e n sigma eps Omega / 4 pi counts; rho t = n A / N_A.
    atoms_m2, electrons = 3e21, 1e11
    barn = detected_cross_section_barn("Ti", "Ka", 200.0, DETECTOR)
    counts = electrons * atoms_m2 * barn * 1e-28 * 0.7 / (4 * math.pi)
    zeta = zeta_table().factors[1].value
    assert zeta * counts / electrons == pytest.approx(atoms_m2 * 47.867e-3 / 6.02214076e23, 1e-3)


def test_conversions_are_there_and_back():
    zeta = zeta_table()
    barn = converted(zeta, "cross_section")
    for basis in ("weight", "atom"):
        k = converted(barn, "k", reference=("Ti", "Ka"), basis=basis)
        assert k.factors[1].value == 1.0
        assert k.factors[1].sigma == 0.0
        back = converted(k, "zeta", reference_zeta_kg_m2=zeta.factors[1].value)
        for made, given in zip(back.factors, zeta.factors, strict=True):
            assert made.value == pytest.approx(given.value, rel=1e-14)
            assert (made.element, made.line, made.unit) == (given.element, given.line, "kg/m2")
    for made, given in zip(converted(barn, "zeta").factors, zeta.factors, strict=True):
        assert made.value == pytest.approx(given.value, rel=1e-14)
        assert made.sigma == pytest.approx(given.sigma, rel=1e-14)


def test_k_is_the_ratio_of_zeta_by_weight_and_of_cross_sections_by_atoms():
    zeta = zeta_table()
    barn = converted(zeta, "cross_section")
    weight = converted(zeta, "k", reference=("Ti", "Ka"))
    atom = converted(zeta, "k", reference=("Ti", "Ka"), basis="atom")
    for row in range(len(LINES)):
        ratio = zeta.factors[row].value / zeta.factors[1].value
        assert weight.factors[row].value == pytest.approx(ratio, rel=1e-14)
        ratio = barn.factors[1].value / barn.factors[row].value
        assert atom.factors[row].value == pytest.approx(ratio, rel=1e-14)
    again = converted(atom, "k", basis="weight")
    assert [f.value for f in again.factors] == pytest.approx([f.value for f in weight.factors])


def test_what_is_missing_for_a_conversion_is_named():
    zeta = zeta_table()
    with pytest.raises(InputError, match="need a reference"):
        converted(zeta, "k")
    with pytest.raises(InputError, match="no row of the reference Si K"):
        converted(zeta, "k", reference=("Si", "K"))
    k = converted(zeta, "k", reference=("Sr", "K"))
    with pytest.raises(InputError, match="give the zeta factor of Sr K"):
        converted(k, "zeta")
    with pytest.raises(InputError, match="convert one kind"):
        converted(FactorTable((*zeta.factors, *k.factors)), "zeta")
    other = converted(zeta, "k", reference=("Ti", "Ka")).factors[0]
    with pytest.raises(InputError, match="k-factors against Sr K, Ti Ka"):
        converted(FactorTable((other, *k.factors[1:])), "k")


def test_line_definition_follows_the_relative_intensities():
    lines = emission_lines("Ti", 200.0)
    alpha = np.array([name.startswith("K-L") for name in lines.names])
    family = np.array([name.startswith("K") for name in lines.names])
    share = lines.cross_section_barn[alpha].sum() / lines.cross_section_barn[family].sum()
    titanium = zeta_table().factors[1]
    whole = with_line(titanium, "K", DETECTOR)
    # The detector sees alpha and beta of Ti, 4.5 and 4.9 keV, nearly equally.
    assert whole.value / titanium.value == pytest.approx(share, rel=2e-3)
    assert whole.sigma / whole.value == pytest.approx(titanium.sigma / titanium.value)
    assert with_line(whole, "Ti_Ka", DETECTOR).value == pytest.approx(titanium.value, rel=1e-14)
    barn = converted(FactorTable((titanium,)), "cross_section").factors[0]
    assert with_line(barn, "K", DETECTOR).value == pytest.approx(
        cross_section_barn("Ti", whole.value), rel=1e-14
    )
    with pytest.raises(InputError, match="families are tied by yields"):
        with_line(titanium, "L", DETECTOR)


def test_computed_factors_carry_prior_uncertainties():
    table = standardless_table([("Si", "K"), *LINES], kind="k", **COMMON)
    silicon, oxygen, titanium, *_ = table.factors
    assert silicon.value == 1.0
    assert silicon.sigma == 0.0
    # O 25 % and Si 10 %, partly common: between the two alone and their quadrature.
    assert 0.15 < oxygen.sigma / oxygen.value < math.hypot(0.25, 0.10)
    assert 0.06 < titanium.sigma / titanium.value < math.hypot(0.10, 0.04)


def test_absolute_factors_need_the_solid_angle():
    with pytest.raises(InputError, match="needs the detector's solid angle"):
        standardless_table(LINES, kind="zeta", **COMMON)
    with pytest.raises(InputError, match="Ti has no M line"):
        standardless_table([("Ti", "M")], kind="k", **COMMON)


def test_usual_lines_are_those_that_detectors_see():
    assert usual_lines("O", 200.0) == ("K",)
    assert usual_lines("Pt", 200.0) == ("L", "M")
    assert usual_lines("Sr", 200.0) == ("K", "L")
