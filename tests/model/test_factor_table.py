# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from mlatem.errors import InputError
from mlatem.model import Factor, FactorTable
from mlatem.model.line_names import is_member, line_name

K = Factor("Ti", "Ka", "k", 1.2, 0.02, 200.0, "1", "weight", "Si", "K", "standard")
ZETA = Factor("Ti", "K", "zeta", 700.0, None, 200.0, "kg/m2")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("K", "K"),
        ("K\u03b1", "Ka"),
        ("Fe_Ka", "Ka"),
        ("Fe Ka1", "K-L3"),
        ("K-L3", "K-L3"),
        ("La1", "L3-M5"),
        ("Mz", "M5-N3"),
        ("L3", "L3"),
    ],
)
def test_every_notation_has_one_canonical_name(text, name):
    assert line_name(text, "Fe") == name


@pytest.mark.parametrize("text", ["", "Q", "Kx", "K-Q1", "Ni Ka", "L4", "Ka3"])
def test_an_unknown_line_is_named(text):
    with pytest.raises(InputError, match=r"unknown line .* expected a family"):
        line_name(text, "Fe")


def test_members_of_groups():
    assert [is_member(n, "Ka") for n in ("K-L2", "K-L3", "K-M3")] == [True, True, False]
    assert [is_member(n, "La") for n in ("L3-M5", "L3-M1", "L2-M4")] == [True, False, False]
    assert is_member("L3-M1", "L3")
    assert not is_member("L2-M4", "L3")
    assert is_member("M5-N7", "M")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"element": "Xx"}, "unknown element 'Xx'"),
        ({"line": "Ka1"}, "write K-L3"),
        ({"kind": "K"}, "expected one of k, zeta, cross_section"),
        ({"value": 0.0}, "expected a number above 0"),
        ({"value": float("nan")}, "expected a number above 0"),
        ({"sigma": -1.0}, "sigma of k of Ti Ka is -1.0"),
        ({"beam_energy_kev": 0.0}, "one beam energy only"),
        ({"unit": "barn"}, "unit of k of Ti Ka is 'barn': expected '1'"),
        ({"basis": "mole"}, "expected weight or atom"),
        ({"reference_element": ""}, "a k-factor relates two lines"),
        ({"reference_line": "Ka1"}, "write K-L3"),
        ({"kind": "zeta", "unit": "kg/m2"}, "leave its reference empty"),
    ],
)
def test_a_factor_that_cannot_be_used_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(K, **change)


def test_a_line_defined_twice_is_refused():
    with pytest.raises(InputError, match=r"rows 1 and 2: k of Ti K \(Ka and K\) at 200 keV"):
        FactorTable((K, replace(K, line="K", value=1.1)))
    # Of another kind or beam energy it is another factor.
    table = FactorTable((K, ZETA, replace(K, beam_energy_kev=300.0)))
    assert table.kinds == ("zeta", "k")
    assert table.at(300.0).factors == (replace(K, beam_energy_kev=300.0),)


def test_rows_for_another_beam_energy_are_refused():
    table = FactorTable((K,), "std.csv")
    assert table.at(202.0).factors == (K,)
    with pytest.raises(InputError, match=r"std.csv: no factor for a beam energy of 80 keV .*200"):
        table.at(80.0)


def test_a_missing_element_is_named_with_the_mend():
    with pytest.raises(InputError, match=r"no factor for Ba, O: .*--elements Ba,O"):
        FactorTable((K,)).check_elements(["Ti", "Ba", "Si", "O"])
    with pytest.raises(InputError, match="no factor of kind zeta"):
        FactorTable((K,)).of_kind("zeta")
    with pytest.raises(InputError, match="has no rows"):
        FactorTable(())


def test_a_table_survives_json():
    table = FactorTable((K, ZETA), "std.csv")
    assert FactorTable.from_dict(table.to_dict()) == table
