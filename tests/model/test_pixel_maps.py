# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from mlatem.errors import InputError
from mlatem.model.pixel_maps import PixelMaps


@pytest.fixture
def maps() -> PixelMaps:
    percent = np.random.default_rng(0).random((2, 3, 2)).astype(np.float32)
    percent[0, 1] = np.nan
    return PixelMaps(
        elements=("Fe", "O"),
        n_phases=2,
        atomic_percent=percent,
        sigma=percent / 10,
        phase=np.array([[0, -1, 1], [1, 1, 0]], dtype=np.int16),
        y_nm=np.arange(2.0),
        x_nm=np.arange(3.0) * 0.5,
    )


def test_labelled_form_is_read_back(maps: PixelMaps):
    back = PixelMaps.from_dataset(maps.to_dataset())
    for field in fields(PixelMaps):
        first, second = getattr(maps, field.name), getattr(back, field.name)
        np.testing.assert_array_equal(first, second, err_msg=field.name)
    assert back.phase.dtype == np.int16
    assert back.atomic_percent.dtype == np.float32


def test_labelled_form_numbers_phases_as_the_table_does(maps: PixelMaps):
    dataset = maps.to_dataset()
    assert dataset["phase"].values.tolist() == [[1, 0, 2], [2, 2, 1]]
    assert dataset["atomic_percent"].sel(element="O").dims == ("y", "x")
    assert dataset["atomic_percent"].attrs["units"] == "at%"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ("Fe", "Xx")}, "Xx"),
        ({"elements": ("Fe",)}, "atomic_percent has shape"),
        ({"sigma": np.zeros((2, 3, 1), np.float32)}, "sigma has shape"),
        ({"phase": np.zeros((3, 2), np.int16)}, "phase has shape"),
        ({"n_phases": 1}, "phases from -1 to 1"),
        ({"phase": np.full((2, 3), -2, np.int16)}, "expected -1"),
    ],
)
def test_contradictions_are_refused(maps: PixelMaps, change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        replace(maps, **change)


def test_other_datasets_are_refused():
    with pytest.raises(InputError, match="not pixel maps"):
        PixelMaps.from_dataset(xr.Dataset(attrs={"schema": "other/1"}))
