# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw vendor files in: opened, joined to one dataset, and with what the user knows better."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from mlatem.errors import InputError, MlatemError, ReadError
from mlatem.io.counts import EAGER_CHECK_BYTES, check_counts
from mlatem.io.formats.common import AxisOverrides, ordered_surveys
from mlatem.io.pairing import candidates, companions_of, with_doubts
from mlatem.io.recognize import DAMAGED, format_of
from mlatem.io.signals import RawSignals, group_of, with_grid_warnings
from mlatem.io.sources import package_versions, sha256_of, size_bytes
from mlatem.io.store import to_tree
from mlatem.settings import Convert

_logger = logging.getLogger(__name__)

#: What the user says of the axes of one map.
_OF_ONE_MAP = frozenset({"energy_offset_kev", "energy_scale_kev", "signal_type"})


def read(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    acquisition_overrides: Mapping[str, float | str | None] | None = None,
    settings: Convert | None = None,
) -> xr.DataTree:
    """Read raw files as a labelled tree.

    Parameters
    ----------
    path : path-like, or sequence of them
        Several files belong to one dataset.
    acquisition_overrides : mapping, optional
        See `open_raw`.
    settings : settings.Convert, optional

    Returns
    -------
    xarray.DataTree
        Groups `edxs` with `counts` (y, x, energy; nm, keV), `eels_core` and `eels_lowloss` with
        `counts` (y, x, energy_loss; nm, eV), as far as the files have them, `survey` with `haadf`
        (y, x) where there is an image, and `original_metadata`. Counts are lazy where the format
        allows it.

    Raises
    ------
    ReadError
        If a file is missing, damaged, of an unsupported format, or holds no usable map.
    MemoryLimitError
        If the projected memory exceeds `settings.memory_limit_gb`.
    """
    signals = open_raw(path, acquisition_overrides=acquisition_overrides, settings=settings)
    for image in signals.spectrum_images:
        if math.prod(image.shape) * image.counts.dtype.itemsize <= EAGER_CHECK_BYTES:
            check_counts(signals, image)
    return to_tree(signals)


def open_raw(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    acquisition_overrides: Mapping[str, float | str | None] | None = None,
    settings: Convert | None = None,
) -> RawSignals:
    """Open raw files as records, without reading the counts where the format allows it.

    Parameters
    ----------
    path : path-like, or sequence of them
        Several files belong to one dataset.
    acquisition_overrides : mapping, optional
        Values that take precedence over the file's, with origin "user": names of
        `mlatem.model.acquisition.FIELDS`, and `energy_scale_kev`, `energy_offset_kev` and
        `pixel_size_nm` for the axes. None leaves a value to the file.
    settings : settings.Convert, optional

    Returns
    -------
    RawSignals

    Raises
    ------
    ReadError, MemoryLimitError
        As for `read`.
    """
    settings = settings or Convert()
    paths = [Path(path)] if isinstance(path, str | PathLike) else [Path(p) for p in path]
    if not paths:
        raise InputError("no raw file is named: expected at least one")
    given = {k: v for k, v in (acquisition_overrides or {}).items() if v is not None}
    axis_names = {field.name for field in fields(AxisOverrides)}
    axes = AxisOverrides(**{k: v for k, v in given.items() if k in axis_names})  # type: ignore[arg-type]
    opened = with_doubts([_open_one(p, axes, settings) for p in paths])
    if len(paths) == 1 and settings.pair_files and not given.keys() & _OF_ONE_MAP:
        opened += _paired(paths[0], opened[0], axes, settings)
    n_maps = sum(len(signals.spectrum_images) for signals in opened)
    of_one_map = sorted(given.keys() & _OF_ONE_MAP)
    if of_one_map and n_maps > 1:
        raise InputError(
            f"{';'.join(map(str, paths))}: {', '.join(of_one_map)} can hold for one spectrum "
            f"image, but there are {n_maps}: leave the cells empty, or make a dataset of each file"
        )
    signals = opened[0] if len(opened) == 1 else _joined(opened)
    if not signals.spectrum_images:
        only = f", only {signals.holds}" if signals.holds else ""
        signals.refuse(f"holds no spectrum image{only}", "Name a file with a map of spectra")
    _check_splits(signals, settings)
    values = {k: v for k, v in given.items() if k not in axis_names - {"signal_type"}}
    images = tuple(
        replace(image, acquisition=image.acquisition.updated(values, "user"))
        for image in signals.spectrum_images
    )
    for image in images:
        for sentence in image.attrs.get("warnings", ()):
            _logger.warning("%s: %s", signals.path, sentence)
    return replace(signals, spectrum_images=images)


