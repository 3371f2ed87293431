# SPDX-License-Identifier: GPL-3.0-or-later
"""HyperSpy .zspy: Zarr of format 2, a folder or a zip file, opened for reading only."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import ZipStore

from mlatem.errors import ReadError
from mlatem.io.formats import hyperspy
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.layout import refuse_above_limit
from mlatem.io.signals import RawSignals
from mlatem.settings import Convert

_NONE = "_None_"


class ZspyArray:
    """An array of a .zspy, which is open only while a region is read.

    Parameters
    ----------
    path : Path
    name : str
        Of the array in the file.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path.absolute(), name
        with opened(self._path) as root:
            array = root[name]
            self.shape: tuple[int, ...] = array.shape
            self.dtype: np.dtype[Any] = array.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, region: Any) -> NDArray[Any]:
        try:
            with opened(self._path) as root:
                return np.asarray(root[self._name][region])
        except Exception as error:
            # Codecs and archives raise unrelated types on damaged chunks.
            raise OSError(f"{type(error).__name__}: {error}") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root group of a .zspy, read-only."""
    if path.is_dir():
        yield zarr.open_group(path, mode="r", zarr_format=2)
        return
    # The store opens its archive late, and a failure to do so is hidden by another when it closes.
    zipfile.ZipFile(path).close()
    store = ZipStore(path, mode="r", read_only=True)
    try:
        yield zarr.open_group(store, mode="r", zarr_format=2)
    finally:
        store.close()


def load(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Read a .zspy; counts stay in the file until they are sliced.

    Raises
    ------
    ReadError
        If there is no map of spectra, or chunks of a map are missing.
    """
    found = []
    with opened(path) as root:
        files = _files(path)
        for name, group in root["Experiments"].groups():
            if "data" not in group:
                continue
            array = group["data"]
            chunk_bytes = int(np.prod(array.chunks, dtype=float)) * array.dtype.itemsize
            refuse_above_limit(2 * chunk_bytes, settings.memory_limit_gb, label=str(path))
            _check_chunks(path, array, files)
            found.append(
                {
                    "data": ZspyArray(path, f"Experiments/{name}/data"),
                    "axes": _axes(group),
                    "metadata": _tree(group["metadata"]) if "metadata" in group else {},
                    "original_metadata": _tree(group["original_metadata"])
                    if "original_metadata" in group
                    else {},
                }
            )
    return hyperspy.signals(path, found, axes)


def _files(path: Path) -> frozenset[str]:
    if path.is_dir():
        return frozenset(f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file())
    with zipfile.ZipFile(path) as archive:
        return frozenset(archive.namelist())


def _check_chunks(path: Path, array: Any, files: frozenset[str]) -> None:
    """A chunk without a file reads as zeros: where others have one, it got lost.

    HyperSpy writes every chunk, empty ones too.
    """
    keys = np.ndindex(*(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)))
    separators = (".", "/")
    missing = sum(
        not any(
            f"{array.path}/{separator.join(map(str, key))}" in files for separator in separators
        )
        for key in keys
    )
    if missing:
        raise ReadError(
            str(path),
            f"{missing} of {array.nchunks} chunks of {array.path} are missing, they would read as "
            "zeros",
            "Copy it again from where it was written; if its writer leaves out empty ones, save it "
            "as .hspy",
        )


def _axes(group: zarr.Group) -> list[dict[str, Any]]:
    """Axes in the order of the data."""
    axes: list[dict[str, Any]] = []
    while f"axis-{len(axes)}" in group:
        axes.append(_attributes(group[f"axis-{len(axes)}"].attrs))
    return axes


def _attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in attrs.items():
        if name.startswith("_list_empty_"):
            tree[name.removeprefix("_list_empty_")] = []
        elif name.startswith("_tuple_empty_"):
            tree[name.removeprefix("_tuple_empty_")] = ()
        else:
            tree[name] = None if value == _NONE else value
    return tree


def _tree(group: Any) -> dict[str, Any]:
    """Metadata of a group and all below, sequences as HyperSpy marks them by their names."""
    tree = _attributes(group.attrs)
    for name, array in group.arrays():
        values = np.asarray(array[...])
        if name.startswith("_list_"):
            tree[name.removeprefix("_list_")] = values.tolist()
        elif name.startswith("_tuple_"):
            tree[name.removeprefix("_tuple_")] = tuple(values.tolist())
        else:
            tree[name] = values
    for name, below in group.groups():
        for kind, make in (("_list_", list), ("_tuple_", tuple)):
            if name.startswith(kind):
                # "_list_12_title": twelve entries, numbered.
                _, title = name.removeprefix(kind).split("_", 1)
                entries = _tree(below)
                tree[title] = make(entries[key] for key in sorted(entries, key=_as_number))
                break
        else:
            tree[name] = _tree(below)
    return tree


def _as_number(key: str) -> int:
    return int(key) if key.isdigit() else 0
