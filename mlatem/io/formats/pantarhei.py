# SPDX-License-Identifier: GPL-3.0-or-later
"""PantaRhei .prz (CEOS): an archive of NumPy arrays, the counts and their metadata as JSON."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.common import AxisOverrides, Signal, named_trees, spectrum_image, title_of
from mlatem.io.formats.gridded import in_map_order, is_map, refuse_without_map
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.layout import refuse_above_limit
from mlatem.io.signals import RawSignals
from mlatem.settings import Convert

#: Bytes of a file's own header in a zip archive, before its name and the extra field.
_LOCAL_HEADER = 30


def open_data(path: Path, settings: Convert) -> tuple[NDArray[Any], dict[str, Any]]:
    """Counts and metadata of a file; counts are a memory map where the archive is not compressed.

    Raises
    ------
    ReadError
        If the metadata are not there as JSON: older versions pickled them, and unpickling a file
        may run any program.
    MemoryLimitError
        If compressed counts are larger than the limit.
    """
    with np.load(path, allow_pickle=False) as archive:
        if "meta_data_json" not in archive:
            raise ReadError(
                str(path),
                "its metadata are pickled, as PantaRhei before version 24.03 wrote them",
                "Save it again with a later version, or export it as .hspy",
            )
        metadata = json.loads(archive["meta_data_json"][()])
        stored = _mapped(path, is_checked=settings.hash_inputs)
        if stored is not None:
            return stored, metadata[0]
        with zipfile.ZipFile(path) as files:
            size = files.getinfo("data.npy").file_size
        refuse_above_limit(2 * size, settings.memory_limit_gb, label=str(path))
        return archive["data"], metadata[0]


def _mapped(path: Path, *, is_checked: bool) -> NDArray[Any] | None:
    """The counts as a memory map; None where they are compressed.

    A map sees no checksum: `is_checked` reads all once to compare it.
    """
    with zipfile.ZipFile(path) as files:
        entry = files.getinfo("data.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            return None
        with files.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                version, np.lib.format.read_array_header_2_0
            )
            shape, is_fortran, dtype = read(stream)
            header = stream.tell()
            while is_checked and stream.read(1 << 20):
                pass
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = np.frombuffer(file.read(4), dtype="<u2")
    start = entry.header_offset + _LOCAL_HEADER + int(name) + int(extra) + header
    if header + math.prod(shape) * dtype.itemsize != entry.file_size or dtype.hasobject:
        raise ReadError(str(path), f"its counts are no array of shape {shape}", "Export it again")
    return np.memmap(
        path, dtype=dtype, mode="r", offset=start, shape=shape, order="F" if is_fortran else "C"
    )


def signals(
    path: Path, signal: Signal, metadata: Mapping[str, Any], overrides: AxisOverrides
) -> RawSignals:
    """Normalise what the vendor reader makes of the arrays.

    Parameters
    ----------
    path : Path
    signal : mapping
        As the vendor reader returns it.
    metadata : mapping
        As the file has it.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If it is no map of spectra.
    """
    axes = [{"units": "", **axis, "name": str(axis["name"])} for axis in signal["axes"]]
    signal = {**signal, "axes": axes}
    if not is_map(signal):
        refuse_without_map([signal], str(path))
    image = spectrum_image(
        in_map_order(signal),
        str(path),
        energy_axis=2,
        acquisition=acquisition_of_tree(signal["metadata"]),
        overrides=overrides,
    )
    resident = 0 if isinstance(signal["data"], np.memmap) else int(signal["data"].nbytes)
    return RawSignals(
        spectrum_images=(image,),
        original_metadata=named_trees([(title_of(signal), dict(metadata))]),
        path=str(path),
        resident_bytes=resident,
    )
