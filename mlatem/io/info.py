# SPDX-License-Identifier: GPL-3.0-or-later
"""What a raw file or a store holds, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.io import labels
from mlatem.io.datasets import json_safe
from mlatem.io.read import open_raw
from mlatem.io.recognize import folder_suffixes
from mlatem.io.store import load_spectrum_image, open_store
from mlatem.model import SpectrumImage
from mlatem.model.acquisition import FIELDS
from mlatem.settings import Convert

#: Attributes of a spectrum image that are too long to show, or are shown elsewhere.
_HIDDEN = ("hyperspy_metadata", "detectors", "pixel_size_nm", "counts_per_stream")


def describe(
    path: str | PathLike[str],
    *,
    acquisition_overrides: Mapping[str, float | str | None] | None = None,
) -> dict[str, Any]:
    """Signals, axes, acquisition values and sources of a raw file or a store.

    Parameters
    ----------
    path : path-like
    acquisition_overrides : mapping, optional
        What takes precedence over a raw file, see `mlatem.io.read.open_raw`.

    Returns
    -------
    dict
        JSON-safe: `path`, `kind` ("raw file" or "store"), `signals` and `surveys` (lists), and
        `source`. Acquisition values come as `{"value": ..., "origin": ...}`; `total_counts` is
        there where it costs nothing to tell.

    Raises
    ------
    ReadError, StoreError
        If there is nothing to describe.
    """
    is_store = Path(path).is_dir() and Path(path).suffix.lower() not in folder_suffixes()
    found = _describe_store(path) if is_store else _describe_raw(path, acquisition_overrides)
    description: dict[str, Any] = json_safe({"path": str(path), **found})
    return description


def _describe_raw(
    path: str | PathLike[str], overrides: Mapping[str, float | str | None] | None
) -> dict[str, Any]:
    settings = Convert(hash_inputs=False)
    signals = open_raw(path, acquisition_overrides=overrides, settings=settings)
    images = []
    for image in signals.spectrum_images:
        total = None
        if isinstance(image.counts, np.ndarray) and not isinstance(image.counts, np.memmap):
            total = int(image.counts.sum(dtype=np.uint64))
        elif "counts_per_stream" in image.attrs:
            total = sum(image.attrs["counts_per_stream"])
        described = _describe_image(image, total)
        if image is signals.xray_map:
            described.update(_describe_detectors(signals.detector_spectra))
        images.append(described)
    return {
        "kind": "raw file",
        "signals": images,
        "surveys": [_describe_survey(survey) for survey in signals.surveys],
        "source": [dict(source) for source in signals.sources],
    }


def _describe_store(path: str | PathLike[str]) -> dict[str, Any]:
    tree = open_store(path)
    images: list[dict[str, Any]] = []
    surveys: list[dict[str, Any]] = []
    for name, group in tree.children.items():
        if labels.is_split(name):
            continue
        if "counts" in group.data_vars:
            image = load_spectrum_image(path, name)
            described = _describe_image(image, group["counts"].attrs["total_counts"])
            described.update(_describe_detectors(group.data_vars.get(labels.DETECTOR_SPECTRA)))
            images.append(described)
        elif name.startswith("survey"):
            surveys.extend(_describe_survey(survey) for survey in group.data_vars.values())
    kept_apart = {
        name: list(tree[name]["counts"].shape) for name in labels.SPLIT_GROUPS if name in tree
    }
    if kept_apart and images:
        images[0]["kept_apart"] = kept_apart
    return {
        "kind": "store",
        "signals": images,
        "surveys": surveys,
        "source": tree.attrs["source"],
    }


def _describe_image(image: SpectrumImage, total: int | float | None) -> dict[str, Any]:
    ny, nx, n_energy = image.shape
    description: dict[str, Any] = {
        "name": image.name,
        "technique": image.technique,
        "shape": [ny, nx, n_energy],
        "dtype": str(image.counts.dtype),
        "axes": {
            "y": _describe_axis(image.y_nm, "nm"),
            "x": _describe_axis(image.x_nm, "nm"),
            image.energy_name: _describe_axis(image.energy, image.energy_unit),
        },
    }
    if total is not None:
        description["total_counts"] = total
        description["counts_per_pixel"] = round(total / (ny * nx), 2)
    attrs = image.acquisition.to_attrs()
    description["acquisition"] = {name: attrs[name] for name in FIELDS if name in attrs}
    description["details"] = {k: v for k, v in image.attrs.items() if k not in _HIDDEN}
    return description


def _describe_detectors(spectra: xr.DataArray | None) -> dict[str, Any]:
    """Counts of each detector, where they are known."""
    if spectra is None:
        return {}
    totals = spectra.sum("energy").to_numpy()
    names = spectra["detector"].to_numpy()
    return {"counts_per_detector": {str(n): int(t) for n, t in zip(names, totals, strict=True)}}


def _describe_survey(survey: Any) -> dict[str, Any]:
    return {
        "name": survey.attrs.get("long_name") or str(survey.name),
        "shape": list(survey.shape),
        "dtype": str(survey.dtype),
        "axes": {axis: _describe_axis(survey[axis].values, "nm") for axis in ("y", "x")},
    }


def _describe_axis(values: NDArray[Any], units: str) -> str:
    step = f", step {np.diff(values).mean():.6g}" if len(values) > 1 else ""
    return f"{values[0]:.6g} to {values[-1]:.6g} {units}{step}"
