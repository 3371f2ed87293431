# SPDX-License-Identifier: GPL-3.0-or-later
"""Velox (Thermo Fisher) .emd: EDS event streams and survey images.

The event streams are decoded here, tile by tile: the vendor reader decodes a whole cube at once and
takes the size of the scan from the last image of the file, which is wrong where a survey image of
another size lies beside the map.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.elements import SYMBOLS
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
from mlatem.io.signals import RawSignals
from mlatem.io.views import NEXT_PIXEL, StreamCube
from mlatem.model import Acquisition

_logger = logging.getLogger(__name__)

#: Largest part of a scan that may be missing before its size counts as unknown.
MAX_MISSING = 0.5
#: Largest relative difference between a detector's clock and the time of the scan.
TIME_TOLERANCE = 0.1


@dataclass(frozen=True)
class VeloxMap:
    """The EDS map of a file, as stored."""

    streams: tuple[NDArray[np.uint16], ...]
    """Events of each detector (or of all in one stream)."""
    metadata: Mapping[str, Any]
    """Velox's JSON of the map."""
    stream_metadata: tuple[Mapping[str, Any], ...]
    """Velox's JSON of each stream, as of its last frame."""
    n_channels: int
    n_frames: int | None
    """As the settings of the map say; None where they do not."""
    image_shapes: tuple[tuple[int, int], ...]
    """Sizes (ny, nx) of the images of the file, without repetition."""
    spectrum_totals: tuple[int, ...]
    """Counts of each stored spectrum, in any order; empty where the file has none."""


def is_velox(path: Path) -> bool:
    """Whether an HDF5 file is laid out as Velox does it."""
    with h5py.File(path, "r") as file:
        return "Version" in file and isinstance(file.get("Data"), h5py.Group)


def resident_bytes(path: Path) -> int:
    """Memory that the open map takes: its streams, and the positions of pixels while it opens."""
    with h5py.File(path, "r") as file:
        streams = file.get("Data/SpectrumStream", {}).values()
        return sum(int(s["Data"].shape[0]) for s in streams) * (2 + 8)


def load_map(path: Path) -> VeloxMap:
    """Read streams and metadata of a file.

    Raises
    ------
    ReadError
        If the file holds no EDS map, or a map without its event streams.
    """
    with h5py.File(path, "r") as file:
        data = file["Data"]
        groups = list(data.get("SpectrumStream", {}).values())
        maps = list(data.get("SpectrumImage", {}).values())
        if not maps:
            found = ", ".join(f"{len(group)} {name}" for name, group in data.items() if len(group))
            raise ReadError(
                str(path),
                f"holds no EDS spectrum image, only {found or 'nothing'}",
                "Export the map with its spectrum stream from Velox",
            )
        if not groups:
            raise ReadError(
                str(path),
                "its EDS map was pruned: the event streams are gone",
                "Export the map from Velox without pruning, or use the .bcf it was made from",
            )
        n_channels = {int(_json(g["AcquisitionSettings"][0])["bincount"]) for g in groups}
        if len(n_channels) > 1:
            raise ReadError(
                str(path),
                f"its detectors have different numbers of channels {sorted(n_channels)}",
                "Export the map with equal channels for all detectors",
            )
        return VeloxMap(
            streams=tuple(group["Data"][:, 0] for group in groups),
            metadata=_metadata(maps[0]),
            stream_metadata=tuple(_metadata(group) for group in groups),
            n_channels=n_channels.pop(),
            n_frames=_frames_of(maps[0]),
            image_shapes=tuple(
                dict.fromkeys(g["Data"].shape[:2] for g in data.get("Image", {}).values())
            ),
            spectrum_totals=tuple(int(g["Data"][:].sum()) for g in _spectra(data)),
        )


