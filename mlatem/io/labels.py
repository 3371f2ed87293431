# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, units and attributes of the groups of a store, and the way back to records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlatem.io.datasets import json_safe
from mlatem.io.exact_json import compress, expand
from mlatem.io.layout import plan_layout
from mlatem.io.signals import RawSignals
from mlatem.model import Acquisition, SpectrumImage

SCHEMA = "mlatem-spim/1"
CONVENTIONS = "CF-1.11"
SURVEY = "survey"
ORIGINAL_METADATA = "original_metadata"
#: Groups with the counts of each detector and of each frame, and their first axis.
SPLIT_GROUPS = {"edxs_detectors": "detector", "edxs_frames": "frame"}
DETECTOR = "detector"
#: Variable of the X-ray map's group: sum spectrum of each detector (detector, energy).
DETECTOR_SPECTRA = "detector_spectra"
#: Variable of a spectrum image's group: True in pixels that are left out.
MASK = "mask"
_MASK_ATTRS = {"units": "1", "long_name": "pixels that are left out"}
#: Variable of the first survey image, whatever the detector; `long_name` tells which it was.
SURVEY_VARIABLE = "haadf"


def spectrum_frame(image: SpectrumImage) -> xr.Dataset:
    """Coordinates, mask and attributes of a spectrum image, without its counts."""
    spectral = (
        ("photon energy", image.energy_unit)
        if image.technique == "edxs"
        else ("energy loss", image.energy_unit)
    )
    masks = {}
    if image.mask is not None:
        # Chunks like the shards of the counts, with which it is opened.
        layout = {"chunks": plan_layout(image.shape).shards[:2]}
        masks[MASK] = xr.Variable(("y", "x"), image.mask, _MASK_ATTRS, layout)
    return xr.Dataset(
        masks,
        coords={
            "y": ("y", np.asarray(image.y_nm), {"units": "nm", "long_name": "row position"}),
            "x": ("x", np.asarray(image.x_nm), {"units": "nm", "long_name": "column position"}),
            image.energy_name: (
                image.energy_name,
                np.asarray(image.energy),
                {"units": spectral[1], "long_name": spectral[0]},
            ),
        },
        attrs=json_safe(
            {
                "name": image.name,
                "technique": image.technique,
                "acquisition": image.acquisition.to_attrs(),
                "details": dict(image.attrs),
            }
        ),
    )


def spectrum_groups(signals: RawSignals) -> dict[str, xr.Dataset]:
    """Coordinates and attributes of all groups with counts, and the spectra of the detectors."""
    groups: dict[str, xr.Dataset] = {}
    for group, image in zip(signals.group_names, signals.spectrum_images, strict=True):
        frame = spectrum_frame(image)
        groups[group] = frame
        if image is not signals.xray_map:
            continue
        if signals.detector_spectra is not None:
            spectra = signals.detector_spectra.assign_attrs(
                units="1", long_name="sum spectrum of each detector"
            )
            groups[group] = frame.assign({DETECTOR_SPECTRA: spectra})
        for split in signals.splits:
            groups[split.group] = frame.assign_coords(
                {split.axis: (split.axis, list(split.labels))}
            )
    return groups


def is_split(group: str) -> bool:
    """Whether a group holds the counts of each detector or frame, with one more axis."""
    return group in SPLIT_GROUPS


def with_portable_names(frame: xr.Dataset) -> xr.Dataset:
    """The names of detectors as text of variable length: that of fixed length has no standard."""
    if DETECTOR not in frame.coords:
        return frame
    return frame.assign_coords({DETECTOR: frame[DETECTOR].astype(np.dtypes.StringDType())})


def with_plain_names(frame: xr.Dataset) -> xr.Dataset:
    """The inverse of `with_portable_names`."""
    if DETECTOR not in frame.coords:
        return frame
    names = np.array(frame[DETECTOR].to_numpy().tolist(), dtype=str)
    return frame.assign_coords({DETECTOR: (DETECTOR, names)})


def counts_attrs(total: float) -> dict[str, Any]:
    """Attributes of the variable `counts`."""
    whole = int(total) if float(total).is_integer() else float(total)
    return {"units": "1", "long_name": "detected counts", "total_counts": whole}


def image_from_frame(frame: xr.Dataset, counts: Any) -> SpectrumImage:
    """The inverse of `spectrum_frame`, with the counts given."""
    technique = frame.attrs["technique"]
    spectral = "energy" if technique == "edxs" else "energy_loss"
    mask = frame[MASK].transpose("y", "x", missing_dims="ignore") if MASK in frame else None
    return SpectrumImage(
        counts=counts,
        energy=np.asarray(frame[spectral].values, dtype=float),
        y_nm=np.asarray(frame["y"].values, dtype=float),
        x_nm=np.asarray(frame["x"].values, dtype=float),
        technique=technique,
        acquisition=Acquisition.from_attrs(frame.attrs["acquisition"]),
        name=frame.attrs["name"],
        attrs=frame.attrs["details"],
        mask=None if mask is None else mask.to_numpy().astype(bool),
    )


def survey_groups(surveys: tuple[xr.DataArray, ...]) -> dict[str, xr.Dataset]:
    """Survey images by group: "survey" holds the first and all others of its grid.

    Images of another size or pixel size get groups "survey_2", "survey_3"...: none is resampled.
    """
    groups: dict[str, xr.Dataset] = {}
    for survey in surveys:
        image = survey.copy()
        image.attrs = json_safe({"units": "1", **survey.attrs, "long_name": str(survey.name or "")})
        for name, group in groups.items():
            if all(np.array_equal(group[axis], image[axis]) for axis in ("y", "x")):
                groups[name] = group.assign({_free_name(group, str(survey.name)): image})
                break
        else:
            name = SURVEY if not groups else f"{SURVEY}_{len(groups) + 1}"
            groups[name] = xr.Dataset({SURVEY_VARIABLE: image})
    for group in groups.values():
        for axis in ("y", "x"):
            group[axis].attrs = {"units": "nm"}
    return groups


def original_metadata_frame(tree: Mapping[str, Any]) -> xr.Dataset:
    """The vendor's metadata as compressed JSON, exact (see `mlatem.io.exact_json`)."""
    return xr.Dataset(
        {"json": ("byte", compress(tree))},
        attrs={"format": "zlib-compressed UTF-8 JSON", "long_name": "vendor metadata, exact"},
    )


def original_metadata(frame: xr.Dataset) -> Any:
    """The vendor's metadata tree: the inverse of `original_metadata_frame`."""
    return expand(np.asarray(frame["json"].values, dtype=np.uint8))


def root_attrs(signals: RawSignals) -> dict[str, Any]:
    """Attributes of the store as a whole."""
    attrs: dict[str, Any] = json_safe(
        {
            "schema": SCHEMA,
            "Conventions": CONVENTIONS,
            "source": [dict(source) for source in signals.sources],
        }
    )
    return attrs


def _free_name(group: xr.Dataset, title: str) -> str:
    """A variable name made of an image's title that the group does not have yet."""
    stem = re.sub(r"\W+", "_", title.lower()).strip("_") or "image"
    name, number = stem, 2
    while name in group:
        name, number = f"{stem}_{number}", number + 1
    return name
