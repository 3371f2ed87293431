# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from mlatem.elements import SYMBOLS, atomic_number, check_symbols, parse_formula
from mlatem.errors import InputError


def test_symbols_run_from_hydrogen_to_plutonium():
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 94
    known = {"H": 1, "C": 6, "O": 8, "Si": 14, "Fe": 26, "Cu": 29, "Zr": 40, "La": 57, "Hf": 72}
    known |= {"Pt": 78, "Au": 79, "U": 92, "Pu": 94}
    assert {symbol: atomic_number(symbol) for symbol in known} == known


@pytest.mark.parametrize("wrong", ["fe", "FE", "Xx", "", "Fe ", "iron"])
def test_unknown_element_is_named(wrong: str):
    with pytest.raises(InputError, match="unknown element") as caught:
        atomic_number(wrong)
    assert repr(wrong) in str(caught.value)


def test_symbols_keep_their_order():
    assert check_symbols(iter(["Fe", "O", "Al"])) == ("Fe", "O", "Al")
    assert check_symbols([]) == ()


def test_element_listed_twice():
    with pytest.raises(InputError, match="Fe is listed twice"):
        check_symbols(["Fe", "O", "Fe"])


def test_formulas():
    assert parse_formula("C22H10N2O5") == {"C": 22, "H": 10, "N": 2, "O": 5}
    assert parse_formula("Fe0.5Ni0.5Fe1") == {"Fe": 1.5, "Ni": 0.5}


@pytest.mark.parametrize("wrong", ["", "Si3(N4)", "3Si", "Si.", "Si0", "Qq2"])
def test_what_is_no_formula(wrong: str):
    with pytest.raises(InputError):
        parse_formula(wrong)
