# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks from files."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imsave

from mlatem.errors import ReadError
from mlatem.io.masks import read_mask

MASK = np.random.default_rng(0).random((7, 11)) < 0.3


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_arrays(tmp_path, dtype):
    np.save(tmp_path / "mask.npy", MASK.astype(dtype))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy"), MASK)


@pytest.mark.parametrize("name", ["mask.png", "mask.tiff", "MASK.PNG"])
def test_images(tmp_path, name):
    """As a drawing program saves them: with colors and opacity."""
    colors = np.zeros((*MASK.shape, 4))
    colors[..., 3] = 1.0
    colors[MASK, 0] = 1.0
    imsave(tmp_path / name, colors)
    np.testing.assert_array_equal(read_mask(tmp_path / name), MASK)


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.npy", "no such mask"), ("mask.bmp", "kind .bmp"), ("mask", "kind unknown")],
)
def test_no_mask(tmp_path, name, message):
    with pytest.raises(ReadError, match=message):
        read_mask(tmp_path / name)


@pytest.mark.parametrize("name", ["mask.npy", "mask.png", "mask.tif"])
def test_damaged_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"no mask at all")
    with pytest.raises(ReadError, match="cannot be read"):
        read_mask(tmp_path / name)


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.zeros((2, 3, 4)), np.full((2, 2), np.nan), np.array([["a", "b"]])]
)
def test_arrays_that_are_no_masks(tmp_path, values):
    np.save(tmp_path / "mask.npy", values)
    with pytest.raises(ReadError, match=r"expected \(y, x\)|NaN or no numbers"):
        read_mask(tmp_path / "mask.npy")