def signals(
    path: Path, stored: VeloxMap, images: Sequence[Signal], overrides: AxisOverrides
) -> RawSignals:
    """Normalise a Velox file.

    Parameters
    ----------
    path : Path
    stored : VeloxMap
    images : sequence of mapping
        Images as the vendor reader returns them, frames as a stack.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If the size of the map cannot be told, its energy axis is not stored, or the detectors' own
        spectra hold other counts than the map.
    """
    (ny, nx), n_frames = scan_shape(stored, path)
    _check_channels(stored, path)
    cube = StreamCube(stored.streams, (ny, nx, stored.n_channels), n_frames)
    _check_totals(stored, cube, path)
    detectors = _detectors(stored, path)
    tree = {**(images[0]["original_metadata"] if images else {}), **stored.metadata}
    signal = {
        "data": cube,
        "axes": _axes(stored.metadata, detectors[0], cube.shape, path),
        "metadata": _hyperspy_metadata(tree, path, n_frames),
    }
    image = spectrum_image(
        signal,
        str(path),
        energy_axis=2,
        acquisition=_acquisition(stored, detectors, n_frames, ny * nx),
        overrides=overrides,
    )
    details = {
        "detectors": detectors,
        "counts_per_stream": cube.totals,
        "counts_outside_frames": cube.n_dropped,
    }
    analytical = {str(d.get("DetectorName", "")) for d in detectors}
    return RawSignals(
        spectrum_images=(replace(image, attrs={**image.attrs, **details}),),
        surveys=ordered_surveys([_survey(i, analytical) for i in images]),
        original_metadata=named_trees(
            [("EDS", tree)]
            + [(f"EDS stream {k}", m) for k, m in enumerate(stored.stream_metadata, start=1)]
            + [(title_of(i), i["original_metadata"]) for i in images]
        ),
        path=str(path),
        resident_bytes=sum(stream.nbytes for stream in stored.streams),
    )


def scan_shape(stored: VeloxMap, path: Path) -> tuple[tuple[int, int], int]:
    """Rows and columns of the scan, and its frames, from the number of pixels in the streams.

    The images of the file are the candidates; the one that the streams fill best wins. A last
    frame, or a few pixels, may be missing.

    Raises
    ------
    ReadError
        If the streams fill none of the images.
    """
    pixels = max(int(np.count_nonzero(stream == NEXT_PIXEL)) for stream in stored.streams)
    best: tuple[float, tuple[int, int], int] | None = None
    for ny, nx in stored.image_shapes:
        n_frames = stored.n_frames or max(1, math.ceil((pixels - 1) / (ny * nx)))
        missing = abs(1.0 - pixels / (n_frames * ny * nx))
        if best is None or missing < best[0]:
            best = missing, (ny, nx), n_frames
    if best is None or best[0] > MAX_MISSING:
        sizes = ", ".join(f"{ny} x {nx}" for ny, nx in stored.image_shapes) or "none"
        raise ReadError(
            str(path),
            f"the size of the scan cannot be told: {pixels} pixels in the event stream, "
            f"{stored.n_frames or 'unknown'} frames, images of {sizes} pixels",
            "Export the finished map together with the image that was acquired with it",
        )
    missing, shape, n_frames = best
    if missing * n_frames * shape[0] * shape[1] > 1:
        _logger.warning(
            "%s: %d of %d pixels were recorded", path, pixels, n_frames * shape[0] * shape[1]
        )
    return shape, n_frames


def _check_channels(stored: VeloxMap, path: Path) -> None:
    for stream in stored.streams:
        invalid = np.count_nonzero((stream >= stored.n_channels) & (stream != NEXT_PIXEL))
        if invalid:
            raise ReadError(
                str(path),
                f"{invalid} events lie above the last of {stored.n_channels} channels",
                "The file is damaged: copy it again from the instrument",
            )


def _check_totals(stored: VeloxMap, cube: StreamCube, path: Path) -> None:
    """Where the file has the spectrum of each detector, its counts are those of the map."""
    if len(stored.spectrum_totals) != len(stored.streams):
        return
    dropped = cube.n_dropped
    found, expected = sum(cube.totals), sum(stored.spectrum_totals)
    if not found <= expected <= found + dropped:
        raise ReadError(
            str(path),
            f"the map holds {found} counts but the spectra of its {len(stored.streams)} detectors "
            f"hold {expected}",
            "The event streams are damaged: copy the file again from the instrument",
        )


def _detectors(stored: VeloxMap, path: Path) -> list[dict[str, Any]]:
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


def _axes(
    metadata: Mapping[str, Any],
    detector: Mapping[str, Any],
    shape: tuple[int, int, int],
    path: Path,
) -> list[dict[str, Any]]:
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


