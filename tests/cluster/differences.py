# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the results of two runs on the same data are apart, in every number of every array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from zarr.storage import ZipStore


def largest_difference(found: Path, expected: Path) -> float:
    """Largest difference of two results, relative to the largest value of its array.

    Parameters
    ----------
    found, expected : Path
        Folders of a dataset's results.

    Returns
    -------
    difference : float
        0 where all numbers are the same, infinity where an array is missing, of another shape, or
        differs in what is no number.
    """
    ours, theirs = _arrays(found), _arrays(expected)
    if ours.keys() != theirs.keys():
        return np.inf
    return max(_difference(ours[name], theirs[name]) for name in theirs)


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of all stores, and the columns of the table of phases."""
    arrays = _columns(folder / "phases.csv")
    for store in sorted(folder.glob("*.zarr*")):
        opened = ZipStore(store, mode="r") if store.suffix == ".zip" else store
        for name, member in zarr.open_group(opened, mode="r").members(max_depth=None):
            if isinstance(member, zarr.Array):
                arrays[f"{store.name}/{name}"] = np.asarray(member[...])
    return arrays


def _columns(table: Path) -> dict[str, np.ndarray]:
    frame = pd.read_csv(table).drop(columns="dataset")
    return {str(name): frame[name].to_numpy() for name in frame}


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return np.inf
    if expected.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(found, expected) else np.inf
    # As they are: counts of a large map would take eight times their memory.
    if np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f"):
        return 0.0
    found, expected = found.astype(float), expected.astype(float)
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return np.inf
    scale = np.nanmax(np.abs(expected[np.isfinite(expected)]), initial=0.0)
    distance = np.nanmax(np.abs(np.where(np.isfinite(expected), found - expected, 0.0)))
    return float(distance / scale) if scale else np.inf