def _open_one(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Open one file; whatever its reader raises becomes one `ReadError`."""
    try:
        entry = format_of(path)
        signals = entry.load(path, axes, settings)
        files = [path, *signals.files_beside, *entry.companions(path)]
        sources = tuple(_source(file, entry.name, settings) for file in files)
        if signals.sources:
            sources[0]["made_from"] = [dict(source) for source in signals.sources]
    except MlatemError as error:
        if isinstance(error, InputError):
            raise ReadError(str(path), str(error), "Export the map again") from error
        raise
    except Exception as error:
        # Vendor readers raise at least ten unrelated types on damaged files.
        words = " ".join(str(error).split())
        raise ReadError(
            str(path), f"cannot be read ({type(error).__name__}: {words})", DAMAGED
        ) from error
    return replace(signals, sources=sources)


def _paired(
    path: Path, named: RawSignals, axes: AxisOverrides, settings: Convert
) -> list[RawSignals]:
    """Files beside the one that was named that are of its acquisition without doubt."""
    if named.identity is None or not named.spectrum_images:
        return []
    found = []
    for file in candidates(path):
        try:
            found.append(_open_one(file, axes, settings.model_copy(update={"hash_inputs": False})))
        except MlatemError as error:
            _logger.info("%s is not looked at as a companion of %s: %s", file, path.name, error)
    paired = []
    for signals, words in companions_of(named, found):
        _logger.info(
            "%s: taken along with %s, as %s; convert.pair_files: false reads it alone",
            signals.path,
            path.name,
            words,
        )
        sources = [_source(Path(signals.path), str(s["reader"]), settings) for s in signals.sources]
        noted = tuple({**source, "paired_because": words} for source in sources)
        paired.append(replace(signals, sources=noted))
    return paired


def _source(path: Path, reader: str, settings: Convert) -> dict[str, Any]:
    source = {
        "file": path.name,
        "size_bytes": size_bytes(path),
        "reader": reader,
        "versions": package_versions(),
    }
    return {**source, "sha256": sha256_of(path)} if settings.hash_inputs else source


def _check_splits(signals: RawSignals, settings: Convert) -> None:
    """Refuse frames that a file does not tell apart, and say what cannot be kept apart.

    Raises
    ------
    ReadError
        If some frames are asked for of a file that knows only their sum.
    """
    is_range = settings.first_frame is not None or settings.last_frame is not None
    if signals.n_frames is None and is_range:
        signals.refuse(
            "does not tell its frames apart, so that some of them cannot be summed",
            "Leave first_frame and last_frame empty for this file; Velox and JEOL event streams "
            "have frames",
        )
    if signals.n_frames is None and settings.separate_frames:
        _logger.warning(
            "%s: convert.separate_frames has no effect: the file does not tell its frames apart",
            signals.path,
        )
    axes = {split.axis for split in signals.splits}
    if settings.separate_detectors and "detector" not in axes:
        _logger.warning(
            "%s: convert.separate_detectors has no effect: the file holds one detector, or the sum "
            "of all",
            signals.path,
        )


def _joined(opened: Sequence[RawSignals]) -> RawSignals:
    """Signals of several files as one dataset.

    Raises
    ------
    InputError
        If spectrum images of two files are of one kind.
    """
    claims: dict[str, str] = {}
    for signals in opened:
        for kind in {group_of(image) for image in signals.spectrum_images}:
            if kind in claims:
                raise InputError(
                    f"{claims[kind]} and {signals.path}: 2 spectrum images of one kind ({kind}); "
                    "expected one of each of edxs, eels_core and eels_lowloss (which covers 0 eV): "
                    "make a dataset of each file"
                )
            claims[kind] = signals.path
    with_xrays = next((signals for signals in opened if signals.xray_map is not None), None)
    return RawSignals(
        spectrum_images=with_grid_warnings([i for s in opened for i in s.spectrum_images]),
        surveys=ordered_surveys([survey for s in opened for survey in s.surveys]),
        original_metadata={Path(s.path).name: s.original_metadata for s in opened},
        sources=tuple(source for s in opened for source in s.sources),
        path=";".join(s.path for s in opened),
        resident_bytes=sum(s.resident_bytes for s in opened),
        holds="; ".join(s.holds for s in opened if s.holds),
        detector_spectra=with_xrays.detector_spectra if with_xrays else None,
        splits=with_xrays.splits if with_xrays else (),
        frames=with_xrays.frames if with_xrays else None,
        n_frames=with_xrays.n_frames if with_xrays else None,
    )
