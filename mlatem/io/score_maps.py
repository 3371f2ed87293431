# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps that are made block by block: in memory, or in the Zarr store that they stay in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import ZipStore

from mlatem.io.atomic import atomic_path, refuse_foreign, refuse_foreign_file
from mlatem.io.datasets import is_packed, pack_folder, quiet_zarr, write_into

_SCRATCH = "scratch"
_CHUNK_PX = 256
_DIMS = ("y", "x", "axis")


class Maps:
    """Maps in memory, made by name and filled by slices."""

    def __init__(self, made: dict[str, Any] | None = None) -> None:
        self._made = {} if made is None else made

    def create(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, compress: bool = True
    ) -> Any:
        """An array of shape (ny, nx) or (ny, nx, rank) that stays; not initialised."""
        self._made[name] = np.empty(shape, dtype=dtype)
        return self._made[name]

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """As `create`, an array that does not stay."""
        return np.empty(shape, dtype=dtype)


class Scratch(Maps):
    """Maps of which none stays."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def create(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, compress: bool = True
    ) -> Any:
        """An array that does not stay."""
        return self._maps.scratch(f"held_{name}", shape, dtype)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array that does not stay."""
        return self._maps.scratch(f"held_{name}", shape, dtype)


class StoredMaps(Maps):
    """Maps as arrays of a Zarr folder: no more than the chunks at hand are in memory."""

    def __init__(self, folder: Path, label: str) -> None:
        self._folder, self._label = folder, label
        self._group = zarr.open_group(folder, mode="a", zarr_format=3)

    def create(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, compress: bool = True
    ) -> Any:
        """As `Maps.create`; without compression, what is written in parts of chunks."""
        return self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(*(min(_CHUNK_PX, n) for n in shape[:2]), *shape[2:]),
            dimension_names=_DIMS[: len(shape)],
            compressors="auto" if compress else None,
            overwrite=True,
        )

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """As `Maps.scratch`; an earlier array of the name is overwritten."""
        return self.create(f"{_SCRATCH}/{name}", shape, dtype, compress=False)

    def finish(self, dataset: xr.Dataset) -> None:
        """Add the variables of a dataset to the maps, and drop what does not stay."""
        shutil.rmtree(self._folder / _SCRATCH, ignore_errors=True)
        write_into(dataset, self._folder, label=self._label)


@contextmanager
def stored_maps(path: str | PathLike[str]) -> Iterator[StoredMaps]:
    """Maps of a Zarr folder or archive that appears whole or not at all, in place of another.

    An archive is made of a folder beside it, for arrays cannot be filled in parts within it.

    Raises
    ------
    StoreError
        If it cannot be written, or something else than Zarr stands there.
    """
    if not is_packed(path):
        refuse_foreign(path)
        with atomic_path(path) as partial:
            yield StoredMaps(partial, str(path))
        return
    refuse_foreign_file(path)
    with atomic_path(path) as partial:
        # A name of the same pattern: what a killed process leaves is removed by the next one.
        folder = partial.with_suffix(".folder.partial")
        try:
            yield StoredMaps(folder, str(path))
            pack_folder(folder, partial)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def open_maps(path: str | PathLike[str]) -> xr.Dataset:
    """The dataset of a folder or archive, read where it is looked at (Dask).

    Do not replace a folder meanwhile.
    """
    store = ZipStore(Path(path), mode="r") if is_packed(path) else path
    with quiet_zarr():
        dataset: xr.Dataset = xr.open_zarr(store, consolidated=False, zarr_format=3, chunks={})
    return dataset
