# SPDX-License-Identifier: GPL-3.0-or-later
"""Which vendor's format a raw file is of.

A format is an entry of `FORMATS`: how to recognise it, and a function that opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlatem.errors import ReadError
from mlatem.io import vendor
from mlatem.io.formats import (
    edax,
    hyperspy,
    ncem,
    nexus,
    oxford,
    ripple,
    tia,
    unsupported,
    velox_file,
    zspy,
)
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.formats.hdf5_heaps import check_heaps
from mlatem.io.formats.hdf5_types import check_types
from mlatem.io.signals import RawSignals
from mlatem.settings import Convert

_HDF5 = b"\x89HDF\r\n\x1a\n"
#: What a message on a file that cannot be followed advises.
DAMAGED = "It is probably truncated or damaged: copy it again from the instrument"


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
        raise ReadError(str(path), f"does not begin like a {names} file", DAMAGED)
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


#: The supported formats.
FORMATS = (
    Format("Velox", (".emd",), vendor.load_velox, _HDF5, velox_file.is_velox),
    Format("Bruker", (".bcf",), vendor.load_bruker, b"AAMVHFSS"),
    Format("JEOL", (".pts",), vendor.load_jeol, b"\x30\x01\x00\x00PTTDFILE"),
    Format("JEOL project", (".asw",), vendor.load_jeol_project, b"\x00\x00\x00\x00"),
    Format("JEOL image", (".img",), vendor.load_jeol_image, b"\x34\x00\x00\x00"),
    Format(
        "HyperSpy", (".hspy", ".h5", ".hdf5"), vendor.load_hyperspy, _HDF5, hyperspy.is_hyperspy
    ),
    Format("NCEM", (".emd", ".h5", ".hdf5"), ncem.load, _HDF5, ncem.is_ncem),
    Format("HyperSpy Zarr", (".zspy",), zspy.load, is_folder=True),
    Format("Oxford", (".h5oina", ".h5", ".hdf5"), oxford.load, _HDF5, oxford.is_oxford),
    Format("NeXus", (".nxs", ".nexus", ".h5", ".hdf5"), nexus.load, _HDF5, nexus.is_nexus),
    Format("PantaRhei", (".prz",), vendor.load_pantarhei, b"PK"),
    Format(
        "EDAX",
        (".spd",),
        vendor.load_edax,
        edax.TAG,
        companions=lambda p: edax.companions(p).values(),
    ),
    Format("Ripple", (".rpl",), vendor.load_ripple, companions=lambda p: (ripple.raw_file(p),)),
    Format("Gatan", (".dm3", ".dm4"), vendor.load_gatan, b"\x00\x00\x00"),
    Format("TIA", (".emi", ".ser"), vendor.load_tia, companions=tia.companions),
)
