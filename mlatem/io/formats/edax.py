# SPDX-License-Identifier: GPL-3.0-or-later
"""EDAX .spd maps (TEAM, Genesis); energies are in the .spc beside, the pixel size in the .ipr."""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from mlatem.errors import ReadError
from mlatem.io.formats.common import AxisOverrides, Signal, named_trees, spectrum_image, title_of
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.signals import RawSignals

TAG = b"MAPSPECTRA_DATA"

#: Position of the name of the electron image in the header, and its length.
_IMAGE_NAME = (48, 120)


def companions(path: Path) -> dict[str, Path]:
    """The files beside a map that exist: "spc" (energies) and "ipr" (pixel size).

    The header of the map names its electron image, whose .ipr it is; without such a file the one
    named after the map counts.
    """
    with path.open("rb") as stream:
        stream.seek(_IMAGE_NAME[0])
        name = stream.read(_IMAGE_NAME[1]).split(b"\0")[0].decode("latin-1")
    stems = {
        "spc": [path.stem],
        "ipr": [PureWindowsPath(name).stem, f"{path.stem}_Img", path.stem],
    }
    beside = {file.name.lower(): file for file in path.parent.iterdir() if file.is_file()}
    found: dict[str, Path] = {}
    for suffix, names in stems.items():
        for stem in names:
            file = beside.get(f"{stem}.{suffix}".lower())
            if file is not None:
                found.setdefault(suffix, file)
    return found


def signals(path: Path, signal: Signal, overrides: AxisOverrides) -> RawSignals:
    """Normalise an EDAX map; counts are a memory map of the file.

    Parameters
    ----------
    path : Path
    signal : mapping
        As the vendor reader returns it; of its data only the header's values are used.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If the file has another size than its header says, or its energies are not known.
    """
    header = signal["original_metadata"]["spd_header"]
    shape = tuple(int(header[name]) for name in ("nLines", "nPoints", "nChannels"))
    offset, item = int(header["dataOffset"]), int(header["countBytes"])
    expected, found = offset + math.prod(shape) * item, path.stat().st_size
    if found < expected or int(header["nSpectra"]) != shape[0] * shape[1] or expected == offset:
        raise ReadError(
            str(path),
            f"has {found} bytes and {header['nSpectra']} spectra, but {shape[0]} x {shape[1]} "
            f"pixels of {shape[2]} channels of {item} bytes after {offset} bytes make {expected}",
            "The map was interrupted or cut: copy it again, or export it again",
        )
    data = np.memmap(path, dtype=f"<u{item}", mode="r", offset=offset, shape=shape)
    image = spectrum_image(
        {**signal, "data": data},
        str(path),
        energy_axis=2,
        acquisition=acquisition_of_tree(signal["metadata"]),
        overrides=overrides,
    )
    tree: dict[str, Any] = dict(signal["original_metadata"])
    return RawSignals(
        spectrum_images=(image,),
        original_metadata=named_trees([(title_of(signal), tree)]),
        path=str(path),
    )
