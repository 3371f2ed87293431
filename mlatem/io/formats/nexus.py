# SPDX-License-Identifier: GPL-3.0-or-later
"""NeXus (HDF5): groups of class NXdata that name their signal and its axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
)
from mlatem.io.formats.gridded import even_axis, in_map_order, is_map, refuse_without_map
from mlatem.io.formats.hdf5 import check_whole, text, tree_of
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.signals import RawSignals
from mlatem.io.views import HdfArray
from mlatem.settings import Convert

_HYPERSPY_METADATA = "auxiliary/hyperspy_metadata"
#: Classes of the application definition for electron microscopy, and what lies below them.
_SIGNAL_TYPES = {"NXem_eds": "EDS_TEM", "NXem_eels": "EELS"}


def is_nexus(path: Path) -> bool:
    """Whether an HDF5 file has NeXus data groups."""
    with h5py.File(path, "r") as file:
        return bool(_data_groups(file))


def load(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Read a NeXus file; counts stay in the file until they are sliced.

    Raises
    ------
    ReadError
        If no signal is a map of spectra, or a map is on no even grid.
    """
    with h5py.File(path, "r") as file:
        groups = _data_groups(file)
        found = [_signal(path, file, file[name], signal) for name, signal in groups.items()]
        arrays = frozenset(f"/{name}/{signal}" for name, signal in groups.items())
        tree = tree_of(file, leave_out=arrays)
    maps = [in_map_order(signal) for signal in found if is_map(signal)]
    if not maps:
        refuse_without_map(found, str(path))
    images = tuple(
        spectrum_image(
            signal,
            str(path),
            energy_axis=2,
            acquisition=acquisition_of_tree(signal["metadata"], from_exspy=True),
            overrides=axes,
        )
        for signal in maps
    )
    flat = [signal for signal in found if len(signal["axes"]) == 2]
    return RawSignals(
        spectrum_images=images,
        surveys=ordered_surveys([survey_image(signal) for signal in flat]),
        original_metadata=named_trees([("NeXus", tree)]),
        path=str(path),
    )


def _data_groups(file: h5py.File) -> dict[str, str]:
    """The groups of data, and which of its datasets is the signal of each."""
    groups: dict[str, str] = {}

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Group) and text(entry.attrs.get("NX_class", "")) == "NXdata":
            signal = _signal_name(entry)
            data = entry.get(signal) if signal else None
            if isinstance(data, h5py.Dataset) and data.dtype.kind in "iufb" and data.ndim:
                groups[name] = signal

    file.visititems(visit)
    return groups


def _signal_name(group: h5py.Group) -> str:
    """The signal: named by the group, or marked by an attribute as files before 2014 do it."""
    name = text(group.attrs.get("signal", ""))
    marked = (key for key, entry in group.items() if text(entry.attrs.get("signal", "")) == "1")
    return name or next(marked, "")


def _signal(path: Path, file: h5py.File, group: h5py.Group, name: str) -> dict[str, Any]:
    data = group[name]
    check_whole(data, str(path))
    names = _axis_names(group, data)
    axes = [_axis(path, group, axis, index, data.shape[index]) for index, axis in enumerate(names)]
    entry = group.name.strip("/").split("/")[0]
    stored = file.get(f"{entry}/{_HYPERSPY_METADATA}")
    metadata = tree_of(stored) if isinstance(stored, h5py.Group) else {}
    general = {**metadata.get("General", {}), "original_filename": path.name}
    general.setdefault("title", group.name.rsplit("/", 1)[-1])
    signal_type = metadata.get("Signal", {}).get("signal_type") or _signal_type(file, group)
    return {
        "data": HdfArray(path, f"{group.name}/{name}"),
        "axes": axes,
        "metadata": {
            **metadata,
            "General": general,
            "Signal": {**metadata.get("Signal", {}), "signal_type": signal_type},
        },
    }


def _signal_type(file: h5py.File, group: h5py.Group) -> str:
    """Type that the class of a group above tells, empty where none does."""
    name = group.name
    while name not in ("", "/"):
        found = _SIGNAL_TYPES.get(text(file[name].attrs.get("NX_class", "")))
        if found:
            return found
        name = name.rsplit("/", 1)[0]
    return ""


def _axis_names(group: h5py.Group, data: h5py.Dataset) -> list[str]:
    """Name of the dataset of each axis, "." where the file has none."""
    stored = group.attrs.get("axes", data.attrs.get("axes"))
    if stored is None:
        listed = []
    elif isinstance(stored, str | bytes):
        listed = text(stored).strip("[]").replace(":", ",").split(",")
    else:
        listed = [text(entry) for entry in np.atleast_1d(stored)]
    names = ["."] * data.ndim
    for position, listed_name in enumerate(listed):
        name = listed_name.strip()
        indices = np.atleast_1d(group.attrs.get(f"{name}_indices", position))
        if name != "." and 0 <= int(indices[0]) < data.ndim:
            names[int(indices[0])] = name
    return names


def _axis(path: Path, group: h5py.Group, name: str, index: int, size: int) -> dict[str, Any]:
    entry = group.get(name) if name != "." else None
    if not isinstance(entry, h5py.Dataset):
        return {"name": f"axis {index}", "offset": 0.0, "scale": 1.0, "units": ""}
    if entry.size not in (1, size):
        raise ReadError(
            str(path),
            f"{entry.name} has {entry.size} positions for {size} of the data",
            "Export the map again",
        )
    units = text(entry.attrs.get("units", ""))
    return even_axis(entry[()], name=name, units=units, path=str(path))
