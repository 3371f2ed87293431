# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats that are known but not read: what they are, and how to get a map out of them."""

from __future__ import annotations

from pathlib import Path

import h5py

from mlatem.errors import ReadError
from mlatem.io.formats.hdf5 import text

_RIPPLE = "export the map as Ripple (.rpl with .raw)"
_OXFORD = (
    "In AZtec 6.2 or later export the map as .h5oina with its spectrum data; in older ones "
    + _RIPPLE
)
_EDAX = f"In TEAM or APEX {_RIPPLE}"
_NION = "In Nion Swift export it as Gatan DigitalMicrograph (.dm3 or .dm4)"
_PHENOM = "Export the raw map from the Phenom software, or save it from HyperSpy as .hspy"
_NO_SPECTRA = "Name the file with the map of spectra"

#: What a file of a suffix is, and what to do.
BY_SUFFIX = {
    ".oip": ("a project of Oxford Instruments AZtec or INCA", _OXFORD),
    ".oipx": ("a project of Oxford Instruments AZtec", _OXFORD),
    ".azp": ("a project of Oxford Instruments AZtec", _OXFORD),
    ".h5oina": ("of Oxford Instruments, but not as its specification says", _OXFORD),
    ".edaxh5": ("a project of EDAX APEX", _EDAX),
    ".spc": ("a single spectrum of EDAX", "Name the .spd file of the map"),
    ".ipr": ("the header of an image of EDAX", "Name the .spd file of the map"),
    ".lsd": ("a line scan of EDAX", "Name the .spd file of a map"),
    ".ndata": ("a data item of Nion Swift", _NION),
    ".nslib": ("a library of Nion Swift", _NION),
    ".elid": ("a project of Thermo Fisher Phenom Element Identification", _PHENOM),
    ".msa": ("a single spectrum (EMSA/MAS), not a map", _NO_SPECTRA),
    ".emsa": ("a single spectrum (EMSA/MAS), not a map", _NO_SPECTRA),
    ".spx": ("a single spectrum of Bruker Esprit, not a map", "Name the .bcf file of the map"),
    ".raw": ("raw numbers without their header", "Name the .rpl header that lies beside"),
    ".map": ("an intensity map of JEOL, without spectra", "Name the .pts file beside it"),
    ".img": ("an image of JEOL, without spectra", "Name the .pts file beside it"),
    ".tif": ("an image, without spectra", _NO_SPECTRA),
    ".tiff": ("an image, without spectra", _NO_SPECTRA),
    ".png": ("an image, without spectra", _NO_SPECTRA),
    ".jpg": ("an image, without spectra", _NO_SPECTRA),
    ".blo": ("a stack of diffraction patterns (NanoMegas), without spectra", _NO_SPECTRA),
    ".mib": ("a stack of diffraction patterns (Quantum Detectors), without spectra", _NO_SPECTRA),
    ".mrc": ("images or diffraction patterns (MRC), without spectra", _NO_SPECTRA),
    ".npy": ("a bare array without axes", "Save it as .hspy with HyperSpy, with axes and units"),
    ".zarr": ("a store, converted already", "Name it where a store is expected"),
}


def refuse_known(path: Path) -> None:
    """Say what a file is, by its suffix or content, where that is known.

    Raises
    ------
    ReadError
        If the format is known not to be read.
    """
    known = BY_SUFFIX.get(path.suffix.lower())
    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            known = _by_content(file) or known
    if known is not None:
        kind, mend = known
        raise ReadError(str(path), f"is {kind}, which is not read", mend)


def _by_content(file: h5py.File) -> tuple[str, str] | None:
    """What an HDF5 file is that no reader claims."""
    names = set(file)
    if "Acquisition0" in names:
        return "a file of Delmic Odemis (cathodoluminescence)", _NO_SPECTRA
    if "data" in names and "properties" in file["data"].attrs:
        return "a data item of Nion Swift", _NION
    maker = next((name for name in names if name.strip().lower() == "manufacturer"), None)
    if maker is not None and "EDAX" in text(file[maker][()]).upper():
        return "a file of EDAX", _EDAX
    return None
