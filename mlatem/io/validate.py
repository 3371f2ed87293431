# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a store, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from mlatem.errors import InputError, StoreError
from mlatem.io import labels
from mlatem.io.counts import summarize
from mlatem.io.exact_json import expand
from mlatem.io.layout import plan_layout, shard_regions
from mlatem.io.store import count_files, is_store
from mlatem.model import Acquisition
from mlatem.model.spectrum_image import check_axis, check_mask

_ENERGY_UNITS = {"energy": "keV", "energy_loss": "eV"}


def validate_store(
    path: str | PathLike[str],
    *,
    deep: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Everything that is wrong with a store.

    Parameters
    ----------
    path : path-like
    deep : bool, optional
        Also read all counts, and compare their sum with the one that was converted. Otherwise only
        metadata and the number of files are looked at.
    progress : callable, optional
        Called with the number of finished and of all shards of an array that is read.

    Returns
    -------
    problems : list of str
        One message per problem, beginning with the group; empty where all is in order. Nothing is
        raised for what a store is like.
    """
    try:
        root, groups = _open(Path(path))
    except StoreError as error:
        return [str(error)]
    problems = []
    for name, n_files in groups.items():
        found = count_files(Path(path) / name)
        if found < n_files:
            problems.append(f"{name}: {found} of {n_files} files; missing ones read as zeros")
        checks = _checks(name, deep, progress)
        problems += [f"{name}: {problem}" for problem in _problems(root, name, checks)]
    if not any(_is_spectral(name) for name in groups):
        problems.append(f"no group with counts, only {', '.join(groups) or 'none'}")
    if labels.ORIGINAL_METADATA not in groups:
        problems.append(f"no group {labels.ORIGINAL_METADATA}")
    if not isinstance(root.attrs.get("source"), list):
        problems.append("the attribute source, which names the raw files, is missing")
    return problems


def _open(path: Path) -> tuple[zarr.Group, dict[str, int]]:
    """The root of a store that was finished, and how many files each group has."""
    if not is_store(path):
        raise StoreError(f"{path}: no store (no zarr.json); make one with `mlatem convert`")
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        schema = root.attrs.get("schema")
        groups: Any = root.attrs.get("groups")
    except Exception as error:
        raise StoreError(f"{path}: its zarr.json is broken ({error}); convert again") from error
    if schema != labels.SCHEMA:
        raise StoreError(f"{path}: schema {schema!r}, expected {labels.SCHEMA!r}; convert again")
    if not isinstance(groups, dict):
        raise StoreError(f"{path}: no list of groups: it was never finished; convert again")
    return root, groups


Check = Callable[[zarr.Group], Iterator[str]]


def _checks(name: str, deep: bool, progress: Callable[[int, int], None] | None) -> list[Check]:
    if name == labels.ORIGINAL_METADATA:
        return [_original_metadata]
    if not _is_spectral(name):
        return [_surveys]
    checks: list[Check] = [_attributes, _spectral_axes, _array, _mask, _detector_spectra]
    return [*checks, lambda group: _content(group, progress)] if deep else checks


def _problems(root: zarr.Group, name: str, checks: list[Check]) -> Iterator[str]:
    """What the checks find; what they stumble over is damage to the store."""
    try:
        group = root[name]
    except Exception as error:
        yield f"the group is missing or broken ({_words(error)})"
        return
    for check in checks:
        try:
            yield from check(group)  # type: ignore[arg-type]
        except Exception as error:
            yield f"damaged ({_words(error)})"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _is_spectral(name: str) -> bool:
    return name.startswith(("edxs", "eels"))


def _attributes(group: zarr.Group) -> Iterator[str]:
    attrs = group.attrs.asdict()
    for key in ("name", "technique", "acquisition", "details"):
        if key not in attrs:
            yield f"the attribute {key} is missing"
    technique = "edxs" if group.path.startswith("edxs") else "eels"
    if attrs.get("technique", technique) != technique:
        yield f"technique {attrs['technique']!r}, expected {technique!r}"
    try:
        Acquisition.from_attrs(attrs.get("acquisition") or {})  # type: ignore[arg-type]
    except InputError as error:
        yield str(error)


def _spectral_axes(group: zarr.Group) -> Iterator[str]:
    names = _dimensions(group)
    array: Any = group.get("counts")
    sizes = (None,) * len(names) if array is None else array.shape
    split = labels.SPLIT_GROUPS.get(group.path)
    if split is not None and split not in group:
        yield f"the coordinate {split} is missing"
    yield from _axes(group, names[-3:], sizes[-3:])


def _dimensions(group: zarr.Group) -> tuple[str, ...]:
    """Names of the dimensions of the counts of a group."""
    spectral = "energy" if group.path.startswith("edxs") else "energy_loss"
    split = labels.SPLIT_GROUPS.get(group.path)
    return (*((split,) if split else ()), "y", "x", spectral)


def _axes(
    group: zarr.Group, names: tuple[str, ...], sizes: tuple[int | None, ...]
) -> Iterator[str]:
    for name, size in zip(names, sizes, strict=True):
        if name not in group:
            yield f"the coordinate {name} is missing"
            continue
        array: Any = group[name]
        unit = _ENERGY_UNITS.get(name, "nm")
        if array.attrs.get("units") != unit:
            yield f"{name} has unit {array.attrs.get('units')!r}, expected {unit!r}"
        values = np.asarray(array[:])
        try:
            check_axis(values, values.size if size is None else size, name, "coordinates")
        except InputError as error:
            yield str(error)


def _array(group: zarr.Group) -> Iterator[str]:
    if "counts" not in group:
        yield "the array counts is missing"
        return
    array: Any = group["counts"]
    names = _dimensions(group)
    if array.metadata.dimension_names != names:
        yield f"counts have dimensions {array.metadata.dimension_names}, expected {names}"
    if array.ndim != len(names):
        return
    layout = plan_layout(array.shape[-3:])
    of_one = (1,) * (len(names) - 3)
    for what, found, expected in (
        ("chunks", array.chunks, (*of_one, *layout.chunks)),
        ("shards", array.shards, (*of_one, *layout.shards)),
    ):
        if found != expected:
            yield f"counts lie in {what} of {found}, expected {expected}"
    if not any(isinstance(codec, BloscCodec) for codec in array.compressors):
        yield "counts are not compressed by Blosc"
    if array.dtype.kind != "u" and array.dtype != np.dtype("f4"):
        yield f"counts are of type {array.dtype}, expected an unsigned one or float32"
    if not isinstance(array.attrs.get("total_counts"), int | float):
        yield "counts lack the attribute total_counts"


def _content(group: zarr.Group, progress: Callable[[int, int], None] | None) -> Iterator[str]:
    """Read all counts once, shard by shard."""
    array: Any = group["counts"]
    shape = array.shape[-3:]
    shards = list(shard_regions(shape, plan_layout(shape)))
    firsts = [(index,) for index in range(array.shape[0])] if array.ndim == 4 else [()]
    regions: list[Any] = [(*first, *shard) for first in firsts for shard in shards]
    total, is_readable = 0.0, True
    for done, region in enumerate(regions, start=1):
        try:
            total += summarize(array[region]).total
        except Exception as error:
            is_readable = False
            rows, columns = region[-3], region[-2]
            yield (
                f"counts of rows {rows.start} to {rows.stop}, columns {columns.start} to "
                f"{columns.stop} cannot be read ({_words(error)})"
            )
        if progress is not None:
            progress(done, len(regions))
    expected = array.attrs["total_counts"]
    tolerance = 1e-5 * max(abs(expected), 1.0) if array.dtype.kind == "f" else 0.0
    if is_readable and abs(total - expected) > tolerance:
        yield f"counts add up to {total:.0f}, but {expected:.0f} were converted"


def _mask(group: zarr.Group) -> Iterator[str]:
    """The pixels that are left out are some of the map's."""
    if labels.MASK not in group or "counts" not in group:
        return
    mask: Any = group[labels.MASK]
    counts: Any = group["counts"]
    try:
        check_mask(np.asarray(mask[:]), counts.shape[-3:-1], "pixels")
    except InputError as error:
        yield str(error)


def _detector_spectra(group: zarr.Group) -> Iterator[str]:
    """The sum spectra of the detectors add up to the map, where they are known."""
    if labels.DETECTOR_SPECTRA not in group or "counts" not in group:
        return
    spectra: Any = group[labels.DETECTOR_SPECTRA]
    counts: Any = group["counts"]
    if labels.DETECTOR not in group:
        yield f"the coordinate {labels.DETECTOR} is missing"
    if spectra.ndim != 2 or spectra.shape[1] != counts.shape[2]:
        yield (
            f"{labels.DETECTOR_SPECTRA} have shape {spectra.shape}, expected (detectors, "
            f"{counts.shape[2]})"
        )
        return
    found, expected = int(spectra[:].sum()), counts.attrs["total_counts"]
    # Of the whole scan: a map that was cropped, or has lost frames or spikes, holds fewer counts.
    is_part = "preprocess" in group.attrs.get("details", {})  # type: ignore[operator]
    if found < expected or (found > expected and not is_part):
        yield f"{labels.DETECTOR_SPECTRA} add up to {found} counts, but the map to {expected:.0f}"


def _surveys(group: zarr.Group) -> Iterator[str]:
    if labels.SURVEY_VARIABLE not in group:
        yield f"the image {labels.SURVEY_VARIABLE} is missing"
        return
    image: Any = group[labels.SURVEY_VARIABLE]
    if image.metadata.dimension_names != ("y", "x"):
        yield f"images have dimensions {image.metadata.dimension_names}, expected ('y', 'x')"
    yield from _axes(group, ("y", "x"), image.shape)


def _original_metadata(group: zarr.Group) -> Iterator[str]:
    if "json" not in group:
        yield "the array json is missing"
        return
    expand(np.asarray(group["json"][:], dtype=np.uint8))  # type: ignore[index]
