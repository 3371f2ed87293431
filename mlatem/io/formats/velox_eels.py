# SPDX-License-Identifier: GPL-3.0-or-later
"""EELS maps of Velox .emd files: several ranges of energy loss that were recorded at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from mlatem.errors import ReadError
from mlatem.io.formats.common import AxisOverrides, acquisition_values, spectrum_image
from mlatem.io.formats.velox_file import column_json
from mlatem.io.formats.velox_metadata import instrument_values
from mlatem.io.views import AxisView, HdfArray
from mlatem.model import SpectrumImage

_GROUP = "Data/EelsSpectrumImage"
#: Axes (y, x, energy) of the stored array, which is (x, energy, y).
_ORDER = (2, 0, 1)


def eels_maps(
    path: Path,
    shape: tuple[int, int],
    positions: Sequence[Mapping[str, Any]],
    overrides: AxisOverrides,
) -> tuple[list[SpectrumImage], list[dict[str, Any]]]:
    """The EELS maps of a file by increasing energy, lazy, and their metadata.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        (ny, nx) of the EDS map, whose scan it was.
    positions : sequence of mapping
        Axes y and x of the EDS map.
    overrides : AxisOverrides
        Of which only the pixel size holds for EELS too.

    Raises
    ------
    ReadError
        If a map contradicts its own header, or is not of the scan of the EDS map.
    """
    with h5py.File(path, "r") as file:
        trees = {name: _tree(group) for name, group in file.get(_GROUP, {}).items()}
    names = sorted(trees, key=lambda name: float(trees[name]["Range"].get("offset", 0.0)))
    images = []
    for name in names:
        data = HdfArray(path, f"{_GROUP}/{name}/Data")
        _check_shape(path, data.shape, trees[name]["Info"], shape)
        images.append(_image(path, data, trees[name], positions, overrides))
    return images, [trees[name] for name in names]


def _tree(group: h5py.Group) -> dict[str, Any]:
    """Velox's JSON of the map, its header and the range of the detector."""
    info = group["Info"][0]
    return {
        **column_json(group["Metadata"]),
        "Info": json.loads(info),
        "Range": column_json(group["AcquisitionMetadata"]).get("Data", {}),
    }


def _check_shape(
    path: Path, found: tuple[int, ...], info: Mapping[str, Any], scan: tuple[int, int]
) -> None:
    ny, nx, n_energy = (int(info.get(key, 0)) for key in ("height", "width", "bincount"))
    if found != (nx, n_energy, ny) or (ny, nx) != scan:
        raise ReadError(
            str(path),
            f"an EELS map of {' x '.join(map(str, found))} values, which its header calls {ny} x "
            f"{nx} pixels of {n_energy} channels, beside an EDS map of {scan[0]} x {scan[1]}",
            "Export the EELS and the EDS map from Velox each as a file of its own",
        )


def _image(
    path: Path,
    data: HdfArray,
    tree: Mapping[str, Any],
    positions: Sequence[Mapping[str, Any]],
    overrides: AxisOverrides,
) -> SpectrumImage:
    record = tree["Range"]
    if "offset" not in record or "dispersion" not in record:
        raise ReadError(
            str(path), "an EELS map without its energy axis", "Export the map again from Velox"
        )
    energy = {"name": "energy loss", "offset": record["offset"], "scale": record["dispersion"]}
    entries = {
        **instrument_values(tree),
        "collection_mrad": _collection_mrad(tree.get("CustomProperties", {})),
        "detector": tree.get("BinaryResult", {}).get("Detector"),
        "signal_type": "EELS",
    }
    image = spectrum_image(
        {
            "data": AxisView(data, _ORDER),
            "axes": [*positions, {**energy, "units": "eV"}],
            "metadata": _hyperspy_metadata(path, entries, record),
        },
        str(path),
        energy_axis=2,
        acquisition=acquisition_values(entries),
        overrides=AxisOverrides(pixel_size_nm=overrides.pixel_size_nm),
    )
    details = {
        "dispersion_ev": float(record["dispersion"]),
        "exposure_s": record.get("exposureTime"),
        "frames_averaged": record.get("detectorFramesAveraged"),
        **_intensity(record),
    }
    present = {name: value for name, value in details.items() if value is not None}
    return replace(image, attrs={**image.attrs, **present})


def _collection_mrad(properties: Mapping[str, Any]) -> float | None:
    """Outer angle of what enters the energy filter; None where it is not known (0 in the file)."""
    entry = properties.get("EnergyFilter.CollectionAngleRange.End", {})
    angle = 1e3 * float(entry.get("value") or 0.0)
    return angle or None


def _intensity(record: Mapping[str, Any]) -> dict[str, float]:
    """Calibrated intensity is `intensity_scale` times the counts above `intensity_origin`."""
    scale, offset = record.get("intensityScale"), record.get("intensityOffset")
    if not scale or offset is None:
        return {}
    return {"intensity_scale": float(scale), "intensity_origin": round(-offset / scale, 6)}


def _hyperspy_metadata(
    path: Path, entries: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, Any]:
    tem = {
        "beam_energy": entries["beam_energy_kev"],
        "convergence_angle": entries["convergence_mrad"],
        "microscope": entries["microscope"],
        "Detector": {"EELS": {"exposure": record.get("exposureTime")}},
    }
    return {
        "General": {"title": "EELS", "original_filename": path.name},
        "Signal": {"signal_type": "EELS"},
        "Acquisition_instrument": {"TEM": {k: v for k, v in tem.items() if v is not None}},
    }
