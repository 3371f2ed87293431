# SPDX-License-Identifier: GPL-3.0-or-later
"""Gatan DigitalMicrograph .dm3 and .dm4: EELS and EDS spectrum images.

The files store the energy axis first; it is turned to the end where counts are sliced. The vendor
reader gives metadata and axes, the counts are read from the file a part at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    Signal,
    acquisition_values,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
    title_of,
)
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.formats.mapping import mapped_metadata, tag
from mlatem.io.identity import Identity
from mlatem.io.mapped import MappedArray
from mlatem.io.signals import RawSignals
from mlatem.io.suspicions import suspicions_of
from mlatem.model import Acquisition, SpectrumImage
from mlatem.units import KEV_PER_UNIT

_IMAGE = "ImageList.TagGroup0"


def signals(path: Path, found: Sequence[Signal], overrides: AxisOverrides) -> RawSignals:
    """Normalise a DigitalMicrograph file; counts stay in the file until they are sliced.

    Parameters
    ----------
    path : Path
    found : sequence of mapping
        As the vendor reader returns them; of their data only shape and type are used.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If the file holds neither a map of spectra nor an image, or ends before its counts do.
    """
    stored = [{**signal, "data": _stored(path, signal)} for signal in found]
    kinds = [_kind(signal) for signal in stored]
    holds = "; ".join(_describe(s, k) for s, k in zip(stored, kinds, strict=True)) or "nothing"
    if not {"map", "image"} & set(kinds):
        raise ReadError(
            str(path),
            f"holds no spectrum image, only {holds}",
            "Name the file of the spectrum image, saved from DigitalMicrograph",
        )
    return RawSignals(
        spectrum_images=tuple(
            _map(path, s, overrides) for s, kind in zip(stored, kinds, strict=True) if kind == "map"
        ),
        surveys=ordered_surveys(
            [survey_image(s) for s, kind in zip(stored, kinds, strict=True) if kind == "image"]
        ),
        original_metadata=named_trees([(title_of(s), s["original_metadata"]) for s in stored]),
        path=str(path),
        holds=holds,
        identity=identity_of([s["original_metadata"] for s in stored]),
    )


def identity_of(trees: Sequence[Mapping[str, Any]]) -> Identity:
    """Which acquisition the images of a file are of.

    DigitalMicrograph writes an experiment's ID of name, date and time into all files that it saves
    of an acquisition, and into a spectrum image the unique numbers of its survey image and of the
    other range of a double acquisition.
    """
    experiments, own, points_to = set(), set(), set()
    starts = []
    for tree in trees:
        image = tag(tree, _IMAGE) or {}
        tags = tag(image, "ImageTags") or {}
        keywords = tag(tags, "Meta Data.Experiment keywords") or {}
        experiments |= {str(k["Experiment ID"]) for k in keywords.values() if _has_id(k)}
        own |= _number(tag(image, "UniqueID"))
        for place in (
            "SI.Acquisition.Survey Image.UID",
            "EELS.Acquisition.Dual acquire sibling.UID",
        ):
            points_to |= _number(tag(tags, place))
        day, time = (tag(tags, f"SI.Acquisition.{part}") for part in ("Date", "Start time"))
        starts += [f"{day} {time}"] if day and time else []
    started = starts[0] if starts else None
    return Identity(frozenset(experiments), frozenset(own), frozenset(points_to), started)


def _has_id(keyword: Any) -> bool:
    return isinstance(keyword, Mapping) and bool(keyword.get("Experiment ID"))


def _number(parts: Any) -> set[str]:
    """A unique number of four parts as one text; none where a part is missing or all are zero."""
    values = list(parts.values()) if isinstance(parts, Mapping) else []
    return {"-".join(map(str, values))} if len(values) == 4 and any(values) else set()


def acquisition_of(tree: Mapping[str, Any], tags: Mapping[str, Any]) -> Acquisition:
    """Acquisition values of a signal.

    Parameters
    ----------
    tree : mapping
        HyperSpy's metadata, from the vendor reader's own table.
    tags : mapping
        The signal's ImageTags, for what that table does not find in maps.
    """
    microscope = tag(tags, "Session Info.Microscope") or tag(tags, "Microscope Info.Name")
    eds = tag(tags, "EDS") or {}
    entries = {
        "dwell_time_s": tag(tags, "SI.Acquisition.Pixel time (s)") or _exposure(tags),
        "n_frames": tag(tags, "SI.Acquisition.Number of cycles"),
        "microscope": None if microscope == "Unknown" else microscope,
        "detector": tag(tags, "EELS Spectrometer.Instrument name")
        or tag(eds, "Detector Info.Detector type"),
        "elevation_deg": tag(eds, "Detector Info.Elevation angle"),
        "azimuth_deg": tag(eds, "Detector Info.Azimuthal angle"),
        "solid_angle_sr": tag(eds, "Detector Info.Solid angle"),
        "sample": tag(tags, "Session Info.Specimen"),
        "live_time_s": tag(eds, "Live time"),
        "real_time_s": tag(eds, "Real time"),
    }
    found = acquisition_values(entries)
    return Acquisition({**acquisition_of_tree(tree).values_by_name, **found.values_by_name})


def _map(path: Path, signal: Signal, overrides: AxisOverrides) -> SpectrumImage:
    tags = tag(signal["original_metadata"], f"{_IMAGE}.ImageTags") or {}
    tree = mapped_metadata(
        signal["metadata"], signal["original_metadata"], signal.get("mapping", {})
    )
    image = spectrum_image(
        {**signal, "metadata": tree},
        str(path),
        energy_axis=_energy_axes(signal)[0],
        acquisition=acquisition_of(tree, tags),
        overrides=overrides,
    )
    warnings: list[str] = []
    if image.technique == "eels" and _energy_axes(signal)[0] == 0:
        warnings = suspicions_of(signal["data"])
    brightness = tag(signal["original_metadata"], f"{_IMAGE}.ImageData.Calibrations.Brightness")
    details = {
        "dispersion_ev": _dispersion_ev(image),
        "exposure_s": _exposure(tags),
        "energy_filter": tag(tags, "EELS Spectrometer.Instrument name"),
        "aperture": tag(tags, "EELS Spectrometer.Aperture label"),
        "intensity_scale": tag(brightness, "Scale"),
        "intensity_origin": tag(brightness, "Origin"),
        "intensity_units": tag(brightness, "Units"),
        "warnings": warnings,
    }
    present = {name: value for name, value in details.items() if value not in (None, [])}
    return replace(image, attrs={**image.attrs, **present})


def _stored(path: Path, signal: Signal) -> Any:
    """The counts as they lie in the file; what is no plain number stays as the reader has it."""
    data = signal["data"]
    place = tag(signal["original_metadata"], f"{_IMAGE}.ImageData.Data")
    if data.dtype.kind not in "uif" or not isinstance(place, Mapping) or "offset" not in place:
        return data
    order = ">" if place.get("endian") == "big" else "<"
    return MappedArray(path, data.dtype.newbyteorder(order), data.shape, place["offset"])


def _energy_axes(signal: Signal) -> list[int]:
    """Axes in units of energy, else the first axis of what the file calls a spectrum image."""
    axes = [i for i, axis in enumerate(signal["axes"]) if axis.get("units") in KEV_PER_UNIT]
    form = tag(signal["original_metadata"], f"{_IMAGE}.ImageTags.Meta Data.Format")
    return axes or ([0] if form == "Spectrum image" and len(signal["axes"]) == 3 else [])


def _kind(signal: Signal) -> str:
    n_axes, n_energy = len(signal["axes"]), len(_energy_axes(signal))
    names = {(3, 1): "map", (2, 0): "image", (2, 1): "line scan", (1, 1): "spectrum"}
    return names.get((n_axes, n_energy), "array")


def _describe(signal: Signal, kind: str) -> str:
    shape = " x ".join(str(n) for n in signal["data"].shape)
    words = {
        "map": f"a spectrum image of {shape}",
        "image": f"an image of {shape} pixels",
        "line scan": f"a line scan of {shape}",
        "spectrum": f"a single spectrum of {shape} channels",
        "array": f"an array of {shape} without an energy axis",
    }
    return f"{words[kind]} ({title_of(signal) or 'without title'})"


def _exposure(tags: Mapping[str, Any]) -> float | None:
    """Exposure of one spectrum in s, all its camera frames together."""
    exposure = tag(tags, "EELS.Acquisition.Exposure (s)")
    frames = tag(tags, "EELS.Acquisition.Number of frames")
    return None if exposure is None else float(exposure) * float(frames or 1)


def _dispersion_ev(image: SpectrumImage) -> float | None:
    if len(image.energy) < 2:
        return None
    step = float(image.energy[1] - image.energy[0])
    return round(step * (1e3 if image.technique == "edxs" else 1.0), 9)
