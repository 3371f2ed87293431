# SPDX-License-Identifier: GPL-3.0-or-later
"""NCEM .emd: groups of HDF5 that hold an array and a dataset for each of its axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    acquisition_values,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
    title_of,
)
from mlatem.io.formats.gridded import (
    energy_axis,
    even_axis,
    in_map_order,
    is_map,
    refuse_without_map,
)
from mlatem.io.formats.hdf5 import attributes, check_whole, text
from mlatem.io.signals import RawSignals
from mlatem.io.views import HdfArray
from mlatem.settings import Convert

_ROOT_GROUPS = ("microscope", "sample", "user", "comments")


def is_ncem(path: Path) -> bool:
    """Whether an HDF5 file has an array in a group that the NCEM layout marks."""
    with h5py.File(path, "r") as file:
        return bool(_array_groups(file))


def load(path: Path, axes: AxisOverrides, settings: Convert) -> RawSignals:
    """Read a NCEM file; counts stay in the file until they are sliced.

    Raises
    ------
    ReadError
        If no array is a map of spectra, or a map is on no even grid.
    """
    with h5py.File(path, "r") as file:
        found = [_signal(path, file[name]) for name in _array_groups(file)]
        tree: dict[str, Any] = {
            name: attributes(file[name]) for name in _ROOT_GROUPS if name in file
        }
        tree["version"] = attributes(file)
    maps = [signal for signal in found if is_map(signal)]
    if not maps:
        refuse_without_map(found, str(path))
    images = []
    for signal in maps:
        # HyperSpy, and programs that count the fastest axis first, store (energy, x, y).
        ordered = in_map_order(signal, is_reversed=energy_axis(signal["axes"]) == 0)
        signal_type = axes.signal_type or ordered["metadata"]["Signal"].get("signal_type")
        images.append(
            spectrum_image(
                ordered,
                str(path),
                energy_axis=2,
                acquisition=acquisition_values({"signal_type": signal_type}),
                overrides=axes,
            )
        )
    return RawSignals(
        spectrum_images=tuple(images),
        surveys=ordered_surveys([_survey(signal) for signal in found]),
        original_metadata=named_trees(
            [("NCEM", tree), *((title_of(s), s["original_metadata"]) for s in found)]
        ),
        path=str(path),
    )


def _survey(signal: dict[str, Any]) -> Any:
    if len(signal["axes"]) != 2 or energy_axis(signal["axes"]) is not None:
        return None
    axes = signal["axes"]
    data = signal["data"]
    if (axes[0]["name"].lower(), axes[1]["name"].lower()) == ("x", "y"):
        return survey_image({**signal, "data": data[...].T, "axes": axes[::-1]})
    return survey_image(signal)


def _array_groups(file: h5py.File) -> list[str]:
    names: list[str] = []

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Group) and entry.attrs.get("emd_group_type"):
            data = entry.get("data")
            if isinstance(data, h5py.Dataset) and data.dtype.kind in "iufb":
                names.append(name)

    file.visititems(visit)
    return names


def _signal(path: Path, group: h5py.Group) -> dict[str, Any]:
    check_whole(group["data"], str(path))
    data = HdfArray(path, f"{group.name}/data")
    first = 0 if "dim0" in group else 1
    axes = [_axis(path, group, f"dim{first + i}", i, n) for i, n in enumerate(data.shape)]
    stored = attributes(group)
    general = {"title": group.name.rsplit("/", 1)[-1], "original_filename": path.name}
    return {
        "data": data,
        "axes": axes,
        "metadata": {
            "General": general,
            "Signal": {"signal_type": str(stored.get("signal_type") or "")},
        },
        "original_metadata": stored,
    }


def _axis(path: Path, group: h5py.Group, name: str, index: int, size: int) -> dict[str, Any]:
    """Axis of one dimension; two positions stand for a whole axis in files of HyperSpy."""
    if name not in group:
        return {"name": f"axis {index}", "offset": 0.0, "scale": 1.0, "units": ""}
    dataset = group[name]
    if dataset.size not in (2, size):
        raise ReadError(
            str(path),
            f"{dataset.name} has {dataset.size} positions for {size} of the data",
            "Export the map again",
        )
    # "[n_m]" is nm: brackets around, a line below between every two letters.
    units = text(dataset.attrs.get("units", "")).strip("[]").replace("_", "")
    label = text(dataset.attrs.get("name", "")) or name
    return even_axis(dataset[()], name=label, units=units, path=str(path))
