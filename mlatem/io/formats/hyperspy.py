# SPDX-License-Identifier: GPL-3.0-or-later
"""HyperSpy .hspy (HDF5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlatem.errors import ReadError
from mlatem.io.exact_json import expand
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
from mlatem.io.hspy_record import (
    read_origin,
    read_record,
    restored_image,
    restored_survey,
)
from mlatem.io.signals import RawSignals
from mlatem.io.views import HdfArray
from mlatem.model import Acquisition, SpectrumImage
from mlatem.model.acquisition import Origin


def is_hyperspy(path: Path) -> bool:
    """Whether an HDF5 file holds HyperSpy's experiments."""
    with h5py.File(path, "r") as file:
        return "Experiments" in file


def stored_data(path: Path) -> tuple[int, bool]:
    """Bytes of all signals of a file, and whether all are stored in chunks."""
    with h5py.File(path, "r") as file:
        arrays = [g["data"] for g in file["Experiments"].values() if "data" in g]
        n_bytes = sum(a.size * a.dtype.itemsize for a in arrays)
        return n_bytes, all(a.chunks is not None for a in arrays)


def detached(path: Path, file: h5py.File, found: Sequence[Signal]) -> list[dict[str, Any]]:
    """The reader's signals without ties to the open file: it stays free to be written or moved.

    Lazy counts become arrays that open the file where they are sliced; all metadata are loaded.
    """
    names = [name for name, group in file["Experiments"].items() if "data" in group]
    signals_by_name = zip(names, found, strict=True)
    return [
        {
            **signal,
            "data": signal["data"]
            if isinstance(signal["data"], np.ndarray)
            else HdfArray(path, f"Experiments/{name}/data"),
            "metadata": _loaded(signal["metadata"]),
            "original_metadata": _loaded(signal["original_metadata"]),
            "record": read_record(file, name),
        }
        for name, signal in signals_by_name
    ]


def _loaded(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _loaded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_loaded(value) for value in tree)
    return tree.compute() if hasattr(tree, "compute") else tree


def signals(path: Path, found: Sequence[Signal], overrides: AxisOverrides) -> RawSignals:
    """Normalise a HyperSpy file; counts stay in the file until they are sliced.

    Raises
    ------
    ReadError
        If there is no map of spectra.
    """
    maps = [s for s in found if _kind(s) == "map"]
    if not maps:
        raise ReadError(
            str(path),
            f"holds no spectrum image, only {', '.join(_describe(s) for s in found) or 'nothing'}",
            "Save a signal with two navigation axes and one energy axis",
        )
    plain = RawSignals(
        spectrum_images=tuple(_image(signal, path, overrides) for signal in maps),
        surveys=ordered_surveys([survey_image(s) for s in found if _kind(s) == "image"]),
        original_metadata=named_trees([(title_of(s), s["original_metadata"]) for s in found]),
        path=str(path),
        resident_bytes=sum(s["data"].nbytes for s in found if isinstance(s["data"], np.ndarray)),
    )
    return _as_exported(plain, path, found) if any(s.get("record") for s in found) else plain


def _image(signal: Signal, path: Path, overrides: AxisOverrides) -> SpectrumImage:
    image = spectrum_image(
        signal,
        str(path),
        energy_axis=_signal_axes(signal)[0],
        acquisition=acquisition_of_tree(signal["metadata"], from_exspy=True),
        overrides=overrides,
    )
    record = signal.get("record")
    if record is None:
        return image
    return restored_image(image, record, keep_axes=overrides != AxisOverrides())


def _as_exported(plain: RawSignals, path: Path, found: Sequence[Signal]) -> RawSignals:
    """Signals of a file that MLATEM exported: as they were before, as far as they still are."""
    with h5py.File(path, "r") as file:
        packed, sources = read_origin(file)
    surveys = []
    for signal in found:
        image = survey_image(signal) if _kind(signal) == "image" else None
        if image is not None:
            record = signal.get("record")
            surveys.append(image if record is None else restored_survey(image, record))
    records = [signal.get("record") or {} for signal in found]
    spectra = (r["detector_spectra"] for r in records if "detector_spectra" in r)
    return replace(
        plain,
        surveys=tuple(surveys),
        original_metadata=expand(packed),
        sources=tuple(sources),
        detector_spectra=next(spectra, None),
    )


def acquisition_of_tree(metadata: Mapping[str, Any], *, from_exspy: bool = False) -> Acquisition:
    """Acquisition values of HyperSpy's metadata tree.

    Parameters
    ----------
    metadata : mapping
    from_exspy : bool, optional
        Whether eXSpy wrote the tree, which puts in values of its own; they count as "default".
    """
    instruments = metadata.get("Acquisition_instrument", {})
    instrument = instruments.get("TEM") or instruments.get("SEM") or {}
    detectors = instrument.get("Detector", {})
    eds, eels = detectors.get("EDS", {}), detectors.get("EELS", {})
    general = metadata.get("General", {})
    date = "T".join(str(general[key]) for key in ("date", "time") if general.get(key))
    entries = {
        "beam_energy_kev": instrument.get("beam_energy"),
        "beam_current_na": instrument.get("beam_current"),
        "convergence_mrad": instrument.get("convergence_angle"),
        "collection_mrad": eels.get("collection_angle"),
        "microscope": instrument.get("microscope"),
        "stage_tilt_deg": instrument.get("Stage", {}).get("tilt_alpha"),
        "elevation_deg": eds.get("elevation_angle"),
        "azimuth_deg": eds.get("azimuth_angle"),
        "energy_resolution_ev": eds.get("energy_resolution_MnKa"),
        "live_time_s": eds.get("live_time"),
        "real_time_s": eds.get("real_time"),
        "dwell_time_s": eds.get("dwell_time") or eels.get("dwell_time"),
        "n_frames": eds.get("number_of_frames"),
        "detector": eds.get("detector_type") or eds.get("detector"),
        "signal_type": metadata.get("Signal", {}).get("signal_type"),
        "sample": metadata.get("Sample", {}).get("name"),
        "date": date,
    }
    return acquisition_values(entries, origins=_invented(entries) if from_exspy else None)


def _invented(entries: Mapping[str, Any]) -> dict[str, Origin]:
    """Values that eXSpy writes where nobody set any: they say nothing of the instrument.

    35 degrees is also the true elevation of common detectors, but not with an azimuth of zero.
    """
    invented: dict[str, Origin] = {}
    if entries["elevation_deg"] == 35.0 and entries["azimuth_deg"] in (None, 0.0):
        invented.update(elevation_deg="default", azimuth_deg="default")
    if entries["energy_resolution_ev"] == 130.0:
        invented["energy_resolution_ev"] = "default"
    return invented


def _signal_axes(signal: Signal) -> list[int]:
    return [i for i, axis in enumerate(signal["axes"]) if not axis.get("navigate", False)]


def _kind(signal: Signal) -> str:
    n_axes, n_signal = len(signal["axes"]), len(_signal_axes(signal))
    if n_axes == 3 and n_signal == 1:
        return "map"
    return "image" if n_axes == 2 and n_signal == 2 else "other"


def _describe(signal: Signal) -> str:
    shape = " x ".join(str(n) for n in signal["data"].shape)
    kind = {"image": "an image", "other": "an array"}[_kind(signal)]
    return f"{kind} of {shape} ({title_of(signal) or 'without title'})"
