# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from mlatem.errors import ConfigError, InputError
from mlatem.quantification.edxs import quantify
from mlatem.quantification.oxides import (
    oxide_name,
    oxide_weight_percent,
    valences_of,
    with_oxygen,
)
from mlatem.settings import Quantify, parse

STOICHIOMETRY = Quantify(oxygen="stoichiometry", valences={"Fe": 3})


@pytest.mark.parametrize(
    ("element", "valence", "name"),
    [
        ("Si", 4, "SiO2"),
        ("Al", 3, "Al2O3"),
        ("Fe", 2, "FeO"),
        ("Na", 1, "Na2O"),
        ("P", 5, "P2O5"),
        ("S", 6, "SO3"),
        ("Fe", 8 / 3, "FeO1.33"),
        ("F", 0, "F"),
    ],
)
def test_formulas_of_oxides(element, valence, name):
    assert oxide_name(element, valence) == name


def test_albite_in_weight_percent_of_oxides():
    # NaAlSi3O8: 11.82 Na2O, 19.44 Al2O3, 68.74 SiO2 (any table of minerals).
    elements = ("Na", "Al", "Si", "O")
    percent = oxide_weight_percent(np.array([1, 1, 3, 8]) / 13, elements, {})
    np.testing.assert_allclose(percent[:3], [11.82, 19.44, 68.74], atol=0.01)
    assert np.isnan(percent[3])


def test_oxygen_is_half_the_valences_of_the_others():
    elements, matrix = with_oxygen(("Si", "O", "Pt"), np.eye(3), {"Pt": 2})
    assert elements == ("Si", "O", "Pt")
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [2, 0, 1], [0, 0, 1]])
    elements, matrix = with_oxygen(("Al",), np.eye(1, 2), {})
    assert elements == ("Al", "O")
    np.testing.assert_array_equal(matrix, [[1, 0], [1.5, 0]])


def test_what_cannot_be_an_oxide_is_refused():
    with pytest.raises(InputError, match="none of Pt, Au binds oxygen; give a valence"):
        with_oxygen(("Pt", "Au"), np.eye(2), {})
    with pytest.raises(InputError, match="valence of Fe is -1"):
        valences_of(("Fe",), {"Fe": -1})
    with pytest.raises(ConfigError, match="unknown element 'Ferrum'"):
        parse({"quantify": {"valences": {"Ferrum": 3}}})


def test_a_phase_with_oxygen_by_stoichiometry(dictionary, new_factorization):
    # The measured oxygen, far too low, does not matter.
    covariance = np.diag([4e-4, 4e-4, 4e-4, 0, 0, 0])
    factorization = new_factorization(
        dictionary, [[2, 0.3, 1, 1, 50, 50]], [[[1e5]]], [1e-6 * covariance]
    )
    frame = quantify(factorization, settings=STOICHIOMETRY).frame.set_index("element")
    # Fe2O3 + SiO2
    np.testing.assert_allclose(frame["atomic_percent"], 100 * np.array([2, 5, 1]) / 8)
    assert frame["oxide"].tolist() == ["Fe2O3", "", "SiO2"]
    assert frame["oxide_weight_percent"].sum() == pytest.approx(100)
    assert frame["line_or_edge"]["O"] == "by stoichiometry"
    assert frame["factor_source"]["O"] == "valences"
    # x_O = (1.5 Fe + 2 Si) / (2.5 Fe + 3 Si): its error is that of the ratio Fe/Si alone.
    c = factorization.coefficient[0]
    fe, si, sigma = c[0], c[2], np.sqrt(4e-10)
    slope = 0.5 / (2.5 * fe + 3 * si) ** 2
    expected = 100 * slope * sigma * np.hypot(fe, si)
    assert frame["sigma_stat"]["O"] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(frame["detection_limit"]["O"])
