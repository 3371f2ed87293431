# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw vendor files in. The only module that imports the vendor readers (rosettasciio).

A format is an entry of `FORMATS`: how to recognise it, and a function that calls its reader and
hands what it returns to `mlatem.io.formats`.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from mlatem.errors import InputError, MlatemError, ReadError
from mlatem.io.counts import EAGER_CHECK_BYTES, check_counts
from mlatem.io.formats import bruker, hyperspy, ripple, velox, velox_file
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.layout import projected_memory_bytes, refuse_above_limit
from mlatem.io.signals import RawSignals
from mlatem.io.sources import package_versions, sha256_of_file
from mlatem.io.store import to_tree
from mlatem.settings import Convert

_logger = logging.getLogger(__name__)

_HDF5 = b"\x89HDF\r\n\x1a\n"
_DAMAGED = "It is probably truncated or damaged: copy it again from the instrument"


@dataclass(frozen=True)
class Format:
    """A vendor format."""

    name: str
    suffixes: tuple[str, ...]
    load: Callable[[Path, AxisOverrides, Convert], RawSignals]
    signature: bytes = b""
    """First bytes of every such file; empty where there are none in common."""
    matches: Callable[[Path], bool] | None = None
    """Looks into a file whose suffix and signature fit."""


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
        Groups `edxs` with `counts` (y, x, energy; nm, keV), `survey` with `haadf` (y, x) where the
        file has an image, and `original_metadata`. Counts are lazy where the format allows it.

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
    opened = [_open_one(p, axes, settings) for p in paths]
    signals = opened[0] if len(opened) == 1 else _joined(opened)
    if not signals.spectrum_images:
        signals.refuse("holds no spectrum image", "Name a file with a map of spectra")
    values = {k: v for k, v in given.items() if k not in axis_names - {"signal_type"}}
    images = tuple(
        replace(image, acquisition=image.acquisition.updated(values, "user"))
        for image in signals.spectrum_images
    )
    return replace(signals, spectrum_images=images)


def format_of(path: Path) -> Format:
    """The format of a file, by its suffix and its content.

    Raises
    ------
    ReadError
        If the file is missing, empty, a directory, or of no supported format.
    """
    if not path.exists():
        raise ReadError(str(path), "no such file", "Check the path")
    if path.is_dir():
        raise ReadError(str(path), "a directory, not a raw file", "Name the file itself")
    if path.stat().st_size == 0:
        raise ReadError(str(path), "the file is empty (0 bytes)", "Copy it again")
    candidates = [f for f in FORMATS if path.suffix.lower() in f.suffixes]
    if not candidates:
        raise ReadError(
            str(path),
            f"format {path.suffix or 'without suffix'!r} is not supported",
            f"Supported: {supported_formats()}",
        )
    with path.open("rb") as stream:
        head = stream.read(max(len(f.signature) for f in FORMATS))
    fitting = [f for f in candidates if head.startswith(f.signature)]
    if not fitting:
        names = " or ".join(f.name for f in candidates)
        raise ReadError(str(path), f"does not begin like a {names} file", _DAMAGED)
    for entry in fitting:
        if entry.matches is None or entry.matches(path):
            return entry
    raise ReadError(
        str(path),
        f"an HDF5 file, but not one of {' or '.join(f.name for f in fitting)}",
        f"Supported: {supported_formats()}",
    )


def supported_formats() -> str:
    """The supported formats with their suffixes, for messages."""
    return ", ".join(f"{f.name} ({' '.join(f.suffixes)})" for f in FORMATS)


def _open_one(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Open one file; whatever its reader raises becomes one `ReadError`."""
    try:
        entry = format_of(path)
        signals = entry.load(path, axes, settings)
        files = [path, ripple.raw_file(path)] if entry.name == "Ripple" else [path]
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
            str(path), f"cannot be read ({type(error).__name__}: {words})", _DAMAGED
        ) from error
    return replace(signals, sources=sources)


def _source(path: Path, reader: str, settings: Convert) -> dict[str, Any]:
    source = {
        "file": path.name,
        "size_bytes": path.stat().st_size,
        "reader": reader,
        "versions": package_versions(),
    }
    return {**source, "sha256": sha256_of_file(path)} if settings.hash_inputs else source


def _joined(opened: Sequence[RawSignals]) -> RawSignals:
    """Signals of several files as one dataset."""
    return RawSignals(
        spectrum_images=tuple(image for s in opened for image in s.spectrum_images),
        surveys=tuple(survey for s in opened for survey in s.surveys),
        original_metadata={Path(s.path).name: s.original_metadata for s in opened},
        sources=tuple(source for s in opened for source in s.sources),
        path=";".join(s.path for s in opened),
        resident_bytes=sum(s.resident_bytes for s in opened),
    )


def _reader(module: str) -> Any:
    """A module of rosettasciio, its logging turned from coloured stdout to our log."""
    reader = importlib.import_module(f"rsciio.{module}")
    logger = logging.getLogger("rsciio")
    for handler in list(logger.handlers):
        if type(handler) is logging.StreamHandler:
            logger.removeHandler(handler)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return reader


def _load_velox(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    refuse_above_limit(velox_file.resident_bytes(path), settings.memory_limit_gb, label=str(path))
    stored = velox_file.load_map(path)
    images = _reader("emd").file_reader(str(path), select_type="images", load_SI_image_stack=True)
    return velox.signals(path, stored, images, axes)


def _load_bruker(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    api = _reader("bruker._api")
    file = api.BCF_reader(str(path))
    bruker.check_single_map(path, len(file.available_indexes))
    header = file.header
    spectrum = np.asarray(header.spectra_data[file.def_index].data)
    shape = (int(header.image.height), int(header.image.width), len(spectrum))

    def decode(dtype: np.dtype[Any]) -> Any:
        size = math.prod(shape) * dtype.itemsize
        needed = projected_memory_bytes(shape, dtype.itemsize, resident_bytes=size)
        refuse_above_limit(needed, settings.memory_limit_gb, label=str(path))
        header.estimate_map_depth = lambda **_: dtype.type
        return api.bcf_hyperspectra(file, downsample=1)[0]

    signal = decode(np.dtype(header.estimate_map_depth()))
    if bruker.has_overflow(signal["data"], spectrum):
        signal = decode(np.dtype(np.uint32))
    return bruker.signals(path, signal, api.bcf_images(file), spectrum, axes)


def _load_hyperspy(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    # The vendor reader opens lazily only what is stored in chunks.
    n_bytes, is_chunked = hyperspy.stored_data(path)
    if not is_chunked:
        refuse_above_limit(2 * n_bytes, settings.memory_limit_gb, label=str(path))
    reader = _reader("hspy._api").HyperspyReader
    with h5py.File(path, "r") as file:
        found = [s for s in reader(file).read(lazy=is_chunked) if "data" in s]
        detached = hyperspy.detached(path, file, found)
    return hyperspy.signals(path, detached, axes)


def _load_ripple(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    ripple.raw_file(path)
    signal = _reader("ripple").file_reader(str(path), lazy=True)[0]
    return ripple.signals(path, signal, axes)


#: The supported formats.
FORMATS = (
    Format("Velox", (".emd",), _load_velox, _HDF5, velox_file.is_velox),
    Format("Bruker", (".bcf",), _load_bruker, b"AAMVHFSS"),
    Format("HyperSpy", (".hspy", ".h5", ".hdf5"), _load_hyperspy, _HDF5, hyperspy.is_hyperspy),
    Format("Ripple", (".rpl",), _load_ripple),
)
