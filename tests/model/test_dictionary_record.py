# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Dictionary

ARGUMENTS: dict[str, Any] = {
    "columns": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 1], [1, 1, 1, 1]],
    "energy": [1.0, 2.0, 3.0, 4.0],
    "names": ["Fe", "O", "Cu (system)", "continuum 1"],
    "kinds": ["line", "line", "system", "background"],
    "elements": ["Fe", "O", "Cu", None],
}


def make(**changes: Any) -> Dictionary:
    return Dictionary.from_arrays(**{**ARGUMENTS, **changes})


def test_dictionary_of_ones_own():
    dictionary = make()
    assert dictionary.n_columns == 4
    assert dictionary.columns.dtype == np.float64
    assert dictionary.elements == ("Fe", "O", "Cu", "")
    np.testing.assert_array_equal(dictionary.quantified, [True, True, False, False])
    np.testing.assert_array_equal(dictionary.factor_sigma, np.zeros(4))


def test_edges_are_quantified():
    np.testing.assert_array_equal(
        make(kinds=["edge", "line", "system", "background"]).quantified, [True, True, False, False]
    )


def with_row(row: int, values: list[float]) -> list[list[float]]:
    columns = [list(map(float, column)) for column in ARGUMENTS["columns"]]
    columns[row] = values
    return columns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": [1.0, 2.0]}, "to match the energy axis"),
        ({"columns": [1.0, 2.0, 3.0, 4.0]}, "to match the energy axis"),
        ({"names": ["Fe", "O", "Cu"]}, "4 columns but 3 names"),
        ({"factor_sigma": [0.1]}, "4 columns but 1 factor_sigma"),
        ({"factor_sigma": [0.1, -0.1, 0, 0]}, "factor_sigma must be finite and not negative"),
        ({"factor_sigma": [0.1, np.nan, 0, 0]}, "factor_sigma must be finite and not negative"),
        ({"names": ["Fe", "Fe", "Cu", "c"]}, "names must be unique"),
        ({"kinds": ["lines", "line", "system", "background"]}, "kind 'lines', expected one of"),
        ({"elements": ["", "O", "Cu", ""]}, "'Fe' is a line and needs its element"),
        ({"elements": ["Iron", "O", "Cu", ""]}, "unknown element 'Iron'"),
        ({"columns": with_row(1, [0, np.nan, 0, 0])}, "column 'O' holds NaN"),
        ({"columns": with_row(1, [0, -1, 0, 0])}, "column 'O' holds NaN, infinite or negative"),
        ({"columns": with_row(1, [0, np.inf, 0, 0])}, "column 'O' holds NaN, infinite"),
        ({"columns": with_row(1, [0, 0, 0, 0])}, "column 'O' is zero"),
        ({"columns": with_row(1, [3, 0, 0, 0])}, "'Fe' and 'O' have the same shape"),
    ],
)
def test_bad_columns(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        make(**change)


@pytest.mark.parametrize(
    ("columns", "energy"), [(np.zeros((0, 4)), np.arange(4)), (np.zeros((0, 0)), [])]
)
def test_empty_dictionary(columns: Any, energy: Any):
    with pytest.raises(InputError, match="is empty: name at least one element"):
        Dictionary.from_arrays(columns, energy, [], [], [])


def test_one_column_is_enough():
    assert Dictionary.from_arrays([[1.0, 2.0]], [1.0, 2.0], ["Fe"], ["line"], ["Fe"]).n_columns == 1
