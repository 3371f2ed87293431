# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of pixels from files: arrays of numpy, or images as drawing programs save them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError

_IMAGES = (".png", ".tif", ".tiff")
_MEND = "Save an array of numpy (.npy) or a gray image (.png, .tif) of the size of the map"
#: Dimensions of an image whose last one are colors.
_COLORED = 3


def read_mask(path: str | PathLike[str]) -> NDArray[np.bool_]:
    """Pixels to leave out: those that are not zero, or of a color other than black.

    Parameters
    ----------
    path : path-like
        .npy, or an image .png, .tif; opacity plays no part.

    Returns
    -------
    mask : ndarray of shape (ny, nx), bool

    Raises
    ------
    ReadError
        If the file is missing, damaged, of another kind, or holds no image.
    """
    path = Path(path)
    values = _values(path)
    if values.ndim == _COLORED and path.suffix.lower() != ".npy":
        n_colors = values.shape[2]
        colors = values[..., : n_colors - 1 if n_colors in (2, 4) else n_colors]
        values = np.asarray(colors.any(axis=2))
    if values.ndim != 2:
        raise ReadError(str(path), f"mask of {values.ndim} dimensions, expected (y, x)", _MEND)
    if values.dtype.kind not in "buif" or (values.dtype.kind == "f" and np.isnan(values).any()):
        raise ReadError(str(path), "mask holds NaN or no numbers", _MEND)
    return np.asarray(values != 0)


def _values(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix not in (".npy", *_IMAGES):
        raise ReadError(str(path), f"mask of the kind {suffix or 'unknown'}", _MEND)
    try:
        if suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        from matplotlib.image import imread

        return np.asarray(imread(path))
    except FileNotFoundError:
        raise ReadError(
            str(path), "no such mask", "Correct the column mask of the sample sheet"
        ) from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        words = " ".join(str(error).split())
        raise ReadError(str(path), f"mask cannot be read ({words})", _MEND) from error
