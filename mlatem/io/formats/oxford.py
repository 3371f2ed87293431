# SPDX-License-Identifier: GPL-3.0-or-later
"""Oxford Instruments .h5oina (HDF5), after the public specification of its format, version 8.0.

Reference: H5OINAFile.md of github.com/oinanoanalysis/h5oina.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    acquisition_values,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
)
from mlatem.io.formats.hdf5 import check_whole, text, tree_of
from mlatem.io.signals import RawSignals
from mlatem.io.views import bounds_of
from mlatem.model import Acquisition
from mlatem.settings import Convert

_EDS = re.compile(r"EDS\d*")
_EXPORT = (
    "In AZtec 6.2 or later export the map as .h5oina with its spectrum data, or as .raw with .rpl"
)


class PixelRows:
    """Spectra (pixel, channel) of an HDF5 dataset as a map (y, x, channel), row after row.

    Parameters
    ----------
    path : Path
        Open only while a region is read.
    name : str
        Of the dataset.
    shape : tuple of int
        (ny, nx, n_channels); ny times nx is the number of pixels.
    """

    ndim = 3

    def __init__(self, path: Path, name: str, shape: tuple[int, int, int]) -> None:
        self._path, self._name, self.shape = path.absolute(), name, shape
        with h5py.File(path, "r") as file:
            self.dtype: np.dtype[Any] = file[name].dtype

    def __getitem__(self, region: Any) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(region, self.shape)
        block = np.empty((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        with h5py.File(self._path, "r") as file:
            dataset = file[self._name]
            for row in range(y0, y1):
                first = row * self.shape[1]
                block[row - y0] = dataset[first + x0 : first + x1, c0:c1]
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


def is_oxford(path: Path) -> bool:
    """Whether an HDF5 file is laid out as the specification says."""
    with h5py.File(path, "r") as file:
        if "Format Version" not in file or "Index" not in file:
            return False
        maker = text(file["Manufacturer"][()]) if "Manufacturer" in file else ""
        return "Oxford" in maker or path.suffix.lower() == ".h5oina"


def load(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Read the EDS map of an Oxford file; counts stay in the file until they are sliced.

    Raises
    ------
    ReadError
        If the file holds no spectra, those of several detectors or features, or no whole map.
    """
    with h5py.File(path, "r") as file:
        slices = [text(name) for name in np.ravel(file["Index"][()])]
        if len(slices) != 1:
            raise ReadError(
                str(path),
                f"holds {len(slices)} acquisitions, expected a single map",
                "Particle analyses are not read: export one map",
            )
        root = file[slices[0]]
        group = _eds_group(path, root)
        arrays = frozenset(f"{root.name}/{technique}/Data" for technique in root)
        signal, shape = _signal(path, group)
        counts = PixelRows(path, f"{group.name}/Data/Spectrum", shape)
        image = spectrum_image(
            {**signal, "data": counts},
            str(path),
            energy_axis=2,
            acquisition=_acquisition(group),
            overrides=axes,
        )
        return RawSignals(
            spectrum_images=(image,),
            surveys=ordered_surveys(_images(root)),
            original_metadata=named_trees([("Oxford", tree_of(file, leave_out=arrays))]),
            path=str(path),
        )


def _eds_group(path: Path, root: h5py.Group) -> h5py.Group:
    techniques = [name for name in root if _EDS.fullmatch(name)]
    found = [name for name in techniques if "Data/Spectrum" in root[name]]
    if len(found) == 1:
        return root[found[0]]
    if found:
        raise ReadError(
            str(path),
            f"holds the spectra of {len(found)} detectors ({', '.join(found)}), expected one",
            "Export the map of each detector by itself",
        )
    cause = "holds EDS maps but not their spectra" if techniques else "holds no EDS map"
    raise ReadError(str(path), cause, _EXPORT)


