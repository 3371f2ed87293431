# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw vendor files in. The only module that imports the vendor readers (rosettasciio).

A format is an entry of `FORMATS`: how to recognise it, and a function that calls its reader and
hands what it returns to `mlatem.io.formats`.
"""

from __future__ import annotations

import copy
import importlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from mlatem.errors import InputError, MlatemError, ReadError
from mlatem.io.counts import EAGER_CHECK_BYTES, check_counts
from mlatem.io.formats import (
    bruker,
    bruker_container,
    edax,
    gatan,
    gatan_tags,
    hyperspy,
    jeol,
    jeol_file,
    jeol_project,
    jeol_tree,
    ncem,
    nexus,
    oxford,
    pantarhei,
    ripple,
    tia,
    unsupported,
    velox,
    velox_file,
    zspy,
)
from mlatem.io.formats.common import AxisOverrides, ordered_surveys
from mlatem.io.formats.hdf5_heaps import check_heaps
from mlatem.io.formats.hdf5_types import check_types
from mlatem.io.layout import projected_memory_bytes, refuse_above_limit
from mlatem.io.signals import RawSignals, group_of, with_grid_warnings
from mlatem.io.sources import package_versions, sha256_of, size_bytes
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
    is_folder: bool = False
    """Whether it may be a folder instead of a file."""
    companions: Callable[[Path], Iterable[Path]] = lambda path: ()
    """Further files that the reader takes from beside."""


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
    opened = [_open_one(p, axes, settings) for p in paths]
    n_maps = sum(len(signals.spectrum_images) for signals in opened)
    of_one_map = sorted(given.keys() & {"energy_offset_kev", "energy_scale_kev", "signal_type"})
    if of_one_map and n_maps > 1:
        raise InputError(
            f"{';'.join(map(str, paths))}: {', '.join(of_one_map)} can hold for one spectrum "
            f"image, but there are {n_maps}: leave the cells empty, or make a dataset of each file"
        )
    signals = opened[0] if len(opened) == 1 else _joined(opened)
    if not signals.spectrum_images:
        only = f", only {signals.holds}" if signals.holds else ""
        signals.refuse(f"holds no spectrum image{only}", "Name a file with a map of spectra")
    values = {k: v for k, v in given.items() if k not in axis_names - {"signal_type"}}
    images = tuple(
        replace(image, acquisition=image.acquisition.updated(values, "user"))
        for image in signals.spectrum_images
    )
    for image in images:
        for sentence in image.attrs.get("warnings", ()):
            _logger.warning("%s: %s", signals.path, sentence)
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
    candidates = [f for f in FORMATS if path.suffix.lower() in f.suffixes]
    if path.is_dir():
        folders = [f for f in candidates if f.is_folder]
        if not folders:
            raise ReadError(str(path), "a directory, not a raw file", "Name the file itself")
        return folders[0]
    if path.stat().st_size == 0:
        raise ReadError(str(path), "the file is empty (0 bytes)", "Copy it again")
    if not candidates:
        unsupported.refuse_known(path)
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
    if head.startswith(_HDF5):
        check_heaps(path)
        check_types(path)
    for entry in fitting:
        if entry.matches is None or entry.matches(path):
            return entry
    unsupported.refuse_known(path)
    raise ReadError(
        str(path),
        f"an HDF5 file, but not one of {' or '.join(f.name for f in fitting)}",
        f"Supported: {supported_formats()}",
    )


def supported_formats() -> str:
    """The supported formats with their suffixes, for messages."""
    return ", ".join(f"{f.name} ({' '.join(f.suffixes)})" for f in FORMATS)


def folder_suffixes() -> frozenset[str]:
    """Suffixes of formats that may be a folder."""
    return frozenset(suffix for f in FORMATS if f.is_folder for suffix in f.suffixes)


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
            str(path), f"cannot be read ({type(error).__name__}: {words})", _DAMAGED
        ) from error
    return replace(signals, sources=sources)


def _source(path: Path, reader: str, settings: Convert) -> dict[str, Any]:
    source = {
        "file": path.name,
        "size_bytes": size_bytes(path),
        "reader": reader,
        "versions": package_versions(),
    }
    return {**source, "sha256": sha256_of(path)} if settings.hash_inputs else source


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
    return RawSignals(
        spectrum_images=with_grid_warnings([i for s in opened for i in s.spectrum_images]),
        surveys=ordered_surveys([survey for s in opened for survey in s.surveys]),
        original_metadata={Path(s.path).name: s.original_metadata for s in opened},
        sources=tuple(source for s in opened for source in s.sources),
        path=";".join(s.path for s in opened),
        resident_bytes=sum(s.resident_bytes for s in opened),
        holds="; ".join(s.holds for s in opened if s.holds),
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
    stored = None if velox_file.has_only_images(path) else velox_file.load_map(path)
    images = _reader("emd").file_reader(str(path), select_type="images", load_SI_image_stack=True)
    if stored is None:
        return velox.image_signals(path, images, velox_file.content(path))
    return velox.signals(path, stored, images, axes)


def _load_bruker(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    bruker_container.check_container(path)
    api = _reader("bruker._api")
    file = api.BCF_reader(str(path))
    bruker.check_single_map(path, len(file.available_indexes))
    header = file.header
    spectrum = np.asarray(header.spectra_data[file.def_index].data)
    shape = (int(header.image.height), int(header.image.width), len(spectrum))
    packed = file.get_file(f"EDSDatabase/SpectrumData{file.def_index}")
    blocks, block_size, _ = packed.get_iter_and_properties()
    bruker.check_stream(path, blocks, block_size, *shape[:2])

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


def _load_jeol(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    return jeol.signals(path, jeol_file.load_pts(path, _reader("jeol._api")._parsejeol), axes)


def _load_jeol_project(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    api = _reader("jeol._api")
    return jeol_project.signals(path, api._parsejeol, api.file_reader, axes)


def _load_jeol_image(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    api = _reader("jeol._api")
    jeol_tree.check_image(path, api._parsejeol)
    return jeol_project.image_signals(path, api.file_reader(str(path)))


def _load_gatan(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    gatan_tags.check_tags(path)
    found = _reader("digitalmicrograph").file_reader(str(path), lazy=True)
    return gatan.signals(path, found, axes)


def _load_tia(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    api = _reader("tia._api")
    trees = {}
    for file in tia.ser_files(path):
        emi = tia.emi_file(file)
        objects = api.get_xml_info_from_emi(str(emi[0])) if emi else []
        found = objects[emi[1]] if emi and emi[1] < len(objects) else None
        trees[file.name] = api.convert_xml_to_dict(found).to_dict() if found else {}
    return tia.signals(path, trees, api.mapping, axes)


def _load_pantarhei(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    data, metadata = pantarhei.open_data(path, settings)
    # The vendor reader maps compressed counts as if they were not, and changes the metadata.
    own = copy.deepcopy(metadata)
    signal = _reader("pantarhei._api").import_pr(data, own, str(path))[0]
    return pantarhei.signals(path, signal, metadata, axes)


def _load_edax(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    names = {f"{kind}_fname": str(file) for kind, file in edax.companions(path).items()}
    signal = _reader("edax").file_reader(str(path), lazy=True, **names)[0]
    return edax.signals(path, signal, axes)


#: The supported formats.
FORMATS = (
    Format("Velox", (".emd",), _load_velox, _HDF5, velox_file.is_velox),
    Format("Bruker", (".bcf",), _load_bruker, b"AAMVHFSS"),
    Format("JEOL", (".pts",), _load_jeol, b"\x30\x01\x00\x00PTTDFILE"),
    Format("JEOL project", (".asw",), _load_jeol_project, b"\x00\x00\x00\x00"),
    Format("JEOL image", (".img",), _load_jeol_image, b"\x34\x00\x00\x00"),
    Format("HyperSpy", (".hspy", ".h5", ".hdf5"), _load_hyperspy, _HDF5, hyperspy.is_hyperspy),
    Format("NCEM", (".emd", ".h5", ".hdf5"), ncem.load, _HDF5, ncem.is_ncem),
    Format("HyperSpy Zarr", (".zspy",), zspy.load, is_folder=True),
    Format("Oxford", (".h5oina", ".h5", ".hdf5"), oxford.load, _HDF5, oxford.is_oxford),
    Format("NeXus", (".nxs", ".nexus", ".h5", ".hdf5"), nexus.load, _HDF5, nexus.is_nexus),
    Format("PantaRhei", (".prz",), _load_pantarhei, b"PK"),
    Format(
        "EDAX", (".spd",), _load_edax, edax.TAG, companions=lambda p: edax.companions(p).values()
    ),
    Format("Ripple", (".rpl",), _load_ripple, companions=lambda p: (ripple.raw_file(p),)),
    Format("Gatan", (".dm3", ".dm4"), _load_gatan, b"\x00\x00\x00"),
    Format("TIA", (".emi", ".ser"), _load_tia, companions=tia.companions),
)
