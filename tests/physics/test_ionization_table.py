# SPDX-License-Identifier: GPL-3.0-or-later
"""The formula of Bote and Salvat, and the table made of it."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.elements import SYMBOLS
from mlatem.errors import InputError, ReadError
from mlatem.physics import bote_salvat, build_ionization, build_m_shell
from mlatem.physics.bote_salvat import CM2_PER_BARN, SHELLS
from mlatem.physics.ionization import ionization_cross_section
from mlatem.physics.shipped import IONIZATION_PATH, M_SHELL_PATH

#: Atomic number, shell number (K = 1 to M5 = 9), energy in eV, cross-section in cm2: values of
#: xion.f, the program that Bote et al. (2009) published with their coefficients.
REFERENCE = [
    (12, 4, 77.1792, 3.85315e-18),
    (12, 4, 12956.9, 1.24124e-18),
    (12, 4, 5.78762e6, 1.30393e-19),
    (23, 2, 2.90068e8, 5.64142e-21),
    (23, 2, 15399.3, 2.63509e-20),
    (45, 7, 6.68344e8, 1.62343e-20),
    (45, 7, 1223.21, 2.11571e-19),
    (67, 1, 163117, 1.36404e-23),
    (78, 9, 2985.38, 2.02808e-20),
    (99, 3, 1e9, 1.39024e-22),
    (99, 3, 26607.3, 3.85171e-24),
    (1, 1, 687.86, 1.57729e-17),
]


@pytest.fixture(scope="module")
def atomic_data(test_data):
    folder = test_data / "atomic"
    if not folder.is_dir():
        pytest.skip(f"no atomic data in {folder}")
    return folder


@pytest.fixture(scope="module")
def coefficients(atomic_data):
    return build_ionization.read_coefficients(atomic_data)


@pytest.mark.parametrize(("number", "shell", "energy_ev", "expected_cm2"), REFERENCE)
def test_formula_gives_the_published_values(coefficients, number, shell, energy_ev, expected_cm2):
    barn = bote_salvat.cross_section_barn(energy_ev, coefficients[number, SHELLS[shell - 1]])
    assert barn * CM2_PER_BARN == pytest.approx(expected_cm2, rel=1e-4)


def test_the_two_expressions_meet_at_overvoltage_16(coefficients):
    at = np.array([bote_salvat.BRANCH_OVERVOLTAGE])
    mismatch = [
        abs(bote_salvat.low_branch(at, c) / bote_salvat.high_branch(at, c) - 1)[0]
        for (number, _), c in coefficients.items()
        if 4 <= number <= 94
    ]
    assert max(mismatch) < 2e-3
    assert np.median(mismatch) < 3e-4


def test_table_agrees_with_the_formula(coefficients):
    energy_ev = 1e3 * np.geomspace(20, 400, 61)
    for (number, shell), c in coefficients.items():
        if not 4 <= number <= 94:
            continue
        expected = bote_salvat.cross_section_barn(energy_ev, c)
        got = [ionization_cross_section(SYMBOLS[number - 1], shell, e / 1e3) for e in energy_ev]
        np.testing.assert_allclose(got, expected, rtol=1e-3, err_msg=f"{number} {shell}")


def test_table_agrees_with_the_formula_just_above_an_edge(coefficients):
    c = coefficients[82, "K"]
    for overvoltage in (1.0001, 1.003, 1.05):
        energy_ev = overvoltage * c.edge_ev
        expected = bote_salvat.cross_section_barn(energy_ev, c)
        assert ionization_cross_section("Pb", "K", energy_ev / 1e3) == pytest.approx(
            float(expected), rel=1e-3
        )


@pytest.mark.parametrize(
    ("build", "shipped"),
    [(build_ionization.build, IONIZATION_PATH), (build_m_shell.build, M_SHELL_PATH)],
)
def test_rebuilding_gives_the_shipped_table(atomic_data, tmp_path, build, shipped):
    build(atomic_data, tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz") as rebuilt, np.load(shipped) as table:
        assert sorted(rebuilt) == sorted(table)
        for name in table:
            if table[name].dtype.kind == "f":
                np.testing.assert_allclose(rebuilt[name], table[name], rtol=1e-6, atol=1e-12)
            else:
                assert "public domain" in str(table[name])


def test_building_twice_gives_the_same_bytes(atomic_data, tmp_path):
    for name in ("one.npz", "two.npz"):
        build_ionization.build(atomic_data, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_building_without_the_files_names_the_one_missing(tmp_path):
    with pytest.raises(ReadError, match=r"xionUis\.csv.*EPQ"):
        build_ionization.build(tmp_path, tmp_path / "table.npz")
    with pytest.raises(ReadError, match=r"relax\.csv.*EPQ"):
        build_m_shell.build(tmp_path, tmp_path / "table.npz")


def test_no_ionization_below_the_edge_or_without_the_shell():
    assert ionization_cross_section("U", "K", 100) == 0
    assert ionization_cross_section("O", "M5", 200) == 0


def test_iron_and_gold_at_200_kev():
    # With the exponent -1/4 of a public package these come out 4.7 % and 8.4 % lower.
    assert ionization_cross_section("Fe", "K", 200) == pytest.approx(318.5, rel=1e-3)
    assert ionization_cross_section("Au", "L3", 300) == pytest.approx(293.2, rel=1e-3)


@pytest.mark.parametrize("beam", [None, 5.0, 200_000.0, float("nan")])
def test_impossible_beam_energies_name_the_mend(beam):
    with pytest.raises(InputError, match="beam_energy_kev"):
        ionization_cross_section("Fe", "K", beam)


def test_elements_without_lines_and_unknown_shells_are_named():
    with pytest.raises(InputError, match="He"):
        ionization_cross_section("He", "K", 200)
    with pytest.raises(InputError, match="Xx"):
        ionization_cross_section("Xx", "K", 200)
    with pytest.raises(InputError, match="N7"):
        ionization_cross_section("Fe", "N7", 200)