def _signal(path: Path, group: h5py.Group) -> tuple[dict[str, Any], tuple[int, int, int]]:
    header = group["Header"]
    ny, nx = int(_number(header, "Y Cells") or 0), int(_number(header, "X Cells") or 0)
    check_whole(group["Data/Spectrum"], str(path))
    n_pixels, n_channels = group["Data/Spectrum"].shape
    if ny * nx != n_pixels:
        raise ReadError(
            str(path),
            f"holds {n_pixels} spectra for a map of {ny} x {nx} pixels",
            f"The map is not whole. {_EXPORT}",
        )
    _check_rows(path, group["Data"], (ny, nx))
    step = _number(header, "Channel Width")
    axes = [
        {"name": "y", "scale": _number(header, "Y Step") or 1.0, "units": "um"},
        {"name": "x", "scale": _number(header, "X Step") or 1.0, "units": "um"},
        {
            "name": "energy",
            "offset": _number(header, "Start Channel"),
            "scale": step,
            "units": "eV" if step else "",
        },
    ]
    title = text(header["Analysis Label"][()]) if "Analysis Label" in header else "EDS"
    metadata = {
        "General": {"title": title, "original_filename": path.name},
        "Signal": {"signal_type": "EDS_SEM"},
    }
    return {"axes": axes, "metadata": metadata}, (ny, nx, n_channels)


def _check_rows(path: Path, data: h5py.Group, shape: tuple[int, int]) -> None:
    """Where the file has the position of each pixel, they must run along rows, from the top."""
    for name, axis in (("X", 1), ("Y", 0)):
        if name not in data:
            continue
        positions = np.asarray(data[name][()], dtype=float).reshape(shape)
        if np.any(np.diff(positions, axis=axis) <= 0):
            raise ReadError(
                str(path),
                f"the positions {name} of its pixels do not run row by row",
                f"Only rectangular maps are read. {_EXPORT}",
            )


def _acquisition(group: h5py.Group) -> Acquisition:
    """Acquisition values; times are sums over all pixels, as the specification counts them."""
    header, data = group["Header"], group["Data"]
    detector = header.get("Detector Type Id")
    entries = {
        "beam_energy_kev": _number(header, "Beam Voltage"),
        "n_frames": _number(header, "Number Frames"),
        "elevation_deg": _degrees(header, "Detector Elevation"),
        "azimuth_deg": _degrees(header, "Detector Azimuth"),
        "stage_tilt_deg": _degrees(header, "Stage Position/Tilt"),
        "live_time_s": _total(data, "Live Time"),
        "real_time_s": _total(data, "Real Time"),
        "detector": text(detector.attrs.get("Name", "")) if detector is not None else None,
        "n_detectors": 1,
        "date": _text(header, "Acquisition Date"),
        "sample": _text(header, "Specimen Label"),
        "signal_type": "EDS_SEM",
    }
    return acquisition_values(entries, origins={"signal_type": "default"})


def _images(root: h5py.Group) -> list[xr.DataArray | None]:
    """Electron images, on their own grid."""
    if "Electron Image" not in root:
        return []
    header, data = root["Electron Image/Header"], root["Electron Image/Data"]
    ny, nx = int(_number(header, "Y Cells") or 0), int(_number(header, "X Cells") or 0)
    axes = [
        {"name": name, "scale": _number(header, f"{name} Step") or 1.0, "units": "um"}
        for name in ("Y", "X")
    ]
    images = []
    for kind in ("SE", "BSE", "FSE"):
        for name, entry in data[kind].items() if kind in data else ():
            if entry.size == ny * nx:
                pixels = entry[()].reshape(ny, nx)
                metadata = {"General": {"title": f"{kind} {name}"}}
                images.append(survey_image({"data": pixels, "axes": axes, "metadata": metadata}))
    return images


def _number(group: h5py.Group, name: str) -> float | None:
    if name not in group:
        return None
    value = float(np.ravel(group[name][()])[0])
    return value if math.isfinite(value) else None


def _degrees(group: h5py.Group, name: str) -> float | None:
    value = _number(group, name)
    return None if value is None else round(math.degrees(value), 4)


def _text(group: h5py.Group, name: str) -> str | None:
    return text(group[name][()]) if name in group else None


def _total(data: h5py.Group, name: str) -> float | None:
    """Sum over all pixels; those outside of the acquisition are NaN."""
    return float(np.nansum(data[name][()], dtype=float)) if name in data else None
