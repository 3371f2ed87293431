# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the vendor readers (rosettasciio): the only module that imports them.

A function for each format that needs one. It hands what the reader returns to `mlatem.io.formats`.
"""

from __future__ import annotations

import copy
import importlib
import logging
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

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
    pantarhei,
    ripple,
    tia,
    velox,
    velox_file,
)
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.layout import projected_memory_bytes, refuse_above_limit
from mlatem.io.signals import RawSignals
from mlatem.settings import Convert


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


def load_velox(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Event streams, EELS maps and images of a Velox file."""
    refuse_above_limit(velox_file.resident_bytes(path), settings.memory_limit_gb, label=str(path))
    stored = None if velox_file.has_only_images(path) else velox_file.load_map(path)
    images = _reader("emd").file_reader(str(path), select_type="images", load_SI_image_stack=True)
    if stored is None:
        return velox.image_signals(path, images, velox_file.content(path))
    return velox.signals(path, stored, images, axes, settings)


def load_bruker(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The maps of all detectors and the images of a .bcf file."""
    bruker_container.check_container(path)
    api = _reader("bruker._api")
    file = api.BCF_reader(str(path))
    maps = (_bruker_map(path, api, file, index, settings) for index in file.available_indexes)
    return bruker.signals(path, maps, api.bcf_images(file), axes, settings)


def _bruker_map(
    path: Path, api: Any, file: Any, index: int, settings: Convert
) -> bruker.DetectorMap:
    """The map of one detector, in a type that holds its counts."""
    header = file.header
    spectrum = np.asarray(header.spectra_data[index].data)
    shape = (int(header.image.height), int(header.image.width), len(spectrum))
    packed = file.get_file(f"EDSDatabase/SpectrumData{index}")
    blocks, block_size, _ = packed.get_iter_and_properties()
    bruker.check_stream(path, blocks, block_size, *shape[:2])
    n_resident = 1 if len(file.available_indexes) == 1 else 2
    if settings.separate_detectors:
        n_resident = len(file.available_indexes) + 1

    def decode(dtype: np.dtype[Any]) -> Any:
        size = math.prod(shape) * dtype.itemsize * n_resident
        needed = projected_memory_bytes(shape, dtype.itemsize, resident_bytes=size)
        refuse_above_limit(needed, settings.memory_limit_gb, label=str(path))
        header.estimate_map_depth = lambda **_: dtype.type
        return api.bcf_hyperspectra(file, index=index, downsample=1)[0]

    depth = type(header).estimate_map_depth(header, index=index)
    signal = decode(np.dtype(depth))
    if bruker.has_overflow(signal["data"], spectrum):
        signal = decode(np.dtype(np.uint32))
    return bruker.DetectorMap(signal, spectrum)


def load_hyperspy(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Signals of a .hspy file."""
    # The vendor reader opens lazily only what is stored in chunks.
    n_bytes, is_chunked = hyperspy.stored_data(path)
    if not is_chunked:
        refuse_above_limit(2 * n_bytes, settings.memory_limit_gb, label=str(path))
    reader = _reader("hspy._api").HyperspyReader
    with h5py.File(path, "r") as file:
        found = [s for s in reader(file).read(lazy=is_chunked) if "data" in s]
        detached = hyperspy.detached(path, file, found)
    return hyperspy.signals(path, detached, axes)


def load_ripple(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The map of a Ripple file."""
    ripple.raw_file(path)
    signal = _reader("ripple").file_reader(str(path), lazy=True)[0]
    return ripple.signals(path, signal, axes)


def load_jeol(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The map of a .pts file."""
    file = jeol_file.load_pts(path, _reader("jeol._api")._parsejeol)
    return jeol.signals(path, file, axes, settings)


def load_jeol_project(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The map of a project and the images of its view."""
    api = _reader("jeol._api")
    return jeol_project.signals(path, api._parsejeol, api.file_reader, axes, settings)


def load_jeol_image(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The image of an .img file."""
    api = _reader("jeol._api")
    jeol_tree.check_image(path, api._parsejeol)
    return jeol_project.image_signals(path, api.file_reader(str(path)))


def load_gatan(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Maps and images of a DigitalMicrograph file."""
    gatan_tags.check_tags(path)
    found = _reader("digitalmicrograph").file_reader(str(path), lazy=True)
    return gatan.signals(path, found, axes)


def load_tia(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Maps and images of TIA files."""
    api = _reader("tia._api")
    trees = {}
    for file in tia.ser_files(path):
        emi = tia.emi_file(file)
        objects = api.get_xml_info_from_emi(str(emi[0])) if emi else []
        found = objects[emi[1]] if emi and emi[1] < len(objects) else None
        trees[file.name] = api.convert_xml_to_dict(found).to_dict() if found else {}
    return tia.signals(path, trees, api.mapping, axes)


def load_pantarhei(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The map of a PantaRhei file."""
    data, metadata = pantarhei.open_data(path, settings)
    # The vendor reader maps compressed counts as if they were not, and changes the metadata.
    own = copy.deepcopy(metadata)
    signal = _reader("pantarhei._api").import_pr(data, own, str(path))[0]
    return pantarhei.signals(path, signal, metadata, axes)


def load_edax(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """The map of an EDAX file."""
    names = {f"{kind}_fname": str(file) for kind, file in edax.companions(path).items()}
    signal = _reader("edax").file_reader(str(path), lazy=True, **names)[0]
    return edax.signals(path, signal, axes)