def _acquisition(
    stored: VeloxMap, detectors: Sequence[Mapping[str, Any]], n_frames: int, n_pixels: int
) -> Acquisition:
    metadata = stored.metadata
    optics, scan = metadata.get("Optics", {}), metadata.get("Scan", {})
    instrument = metadata.get("Instrument", {})
    azimuths = {record.get("AzimuthAngle") for record in detectors}
    names = [str(record.get("DetectorName", "")) for record in detectors]
    entries: dict[str, Any] = {
        "beam_energy_kev": _scaled(optics.get("AccelerationVoltage"), 1e-3),
        "beam_current_na": _scaled(optics.get("LastMeasuredScreenCurrent"), 1e9),
        "convergence_mrad": _scaled(optics.get("BeamConvergence"), 1e3),
        "dwell_time_s": scan.get("DwellTime"),
        "n_frames": n_frames,
        "n_detectors": len(detectors),
        "elevation_deg": _degrees(detectors[0].get("ElevationAngle")),
        "azimuth_deg": _degrees(azimuths.pop()) if len(azimuths) == 1 else None,
        "stage_tilt_deg": _degrees(metadata.get("Stage", {}).get("AlphaTilt")),
        "microscope": " ".join(
            str(instrument[key])
            for key in ("InstrumentClass", "InstrumentModel")
            if instrument.get(key)
        ),
        "detector": ", ".join(names),
        "signal_type": "EDS_TEM",
        "date": _date(metadata),
        "sample": metadata.get("Sample") if isinstance(metadata.get("Sample"), str) else None,
        **_times(stored, scan.get("DwellTime"), n_frames * n_pixels),
    }
    return acquisition_values(entries, origins={"signal_type": "default"})


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


def _hyperspy_metadata(metadata: Mapping[str, Any], path: Path, n_frames: int) -> dict[str, Any]:
    """The metadata tree as HyperSpy names it, of values that the file holds."""
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
        "Sample": {"elements": _picked_elements(metadata)},
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


def _survey(image: Signal, analytical: set[str]) -> xr.DataArray | None:
    """A survey image, its frames averaged; None for maps that were derived from spectra."""
    result = image["original_metadata"].get("BinaryResult", {})
    source, title = str(result.get("Detector") or ""), title_of(image)
    is_derived = title in SYMBOLS or "EELS" in title or "EELS" in source
    if is_derived or (source and any(name.startswith(source) for name in analytical)):
        return None
    data, axes = np.asarray(image["data"]), list(image["axes"])
    n_frames = 1
    if data.ndim == 3 and data.dtype.kind in "uif":
        n_frames = data.shape[0]
        data, axes = data.mean(axis=0, dtype=np.float64).astype(np.float32), axes[1:]
    return survey_image({**image, "data": data, "axes": axes}, {"n_frames_averaged": n_frames})


def _spectra(data: h5py.Group) -> list[h5py.Group]:
    return [group for group in data.get("Spectrum", {}).values() if "Data" in group]


def _frames_of(group: h5py.Group) -> int | None:
    if "SpectrumImageSettings" not in group:
        return None
    return int(_json(group["SpectrumImageSettings"][0]).get("endFramePosition", 0)) or None


def _metadata(group: h5py.Group) -> dict[str, Any]:
    """The JSON that Velox keeps as one column of bytes a frame; the last one that is filled."""
    table = group["Metadata"]
    for column in range(table.shape[1] - 1, -1, -1):
        text = table[:, column].tobytes().split(b"\0")[0]
        if text.strip():
            return _json(text)
    return {}


def _json(text: bytes | str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    return parsed


def _scaled(value: Any, factor: float) -> float | None:
    return None if value in (None, "") else float(value) * factor


def _degrees(value: Any) -> float | None:
    return None if value in (None, "") else round(math.degrees(float(value)), 4)


def _date(metadata: Mapping[str, Any]) -> str | None:
    seconds = metadata.get("Acquisition", {}).get("AcquisitionStartDatetime", {}).get("DateTime")
    if not seconds or float(seconds) <= 0:
        return None
    return datetime.fromtimestamp(float(seconds), tz=UTC).isoformat(timespec="seconds")
