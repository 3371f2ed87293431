# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated signals as a HyperSpy file (.hspy, HDF5)."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mlatem.io.atomic import atomic_path
from mlatem.simulation.specimen import Simulation

_FORMAT_VERSION = "3.3"

#: Pixels along each side of a chunk: a chunk of 2048 one-byte channels holds half a megabyte.
_CHUNK = 16

#: Acquisition values in HyperSpy's tree, below `Acquisition_instrument.TEM`.
_TEM = {"beam_energy": "beam_energy_kev", "microscope": "microscope"}
_STAGE = {"tilt_alpha": "stage_tilt_deg"}
_EDS = {
    "elevation_angle": "elevation_deg",
    "live_time": "live_time_s",
    "real_time": "real_time_s",
    "dwell_time": "dwell_time_s",
    "detector_type": "detector",
}


def write_hspy(simulation: Simulation, path: str | PathLike[str]) -> None:
    """Write counts and survey image as HyperSpy signals, whole or not at all.

    Parameters
    ----------
    simulation : Simulation
    path : path-like
        File ending in .hspy; replaced if it exists.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Notes
    -----
    Two signals in `Experiments`: the spectrum image under its own name (signal type EDS_TEM, axes
    y, x in nm and Energy in keV) and the image `HAADF`.
    """
    image, haadf = simulation.image, simulation.haadf
    grid = [("y", image.y_nm, "nm"), ("x", image.x_nm, "nm")]
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(file_format="HyperSpy", file_format_version=_FORMAT_VERSION)
        spectra = _signal(file, image.name, image.counts, [*grid, ("Energy", image.energy, "keV")])
        _describe(spectra, image.name, "EDS_TEM")
        _acquisition(spectra, simulation)
        tree = spectra.create_group("original_metadata")
        tree.attrs["specimen"] = json.dumps(simulation.settings.model_dump(mode="json"))
        tree.attrs["seed"] = simulation.seed
        survey = _signal(file, "HAADF", np.asarray(haadf.values), grid)
        _describe(survey, "HAADF", "")
        survey.create_group("original_metadata")


def _signal(
    file: h5py.File,
    title: str,
    data: NDArray[Any],
    axes: list[tuple[str, NDArray[np.float64], str]],
) -> h5py.Group:
    group = file.create_group(f"Experiments/{title}")
    is_map = data.ndim == 3
    # A chunk keeps whole spectra: the counts are read by tiles of pixels.
    chunks = tuple(min(_CHUNK, n) for n in data.shape[:2]) + data.shape[2:] if is_map else None
    group.create_dataset(
        "data",
        data=data,
        chunks=chunks,
        compression="gzip" if is_map else None,
        compression_opts=1 if is_map else None,
        shuffle=is_map or None,
    )
    for index, (name, values, units) in enumerate(axes):
        group.create_group(f"axis-{index}").attrs.update(
            _type="UniformDataAxis",
            name=name,
            units=units,
            scale=float((values[-1] - values[0]) / (values.size - 1)) if values.size > 1 else 1.0,
            offset=float(values[0]),
            size=values.size,
            navigate=is_map and name != "Energy",
            is_binned=is_map and name == "Energy",
        )
    return group


def _describe(group: h5py.Group, title: str, signal_type: str) -> None:
    tree = group.create_group("metadata")
    tree.create_group("General").attrs["title"] = title
    tree.create_group("Signal").attrs["signal_type"] = signal_type


def _acquisition(group: h5py.Group, simulation: Simulation) -> None:
    acquisition = simulation.image.acquisition
    tree = group["metadata"]
    tem = tree.create_group("Acquisition_instrument/TEM")
    places = (
        (tem, _TEM),
        (tem.create_group("Stage"), _STAGE),
        (tem.create_group("Detector/EDS"), _EDS),
    )
    for place, names in places:
        place.attrs.update({key: acquisition[name].value for key, name in names.items()})
    sample = tree.create_group("Sample")
    sample.attrs["name"] = simulation.settings.name
    sample.attrs["description"] = simulation.settings.description
    elements = np.array(simulation.settings.elements, dtype=h5py.string_dtype())
    sample.create_dataset("_list_elements", data=elements)
