# SPDX-License-Identifier: GPL-3.0-or-later
"""Velox's metadata as MLATEM's acquisition values, axes, and HyperSpy's tree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlatem.elements import SYMBOLS
from mlatem.errors import ReadError
from mlatem.io.formats.common import acquisition_values
from mlatem.io.formats.velox_file import VeloxMap
from mlatem.model import Acquisition

#: Largest relative difference between a detector's clock and the time of the scan.
TIME_TOLERANCE = 0.1


def detectors_of(stored: VeloxMap, path: Path) -> list[dict[str, Any]]:
    """Velox's records of the detectors whose events are in the streams.

    Raises
    ------
    ReadError
        If none is recorded, or they differ in their energy axes and cannot be summed.
    """
    names = {str(m["BinaryResult"].get("Detector", "")) for m in stored.stream_metadata} - {""}
    records = [
        dict(record)
        for record in stored.metadata.get("Detectors", {}).values()
        if "Dispersion" in record
        and any(str(record.get("DetectorName", "")).startswith(name) for name in names)
    ]
    axes = {(record.get("Dispersion"), record.get("OffsetEnergy")) for record in records}
    if len(axes) != 1:
        raise ReadError(
            str(path),
            f"{len(axes)} different energy axes for its detectors {sorted(names)}, expected one",
            "Export the map with one energy range for all detectors",
        )
    return records


def axes_of(
    metadata: Mapping[str, Any],
    detector: Mapping[str, Any],
    path: Path,
) -> list[dict[str, Any]]:
    """Axes y, x (as Velox gives them, in metres) and energy (keV).

    Raises
    ------
    ReadError
        If the pixel size or the energy axis is not stored.
    """
    result = metadata["BinaryResult"]
    try:
        size, offset, unit = result["PixelSize"], result["Offset"], result["PixelUnitX"]
        return [
            {"name": "y", "offset": offset["y"], "scale": size["height"], "units": unit},
            {"name": "x", "offset": offset["x"], "scale": size["width"], "units": unit},
            {
                "name": "energy",
                "offset": float(detector["OffsetEnergy"]) / 1e3,
                "scale": float(detector["Dispersion"]) / 1e3,
                "units": "keV",
            },
        ]
    except KeyError as error:
        raise ReadError(
            str(path), f"its metadata have no {error}", "Export the map again from Velox"
        ) from error


def acquisition_of(
    stored: VeloxMap, detectors: Sequence[Mapping[str, Any]], n_frames: int, n_pixels: int
) -> Acquisition:
    """Acquisition values that the file holds, of the detectors whose events it holds.

    The screen current stands for the beam current. Velox's "collection angle" is left out: some
    versions give it per detector, some for all.
    """
    metadata = stored.metadata
    azimuths = {record.get("AzimuthAngle") for record in detectors}
    names = [str(record.get("DetectorName", "")) for record in detectors]
    shared = instrument_values(metadata)
    entries: dict[str, Any] = {
        **shared,
        "n_frames": n_frames,
        "n_detectors": len(detectors),
        "elevation_deg": _degrees(detectors[0].get("ElevationAngle")),
        "azimuth_deg": _degrees(azimuths.pop()) if len(azimuths) == 1 else None,
        "detector": ", ".join(names),
        "signal_type": "EDS_TEM",
        **_times(stored, shared["dwell_time_s"], n_frames * n_pixels),
    }
    return acquisition_values(entries, origins={"signal_type": "default"})


def instrument_values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What Velox notes of the instrument with every signal; None or empty where it does not."""
    optics = metadata.get("Optics", {})
    instrument = metadata.get("Instrument", {})
    return {
        "beam_energy_kev": _scaled(optics.get("AccelerationVoltage"), 1e-3),
        "beam_current_na": _scaled(optics.get("LastMeasuredScreenCurrent"), 1e9),
        "convergence_mrad": _scaled(optics.get("BeamConvergence"), 1e3),
        "dwell_time_s": metadata.get("Scan", {}).get("DwellTime"),
        "stage_tilt_deg": _degrees(metadata.get("Stage", {}).get("AlphaTilt")),
        "microscope": " ".join(
            str(instrument[key])
            for key in ("InstrumentClass", "InstrumentModel")
            if instrument.get(key)
        ),
        "date": _date(metadata),
        "sample": metadata.get("Sample") if isinstance(metadata.get("Sample"), str) else None,
    }


def _times(stored: VeloxMap, dwell_time: Any, n_positions: int) -> dict[str, float]:
    """Live and real time of the map: the mean over its detectors.

    Velox notes the clocks at several moments; only those that cover the whole scan count.
    """
    expected = _scaled(dwell_time, n_positions)
    if not expected:
        return {}
    for metadata in (*stored.stream_metadata[-1:], stored.metadata):
        clocks = [
            (_scaled(record.get("RealTime"), 1.0), _scaled(record.get("LiveTime"), 1.0))
            for record in metadata.get("Detectors", {}).values()
            if "LiveTime" in record and "Dispersion" in record
        ]
        real = [r for r, _ in clocks if r]
        live = [t for _, t in clocks if t]
        if real and live and abs(np.mean(real) / expected - 1) <= TIME_TOLERANCE:
            return {"real_time_s": float(np.mean(real)), "live_time_s": float(np.mean(live))}
    return {}


def hyperspy_metadata(metadata: Mapping[str, Any], path: Path, n_frames: int) -> dict[str, Any]:
    """The metadata tree as HyperSpy names it, of values that the file holds."""
    elements = _picked_elements(metadata)
    date, _, time = (_date(metadata) or "").partition("T")
    tem = {
        "beam_energy": _scaled(metadata.get("Optics", {}).get("AccelerationVoltage"), 1e-3),
        "camera_length": _scaled(metadata.get("Optics", {}).get("CameraLength"), 1e3),
        "microscope": metadata.get("Instrument", {}).get("InstrumentClass"),
        "Stage": {"tilt_alpha": _degrees(metadata.get("Stage", {}).get("AlphaTilt"))},
        "Detector": {"EDS": {"number_of_frames": n_frames}},
    }
    general = {"title": "EDS", "original_filename": path.name, "date": date, "time": time}
    return {
        "General": {key: value for key, value in general.items() if value},
        "Signal": {"signal_type": "EDS_TEM"},
        **({"Sample": {"elements": elements}} if elements else {}),
        "Acquisition_instrument": {"TEM": {k: v for k, v in tem.items() if v is not None}},
    }


def _picked_elements(metadata: Mapping[str, Any]) -> list[str]:
    """Elements that the operator picked for the maps, wherever this version of Velox notes them."""
    numbers: set[int] = set()
    for section in ("Operations", "SharedProperties"):
        for name, entries in metadata.get(section, {}).items():
            if "Quantification" in name and isinstance(entries, Mapping):
                for entry in entries.values():
                    picked = entry.get("elementSelection") if isinstance(entry, Mapping) else None
                    numbers.update(int(number) for number in picked or ())
    return [SYMBOLS[n - 1] for n in sorted(numbers) if 0 < n <= len(SYMBOLS)]


def _scaled(value: Any, factor: float) -> float | None:
    return None if value in (None, "") else float(value) * factor


def _degrees(value: Any) -> float | None:
    return None if value in (None, "") else round(math.degrees(float(value)), 4)


def _date(metadata: Mapping[str, Any]) -> str | None:
    seconds = metadata.get("Acquisition", {}).get("AcquisitionStartDatetime", {}).get("DateTime")
    if not seconds or float(seconds) <= 0:
        return None
    return datetime.fromtimestamp(float(seconds), tz=UTC).isoformat(timespec="seconds")
