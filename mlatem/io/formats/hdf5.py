# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts, attributes and small datasets of HDF5 files as plain Python values."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

from mlatem.errors import ReadError

#: Datasets above this size are data, not metadata.
MAX_METADATA_ITEMS = 4096


def text(value: Any) -> str:
    """Text of an attribute or dataset, whichever way it was stored."""
    while isinstance(value, np.ndarray | list | tuple):
        if len(np.atleast_1d(np.asarray(value, dtype=object))) == 0:
            return ""
        value = np.asarray(value, dtype=object).ravel()[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def plain(value: Any) -> Any:
    """A value without HDF5's own types; arrays of numbers stay arrays."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return value
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value.tolist()] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def check_whole(dataset: h5py.Dataset, path: str) -> None:
    """Check that all of a dataset was written: HDF5 reads what was not as zeros.

    Raises
    ------
    ReadError
        With the number of chunks, or of bytes, that are there and that there should be.
    """
    if dataset.is_virtual or dataset.external:
        return
    if dataset.chunks is not None:
        pairs = zip(dataset.shape, dataset.chunks, strict=True)
        found, expected = dataset.id.get_num_chunks(), math.prod(-(-n // c) for n, c in pairs)
        unit = "chunks"
    else:
        found, expected = dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize
        unit = "bytes"
    if found < expected:
        raise ReadError(
            path,
            f"{dataset.name} has {found} of {expected} {unit}, the others would read as zeros",
            "The file was not written to its end: copy it again, or export it again",
        )


def attributes(entry: Any) -> dict[str, Any]:
    """Attributes of a file, group or dataset."""
    return {name: plain(value) for name, value in entry.attrs.items()}


def tree_of(group: h5py.Group, *, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Attributes and small datasets of a group and all groups below it.

    Attributes of a dataset come under its name with "@attributes" behind. Links are named, not
    followed: they may lead in a circle.

    Parameters
    ----------
    group : h5py.Group
    leave_out : frozenset of str, optional
        Full names of entries that are not metadata.
    """
    tree = attributes(group)
    for name in group:
        if f"{group.name.rstrip('/')}/{name}" in leave_out:
            continue
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            tree[name] = {"link": str(link.path)}
            continue
        entry = group.get(name)
        if isinstance(entry, h5py.Group):
            tree[name] = tree_of(entry, leave_out=leave_out)
        elif isinstance(entry, h5py.Dataset) and entry.size is not None:
            if entry.size <= MAX_METADATA_ITEMS and entry.dtype.kind not in "V":
                tree[name] = plain(entry[()])
            if len(entry.attrs):
                tree[f"{name}@attributes"] = attributes(entry)
    return tree
