# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import fields

import numpy as np
import pytest

from mlatem.errors import ConfigError
from mlatem.factorization.solution import CompositionSolution
from mlatem.model import Ambiguity, Dictionary
from mlatem.model.priors import parse_priors
from mlatem.settings import Factorize
from mlatem.sheet import DatasetRow
from mlatem.steps.compositions import Compositions, load_compositions, save_compositions
from mlatem.steps.factorize import factorize_settings


def test_the_ambiguity_survives_the_file(tmp_path):
    record = Ambiguity(
        geometry_class="WEAK",
        alternative="contiguous",
        is_given=False,
        reason="a single element",
        question="is O present in phase 1?",
        purity=np.array([0.4]),
        n_lacking=np.array([1]),
        is_alone=np.array([False]),
        mixing_low=np.zeros((1, 1)),
        mixing_high=np.zeros((1, 1)),
        alternative_coefficient=np.ones((1, 1)),
        alternative_scale=np.ones((1, 1)),
        fewer_coefficient=np.zeros((0, 1)),
        more_coefficient=np.zeros((0, 1)),
        order_deviance=np.array([np.nan, 3.0, np.nan]),
    )
    solution = CompositionSolution(
        coefficient=np.ones((1, 1)),
        coefficient_covariance=np.zeros((1, 1, 1)),
        loss=np.zeros(1),
        spread_deg=np.zeros(1),
        n_carried=1,
        n_rounds=2,
        converged=True,
        reason="",
        ambiguity=record,
    )
    dictionary = Dictionary.from_arrays(np.ones((1, 2)), np.arange(2.0), ["O"], ["line"], ["O"])
    path = tmp_path / "compositions.npz"
    save_compositions(path, Compositions(solution, dictionary, Factorize()))
    again = load_compositions(path).solution.ambiguity
    for field in fields(Ambiguity):
        first, second = getattr(record, field.name), getattr(again, field.name)
        assert np.array_equal(first, second) or np.allclose(first, second, equal_nan=True)


def test_the_sheet_decides_on_the_geometry():
    row = DatasetRow(dataset="a", path=("a",), geometry="contiguous")
    assert factorize_settings(row, Factorize()).geometry == "contiguous"
    plain = DatasetRow(dataset="a", path=("a",))
    assert factorize_settings(plain, Factorize(geometry="embedded")).geometry == "embedded"


def test_priors_decide_on_the_geometry_where_the_sheet_does_not_contradict_them():
    priors = parse_priors({"geometry": "embedded"})
    for cell in (None, "auto", "embedded"):
        row = DatasetRow(dataset="a", path=("a",), geometry=cell)
        found = factorize_settings(row, Factorize(geometry="contiguous"), priors)
        assert found.geometry == "embedded"
    row = DatasetRow(dataset="a", path=("a",), geometry="contiguous")
    with pytest.raises(ConfigError, match="priors say geometry embedded, but the column geometry"):
        factorize_settings(row, Factorize(), priors)
    assert factorize_settings(row, Factorize(), parse_priors({})).geometry == "contiguous"
