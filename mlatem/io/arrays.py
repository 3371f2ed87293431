# SPDX-License-Identifier: GPL-3.0-or-later
"""Small results that one job hands to the next: arrays with attributes in a single .npz file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import StoreError
from mlatem.io.atomic import atomic_path, check_json_safe

_ATTRS = "attrs_json"


def save_arrays(
    path: str | PathLike[str], arrays: Mapping[str, NDArray[Any]], attrs: Mapping[str, Any]
) -> None:
    """Write arrays and JSON-safe attributes, atomically.

    Raises
    ------
    InputError
        If an attribute is of a type that JSON does not have.
    StoreError
        If the file cannot be written.
    """
    check_json_safe(dict(attrs), f"attributes of {path}")
    text = np.frombuffer(json.dumps(dict(attrs)).encode(), dtype=np.uint8)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{_ATTRS: text})


def load_arrays(path: str | PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and attributes that `save_arrays` wrote.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        attrs = json.loads(arrays.pop(_ATTRS).tobytes().decode())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path}: not readable as arrays ({type(error).__name__}: {error}); remove it and run "
            "the step again"
        ) from error
    return arrays, attrs
