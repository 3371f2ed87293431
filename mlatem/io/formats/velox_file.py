# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Velox .emd file (HDF5) stores of its EDS map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from mlatem.errors import ReadError
from mlatem.io.event_streams import EventStream

_STREAMS = "Data/SpectrumStream"


@dataclass(frozen=True)
class VeloxMap:
    """The EDS map of a file, as stored."""

    streams: tuple[EventStream, ...]
    """Events of each detector (or of all in one stream), read where they are sliced."""
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

    @property
    def stream_names(self) -> list[str]:
        """The detector of each stream, as Velox calls it; empty where it does not."""
        return [str(m["BinaryResult"].get("Detector") or "") for m in self.stream_metadata]


def is_velox(path: Path) -> bool:
    """Whether an HDF5 file is laid out as Velox does it."""
    with h5py.File(path, "r") as file:
        version = file.get("Version")
        if not isinstance(version, h5py.Dataset) or "Data" not in file:
            return False
        return _json(version[0]).get("format") in ("Velox", "DevelopersKit")


def resident_bytes(path: Path) -> int:
    """Memory that the open map takes, whatever the length of its streams."""
    return sum(stream.nbytes for stream in _streams(path))


def content(path: Path) -> str:
    """Which signals a file holds, in words."""
    with h5py.File(path, "r") as file:
        groups = file["Data"].items()
        return ", ".join(f"{len(group)} {name}" for name, group in groups if len(group))


def has_only_images(path: Path) -> bool:
    """Whether a file holds images and no spectra of any kind."""
    with h5py.File(path, "r") as file:
        data = file["Data"]
        spectral = [name for name in data if "Spectrum" in name and len(data[name])]
        return len(data.get("Image", {})) > 0 and not spectral


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
            raise ReadError(
                str(path),
                f"holds no EDS spectrum image, only {content(path) or 'nothing'}",
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
            streams=_streams(path),
            metadata=column_json(maps[0]["Metadata"]),
            stream_metadata=tuple(column_json(group["Metadata"]) for group in groups),
            n_channels=n_channels.pop(),
            n_frames=_frames_of(maps[0]),
            image_shapes=tuple(
                dict.fromkeys(g["Data"].shape[:2] for g in data.get("Image", {}).values())
            ),
            spectrum_totals=tuple(int(g["Data"][:].sum()) for g in _spectra(data)),
        )


def _streams(path: Path) -> tuple[EventStream, ...]:
    with h5py.File(path, "r") as file:
        names = [group["Data"].name for group in file.get(_STREAMS, {}).values()]
    return tuple(EventStream(path, name) for name in names)


def _spectra(data: h5py.Group) -> list[h5py.Group]:
    return [group for group in data.get("Spectrum", {}).values() if "Data" in group]


def _frames_of(group: h5py.Group) -> int | None:
    if "SpectrumImageSettings" not in group:
        return None
    return int(_json(group["SpectrumImageSettings"][0]).get("endFramePosition", 0)) or None


def column_json(table: h5py.Dataset) -> dict[str, Any]:
    """The JSON that Velox keeps as one column of bytes a frame; the last one that is filled."""
    for column in range(table.shape[1] - 1, -1, -1):
        text = table[:, column].tobytes().split(b"\0")[0]
        if text.strip():
            return _json(text)
    return {}


def _json(text: bytes | str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    return parsed
