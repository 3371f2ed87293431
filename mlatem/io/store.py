# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of a dataset's spectrum images: Zarr v3, a group per grid.

Groups: `edxs`, `eels_core`, `eels_lowloss` with `counts`, on request `edxs_detectors` and
`edxs_frames` with one more axis, `survey` with `haadf` (y, x) on its own grid,
`original_metadata`. A task's tile is a whole number of shards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from mlatem.errors import StoreError
from mlatem.io import labels
from mlatem.io.atomic import atomic_path, refuse_foreign
from mlatem.io.datasets import quiet_zarr
from mlatem.io.layout import plan_layout, projected_memory_bytes, refuse_above_limit
from mlatem.io.signals import RawSignals
from mlatem.io.write_counts import Progress, write_counts, write_split
from mlatem.model import SpectrumImage
from mlatem.settings import Convert

#: Gives an X-ray map with the mask and the attributes that the counts of its pixels suggest.
Review = Callable[[SpectrumImage, NDArray[np.int64]], SpectrumImage]

_logger = logging.getLogger(__name__)


def write_store(
    signals: RawSignals,
    path: str | PathLike[str],
    *,
    settings: Convert | None = None,
    progress: Progress | None = None,
    review: Review | None = None,
) -> None:
    """Write signals as a store, shard by shard, whole or not at all.

    Counts are checked as they are written, in the smallest unsigned type that holds them. They are
    read a second time only where a count behind the first block needs a larger type.

    Parameters
    ----------
    signals : RawSignals
    path : path-like
        Directory to write; a store that exists is replaced.
    settings : settings.Convert, optional
    progress : callable, optional
        Called with the number of finished and of all shards.
    review : callable, optional
        Called with the X-ray map and the counts of its pixels, shape (ny, nx), when they have been
        written: gives the map with the mask and the attributes to store.

    Raises
    ------
    MemoryLimitError
        Before anything is read, where the projected memory exceeds the limit.
    ReadError, InputError
        If the counts cannot be analysed (see `mlatem.io.counts.check_counts`).
    StoreError
        If the store cannot be written, something else than a Zarr directory stands there, or it
        holds another sum of counts than was read.
    """
    refuse_foreign(path)
    settings = settings or Convert()
    for image in signals.spectrum_images:
        needed = projected_memory_bytes(
            image.shape, image.counts.dtype.itemsize, resident_bytes=signals.resident_bytes
        )
        refuse_above_limit(needed, settings.memory_limit_gb, label=signals.path or str(path))
    with atomic_path(path) as partial:
        root = zarr.create_group(partial, zarr_format=3)
        frames = labels.spectrum_groups(signals)
        frames.update(labels.survey_groups(signals.surveys))
        frames[labels.ORIGINAL_METADATA] = labels.original_metadata_frame(signals.original_metadata)
        for group, frame in frames.items():
            portable = labels.with_portable_names(frame)
            portable.to_zarr(partial, group=group, mode="a", consolidated=False, zarr_format=3)
        for group, image in zip(signals.group_names, signals.spectrum_images, strict=True):
            is_reviewed = review is not None and image is signals.xray_map
            totals = np.zeros(image.shape[:2], dtype=np.int64) if is_reviewed else None
            whole = write_counts(root, group, signals, image, progress, totals)
            if review is not None and totals is not None:
                frame = labels.spectrum_frame(review(image, totals))
                frame.to_zarr(partial, group=group, mode="a", consolidated=False, zarr_format=3)
            for split in signals.splits if image is signals.xray_map else ():
                write_split(root, split, signals, image, whole, progress)
        # Written last: their presence says that the store is complete.
        files = {group: count_files(partial / group) for group in frames}
        root.attrs.update({**labels.root_attrs(signals), "groups": files})
    _logger.info("wrote %s: %s", path, ", ".join(frames))


def open_store(path: str | PathLike[str]) -> xr.DataTree:
    """A store as a lazy tree; counts come as Dask arrays whose chunks are whole shards.

    Raises
    ------
    StoreError
        If there is no store, or it is incomplete or of another schema.
    """
    root = _open_root(path)
    groups = {"/": xr.Dataset(attrs=dict(root.attrs))}
    for name in _group_names(root):
        chunks: Any = None
        if name.startswith(("edxs", "eels")):
            array = _counts(root, name, path)
            chunks = dict(zip(array.metadata.dimension_names, array.shards, strict=True))
        groups[name] = _open_group(path, name, chunks)
    return xr.DataTree.from_dict(groups, name=Path(path).stem)


def load_spectrum_image(path: str | PathLike[str], group: str = "edxs") -> SpectrumImage:
    """The spectrum image of a group; its `counts` is the Zarr array, read where it is sliced.

    Raises
    ------
    StoreError
        If there is no store, or it has no such group, or that holds more than one map.
    """
    if labels.is_split(group):
        raise StoreError(
            f"{path}: {group} holds a map for each {labels.SPLIT_GROUPS[group]}; open it with "
            "mlatem.open"
        )
    counts = _counts(_open_root(path), group, path)
    return labels.image_from_frame(_open_group(path, group, None).drop_vars("counts"), counts)


