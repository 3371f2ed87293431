# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as plain Zarr v3 datasets, each a folder or one file: lowrank, factorization, maps."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore, ZipStore

from mlatem.errors import StoreError
from mlatem.io.atomic import atomic_path, check_json_safe, refuse_foreign, refuse_foreign_file


def save_dataset(dataset: xr.Dataset, path: str | PathLike[str]) -> None:
    """Write a dataset as Zarr v3, atomically, replacing one that stands there.

    Attributes are written as strict JSON: NumPy numbers become plain ones, and NaN becomes null.

    Parameters
    ----------
    dataset : xarray.Dataset
    path : path-like
        A directory, or a file where the name ends in `.zip`: the same files as one archive.

    Raises
    ------
    InputError
        If an attribute is of a type that JSON does not have.
    StoreError
        If it cannot be written, or something else than Zarr stands there.
    """
    if not is_packed(path):
        refuse_foreign(path)
        with atomic_path(path) as partial:
            write_into(dataset, partial, label=str(path))
        return
    refuse_foreign_file(path)
    files: dict[str, Buffer] = {}
    write_into(dataset, MemoryStore(files), label=str(path))
    with atomic_path(path) as partial:
        _write_archive(partial, sorted(files), lambda name: files[name].to_bytes())


def write_into(
    dataset: xr.Dataset, store: str | PathLike[str] | MemoryStore, *, label: str
) -> None:
    """Write a dataset into a folder, beside arrays that it may hold already; `label` names it.

    Raises
    ------
    InputError
        If an attribute is of a type that JSON does not have.
    """
    prepared = dataset.map(_with_portable_text, keep_attrs=True)
    prepared = prepared.assign_coords(
        {name: _with_portable_text(values) for name, values in dataset.coords.items()}
    )
    prepared.attrs = json_safe(dataset.attrs)
    check_json_safe(prepared.attrs, f"attributes of {label}")
    for name in prepared.variables:
        prepared[name].attrs = json_safe(prepared[name].attrs)
        prepared[name].encoding = {}
    prepared.to_zarr(store, mode="a", consolidated=False, zarr_format=3)


def pack_folder(folder: Path, archive: Path) -> None:
    """Write the files of a Zarr folder as an archive, a file at a time."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    _write_archive(archive, names, lambda name: (folder / name).read_bytes())


def is_packed(path: str | PathLike[str]) -> bool:
    """Whether a dataset of this name is one file."""
    return Path(path).suffix == ".zip"


def load_dataset(path: str | PathLike[str]) -> xr.Dataset:
    """The dataset that `save_dataset` wrote, loaded into memory.

    It is not lazy on purpose: a directory that is replaced later would read as zeros.

    Raises
    ------
    StoreError
        If there is no readable dataset.
    """
    if not Path(path).exists():
        raise StoreError(f"{path}: no such dataset; run the step that writes it")
    dataset: xr.Dataset
    try:
        with quiet_zarr(), _store_of(path) as store:
            dataset = xr.open_zarr(store, consolidated=False, zarr_format=3, chunks=None).load()
    except Exception as error:
        raise StoreError(
            f"{path}: not a readable Zarr dataset ({type(error).__name__}: {error}); remove it and "
            "run the step again"
        ) from error
    dataset.close()
    for name, values in dataset.variables.items():
        if values.dtype.kind == "T":
            text = np.array(values.to_numpy().tolist(), dtype=str).reshape(values.shape)
            dataset[name] = (values.dims, text, values.attrs)
    return dataset


def json_safe(value: Any) -> Any:
    """`value` with NumPy numbers and arrays as plain ones, tuples as lists, NaN as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): json_safe(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(entry) for entry in value]
    return value


@contextmanager
def quiet_zarr() -> Iterator[None]:
    """Silence Zarr's warning of a hidden file in a group: workflow engines leave time stamps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Object at \..* is not recognized")
        yield


@contextmanager
def _store_of(path: str | PathLike[str]) -> Iterator[str | PathLike[str] | ZipStore]:
    """What Zarr reads a dataset from."""
    if not is_packed(path):
        yield path
        return
    with ZipStore(Path(path), mode="r") as store:
        yield store


def _write_archive(path: Path, names: Sequence[str], content: Callable[[str], bytes]) -> None:
    """Write an archive, each file once and as Zarr has compressed it."""
    with zipfile.ZipFile(path, mode="w", compression=zipfile.ZIP_STORED) as archive:
        for name in names:
            # With a time of its own, the same content would not be the same file.
            archive.writestr(zipfile.ZipInfo(name), content(name))


def _with_portable_text(values: xr.DataArray) -> xr.DataArray:
    """Text of fixed length has no Zarr v3 specification; text of variable length has."""
    if values.dtype.kind in "UO":
        return values.astype(np.dtypes.StringDType())
    return values
