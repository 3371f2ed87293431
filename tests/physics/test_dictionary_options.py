# SPDX-License-Identifier: GPL-3.0-or-later
"""Line factors, pile-up and split columns of the EDXS dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.physics.dictionary import edxs_dictionary

ENERGY = 0.3 + 0.01 * np.arange(1500)


def build(**changes):
    keywords = {"elements": ("Pt", "O"), "beam_energy_kev": 200.0, **changes}
    return edxs_dictionary(ENERGY, **keywords)


def columns(dictionary):
    return dict(zip(dictionary.names, dictionary.columns, strict=True))


@pytest.mark.parametrize("split", ["family", "shell"])
def test_split_columns_add_up_to_the_column_of_the_element(split):
    whole, parts = build(), build(split=split)
    for element in ("Pt", "O"):
        member = [
            c
            for c, e, k in zip(parts.columns, parts.elements, parts.kinds, strict=True)
            if e == element and k == "line"
        ]
        # A family with less than 5 % in the window has no column: here the K lines of Pt.
        np.testing.assert_allclose(np.sum(member, axis=0), columns(whole)[element], rtol=1e-12)


def test_names_of_split_columns():
    family = build(split="family", system_elements=("Cu",), n_background=2)
    assert family.names[:5] == ("Pt L", "Pt M", "O K", "Cu K (system)", "Cu L (system)")
    shell = build(split="shell", system_elements=("Cu",), n_background=2)
    assert shell.names[:9] == (
        *(f"Pt L{k}" for k in (1, 2, 3)),
        *(f"Pt M{k}" for k in range(1, 6)),
        "O K",
    )
    assert shell.names[9:13] == tuple(f"Cu {s} (system)" for s in ("K", "L1", "L2", "L3"))
    assert shell.kinds[:9] == ("line",) * 9
    assert family.factor_sigma[:3].tolist() == [0.2, 0.5, 0.25]


def test_a_factor_changes_the_lines_of_its_shell_and_no_other():
    plain, changed = (columns(build(split="shell", line_factors=f)) for f in ({}, {"Pt M5": 0.6}))
    for name, column in plain.items():
        expected = 0.6 * column if name == "Pt M5" else column
        np.testing.assert_allclose(changed[name], expected, rtol=1e-12)


def test_the_sub_shell_takes_precedence_over_the_family():
    factors = {"Pt M": 2.0, "Pt M5": 0.5}
    plain, changed = (columns(build(split="shell", line_factors=f)) for f in ({}, factors))
    np.testing.assert_allclose(changed["Pt M5"], 0.5 * plain["Pt M5"], rtol=1e-12)
    np.testing.assert_allclose(changed["Pt M4"], 2.0 * plain["Pt M4"], rtol=1e-12)
    np.testing.assert_allclose(changed["Pt L3"], plain["Pt L3"], rtol=1e-12)


def test_factors_act_on_the_instrument_too():
    plain, changed = (
        columns(build(system_elements=("Cu",), line_factors=f)) for f in ({}, {"Cu L": 3.0})
    )
    np.testing.assert_allclose(changed["Cu L (system)"], 3.0 * plain["Cu L (system)"])
    np.testing.assert_allclose(changed["Cu K (system)"], plain["Cu K (system)"])


def test_pile_up_is_a_column_of_the_background():
    counts = build().columns.sum(axis=0)
    dictionary = build(pile_up=counts)
    assert dictionary.names[-1] == "pile-up"
    assert dictionary.kinds[-1] == "background"
    assert dictionary.columns[-1].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"line_factors": {"Pt M6": 1.0}}, r"'Pt M6' stands for no line.*did you mean 'Pt M"),
        ({"line_factors": {"Zr L": 1.0}}, r"'Zr L'.*known: .*Pt L3.*O K"),
        ({"line_factors": {"Pt M": -1.0}}, "line factor of Pt M is -1.0"),
        ({"line_factors": {"Pt M": np.nan}}, "line factor of Pt M is nan"),
        ({"split": "line"}, "split is 'line': expected one of element, family, shell"),
        ({"pile_up": np.ones(3)}, r"pile-up has shape \(3,\)"),
        ({"pile_up": -np.ones(ENERGY.size)}, "negative counts"),
        ({"pile_up": np.zeros(ENERGY.size)}, "leave pile-up out"),
    ],
)
def test_bad_options_are_named_with_their_mend(changes, words):
    with pytest.raises(InputError, match=words):
        build(**changes)
