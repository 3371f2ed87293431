# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import SpectrumImage


def make(**changes: Any) -> SpectrumImage:
    arguments: dict[str, Any] = {
        "counts": np.zeros((2, 3, 4), dtype=np.uint8),
        "energy": np.arange(4) * 0.01,
        "y_nm": np.arange(2.0),
        "x_nm": np.arange(3.0),
    }
    return SpectrumImage(**{**arguments, **changes})


class Unreadable:
    """Stands for counts on disk: any attempt to load them fails."""

    shape = (2, 3, 4)
    ndim = 3

    def __array__(self, *_: object) -> np.ndarray:
        raise AssertionError("the counts were loaded")


def test_counts_are_not_loaded():
    assert make(counts=Unreadable()).shape == (2, 3, 4)


def test_units_follow_the_technique():
    assert (make().energy_name, make().energy_unit) == ("energy", "keV")
    eels = make(technique="eels")
    assert (eels.energy_name, eels.energy_unit) == ("energy_loss", "eV")


def test_single_pixel_and_single_channel():
    one = make(counts=np.ones((1, 1, 1)), energy=np.ones(1), y_nm=np.zeros(1), x_nm=np.zeros(1))
    assert one.shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.zeros((2, 3))}, "2 dimensions, expected 3"),
        ({"counts": np.zeros((2, 0, 4))}, "axis x is empty"),
        ({"y_nm": np.arange(3.0)}, "axis y has .* values for 2 positions"),
        ({"energy": np.array([0.0, np.nan, 2.0, 3.0])}, "axis energy holds NaN"),
        ({"energy": np.array([3.0, 2.0, 1.0, 0.0])}, "axis energy does not increase"),
        ({"energy": np.array([0.0, 1.0, 2.0, 3.5])}, "axis energy is not evenly spaced"),
        ({"x_nm": np.zeros(3)}, "axis x does not increase"),
        ({"technique": "xrd"}, "technique 'xrd', expected one of edxs, eels"),
    ],
)
def test_bad_axes(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        make(**change)


def test_messages_name_the_image():
    with pytest.raises(InputError, match="spectrum image 'steel': axis x"):
        make(name="steel", x_nm=np.zeros(3))


def test_axes_read_in_single_precision_count_as_even():
    energy = (np.arange(4, dtype=np.float32) * np.float32(0.005) + np.float32(-0.48)).astype(float)
    make(energy=energy)