def tile_shape(path: str | PathLike[str], group: str = "edxs") -> tuple[int, int]:
    """Rows and columns of a shard: the smallest tile that a task may write or should read."""
    shards = _counts(_open_root(path), group, path).shards
    return int(shards[0]), int(shards[1])


def load_survey(path: str | PathLike[str]) -> xr.DataArray | None:
    """The first survey image (y, x) with coordinates in nm, in memory; None where there is none.

    Its `long_name` tells which detector it is of.
    """
    if labels.SURVEY not in _group_names(_open_root(path)):
        return None
    return _open_group(path, labels.SURVEY, None)[labels.SURVEY_VARIABLE].load()


def load_parts(path: str | PathLike[str]) -> xr.DataArray | None:
    """Counts of the X-ray map by frame, or else by detector, read where they are sliced.

    None where the store has neither, or only one.
    """
    names = _group_names(_open_root(path))
    for group in (name for name in ("edxs_frames", "edxs_detectors") if name in names):
        counts: xr.DataArray = _open_group(path, group, {})["counts"]
        if counts.shape[0] > 1:
            return counts
    return None


def load_original_metadata(path: str | PathLike[str]) -> Any:
    """The vendor's metadata tree, exactly as the file had it."""
    _open_root(path)
    return labels.original_metadata(_open_group(path, labels.ORIGINAL_METADATA, None))


def is_store(path: str | PathLike[str]) -> bool:
    """Whether `path` looks like a Zarr directory, complete or not."""
    return (Path(path) / "zarr.json").is_file()


def to_tree(signals: RawSignals) -> xr.DataTree:
    """Signals as a tree of the same form as `open_store` returns; lazy where the reader is."""
    attrs = {"units": "1", "long_name": "detected counts"}
    groups = {"/": xr.Dataset(attrs=labels.root_attrs(signals)), **labels.spectrum_groups(signals)}
    for group, image in zip(signals.group_names, signals.spectrum_images, strict=True):
        counts = image.counts
        if type(counts) is not np.ndarray:
            counts = _lazy(counts, plan_layout(image.shape).shards)
        names = ("y", "x", image.energy_name)
        groups[group] = groups[group].assign(counts=(names, counts, attrs))
        for split in signals.splits if image is signals.xray_map else ():
            parts = _stacked(split.parts, plan_layout(image.shape).shards)
            frame = groups[split.group].assign(counts=((split.axis, *names), parts, attrs))
            groups[split.group] = frame
    groups.update(labels.survey_groups(signals.surveys))
    groups[labels.ORIGINAL_METADATA] = labels.original_metadata_frame(signals.original_metadata)
    return xr.DataTree.from_dict(groups, name=Path(signals.path).stem or None)


def _lazy(counts: Any, chunks: tuple[int, int, int]) -> Any:
    import dask.array

    return dask.array.from_array(counts, chunks=chunks, name=False, asarray=True, lock=True)


def _stacked(parts: Sequence[Any], chunks: tuple[int, int, int]) -> Any:
    import dask.array

    return dask.array.stack([_lazy(part, chunks) for part in parts])


def _open_root(path: str | PathLike[str]) -> zarr.Group:
    path = Path(path)
    if not path.exists():
        raise StoreError(f"{path}: no such store; make it with `mlatem convert`")
    if path.is_file():
        raise StoreError(f"{path}: a file, not a store; convert it first with `mlatem convert`")
    if not is_store(path):
        raise StoreError(f"{path}: not a MLATEM store (no zarr.json); name a folder *.zarr")
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        schema = root.attrs.get("schema")
    except Exception as error:
        raise StoreError(f"{path}: its zarr.json is broken ({error}); convert again") from error
    if schema is None:
        raise StoreError(
            f"{path}: no complete MLATEM store (no schema); convert the raw file again"
        )
    if schema != labels.SCHEMA:
        raise StoreError(
            f"{path}: has schema {schema!r}, expected {labels.SCHEMA!r}; name a store of spectrum "
            "images, or convert the raw file again with this version"
        )
    for group, expected in root.attrs["groups"].items():  # type: ignore[union-attr]
        found = count_files(path / group)
        if found < expected:  # type: ignore[operator]
            raise StoreError(
                f"{path}: incomplete: {found} of {expected} files in group {group}, and missing "
                "parts would read as zeros; copy it again or convert the raw file again"
            )
    return root


def _group_names(root: zarr.Group) -> list[str]:
    return list(root.attrs["groups"])  # type: ignore[arg-type]


def _open_group(path: str | PathLike[str], group: str, chunks: Any) -> xr.Dataset:
    with quiet_zarr():
        frame: xr.Dataset = xr.open_zarr(
            path, group=group, consolidated=False, zarr_format=3, chunks=chunks
        )
    return labels.with_plain_names(frame)


def _counts(root: zarr.Group, group: str, path: str | PathLike[str]) -> Any:
    if group not in _group_names(root):
        raise StoreError(
            f"{path}: has no group {group!r}, only {', '.join(_group_names(root))}; name one of "
            "these or convert a file that holds such a signal"
        )
    return root[f"{group}/counts"]


def count_files(folder: Path) -> int:
    """Number of files in a group; hidden ones, which workflow engines add, do not count."""
    return sum(1 for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
