# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exported HyperSpy file tells MLATEM beyond HyperSpy's own format.

The group `MLATEM` beside `Experiments` holds exact axes, acquisition values with their origins, and
the vendor's metadata. HyperSpy does not read it, and drops it where it writes the file anew. It
holds for a signal as long as nobody has changed the axes or the metadata of that signal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.io.datasets import json_safe
from mlatem.io.signals import detector_spectra
from mlatem.model import Acquisition, SpectrumImage

SCHEMA = "mlatem-hspy/1"
_GROUP = "MLATEM"
_DETECTORS = "detector_spectra"
_MASK = "mask"


def write_record(
    file: h5py.File, packed_metadata: NDArray[np.uint8], sources: Sequence[Mapping[str, Any]]
) -> None:
    """Start the record of a file.

    Parameters
    ----------
    file : h5py.File
    packed_metadata : ndarray of shape (n_bytes,), uint8
        The vendor's tree as in a store (see `mlatem.io.exact_json`).
    sources : sequence of mapping
        The raw files that the store was made of.
    """
    group = file.create_group(_GROUP)
    group.attrs["schema"] = SCHEMA
    group.attrs["source"] = json.dumps([dict(source) for source in sources])
    group.create_dataset("original_metadata", data=packed_metadata)
    group.create_group("signals")


def record_image(
    data: h5py.Dataset, image: SpectrumImage, spectra: xr.DataArray | None = None
) -> None:
    """Record of a spectrum image whose HyperSpy signal has been added to the file.

    Parameters
    ----------
    data : h5py.Dataset
        Of the signal.
    image : SpectrumImage
    spectra : DataArray, optional
        Sum spectra of its detectors (detector, energy).
    """
    values = {
        "name": image.name,
        "technique": image.technique,
        "acquisition": image.acquisition.to_attrs(),
        "details": dict(image.attrs),
    }
    group = _write(data, values, (image.y_nm, image.x_nm, image.energy))
    if image.mask is not None:
        group.create_dataset(_MASK, data=image.mask)
    if spectra is not None:
        group.create_dataset(_DETECTORS, data=spectra.to_numpy())
        group[_DETECTORS].attrs["names"] = json.dumps(spectra["detector"].to_numpy().tolist())


def record_survey(data: h5py.Dataset, survey: xr.DataArray) -> None:
    """Record of a survey image whose HyperSpy signal has been added to the file."""
    values = {"name": str(survey.name or ""), "attrs": dict(survey.attrs)}
    _write(data, values, (survey["y"].to_numpy(), survey["x"].to_numpy()))


def _write(
    data: h5py.Dataset, values: Mapping[str, Any], axes: Sequence[NDArray[Any]]
) -> h5py.Group:
    signal = data.parent
    group = data.file[_GROUP]["signals"].create_group(signal.name.rsplit("/", 1)[1])
    group.attrs["values"] = json.dumps(json_safe(values))
    group.attrs["fingerprint"] = _fingerprint(signal)
    for index, positions in enumerate(axes):
        group.create_dataset(f"axis-{index}", data=positions)
    return group


def read_record(file: h5py.File, name: str) -> dict[str, Any] | None:
    """The record of a signal: its values, `axes`, `mask` and `detector_spectra` where it has them.

    None where there is no record, or none that holds.

    Parameters
    ----------
    file : h5py.File
    name : str
        Of the signal's group in `Experiments`.
    """
    if not has_record(file) or name not in file[_GROUP]["signals"]:
        return None
    group = file[_GROUP]["signals"][name]
    signal = file["Experiments"][name]
    if group.attrs["fingerprint"] != _fingerprint(signal):
        return None
    axes = [np.asarray(group[f"axis-{index}"]) for index in range(signal["data"].ndim)]
    found = {**json.loads(group.attrs["values"]), "axes": axes}
    if _MASK in group:
        found[_MASK] = np.asarray(group[_MASK])
    if _DETECTORS in group:
        spectra = group[_DETECTORS]
        found[_DETECTORS] = detector_spectra(json.loads(spectra.attrs["names"]), spectra[:])
    return found


def has_record(file: h5py.File) -> bool:
    """Whether MLATEM exported the file."""
    return _GROUP in file and file[_GROUP].attrs.get("schema") == SCHEMA


def read_origin(file: h5py.File) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """The vendor's tree, packed, and the raw files: what `write_record` was given."""
    group = file[_GROUP]
    return np.asarray(group["original_metadata"]), json.loads(group.attrs["source"])


def restored_image(
    image: SpectrumImage, record: Mapping[str, Any], *, keep_axes: bool = False
) -> SpectrumImage:
    """A spectrum image as it was exported, around the same counts.

    Parameters
    ----------
    image : SpectrumImage
        As HyperSpy's own part of the file tells it.
    record : mapping
        From `read_record`.
    keep_axes : bool, optional
        Keep the axes of `image`, and what it says of the pixels: the user gave them.
    """
    pixels = {k: v for k, v in image.attrs.items() if k.startswith("pixel_size")}
    y_nm, x_nm, energy = record["axes"]
    restored = replace(
        image,
        technique=record["technique"],
        acquisition=Acquisition.from_attrs(record["acquisition"]),
        name=record["name"],
        mask=record.get(_MASK),
        attrs={**record["details"], **(pixels if keep_axes else {})},
    )
    return restored if keep_axes else replace(restored, y_nm=y_nm, x_nm=x_nm, energy=energy)


def restored_survey(survey: xr.DataArray, record: Mapping[str, Any]) -> xr.DataArray:
    """A survey image as it was exported, around the same data."""
    y_nm, x_nm = record["axes"]
    return xr.DataArray(
        survey.to_numpy(),
        dims=("y", "x"),
        coords={"y": y_nm, "x": x_nm},
        name=record["name"],
        attrs=record["attrs"],
    )


def _fingerprint(signal: h5py.Group) -> str:
    """Hash of the axes and the metadata of a signal, and of shape and type of its data."""
    data = signal["data"]
    parts = [f"{data.shape} {data.dtype.str}"]

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        for key in sorted(node.attrs):
            parts.append(f"{name}@{key}={np.asarray(node.attrs[key]).tolist()!r}")
        if isinstance(node, h5py.Dataset):
            parts.append(f"{name}={np.asarray(node).tolist()!r}")

    for key in sorted(signal):
        if key == "metadata" or key.startswith("axis-"):
            note(key, signal[key])
            signal[key].visititems(note)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()
