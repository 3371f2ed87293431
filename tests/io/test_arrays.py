# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays handed from job to job."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.errors import InputError, StoreError
from mlatem.io.arrays import load_arrays, save_arrays


def test_arrays_and_attributes_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([3], dtype=np.uint16)}
    save_arrays(tmp_path / "x.npz", arrays, {"names": ["Fe", "O"], "n": 2})
    loaded, attrs = load_arrays(tmp_path / "x.npz")
    assert attrs == {"names": ["Fe", "O"], "n": 2}
    assert loaded.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(loaded[name], values)
        assert loaded[name].dtype == values.dtype


def test_nothing_is_left_of_a_failed_write(tmp_path):
    with pytest.raises(InputError):
        save_arrays(tmp_path / "x.npz", {"a": np.zeros(1)}, {"bad": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"x\.npz"):
        load_arrays(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"y\.npz"):
        load_arrays(tmp_path / "y.npz")
