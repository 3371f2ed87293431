# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw files of any size, written block by block as the vendors' programs lay them out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

COUNTS_PER_PIXEL = 40.0
KEV_PER_CHANNEL = 0.01
NEXT_PIXEL = 65535
#: HyperSpy's own default for maps of this depth: chunks of about 1 MB, compressed.
HSPY_CHUNK_PIXELS = 15

_LINES = ((0.52, 3.0), (1.74, 5.0), (6.40, 2.0), (7.06, 0.3))


def rows(
    shape: tuple[int, int, int], seed: int = 0, counts_per_pixel: float = COUNTS_PER_PIXEL
) -> Iterator[np.ndarray]:
    """Poisson counts (nx, n_energy), uint16, row after row: lines on a background, 3 phases."""
    ny, nx, n_energy = shape
    random = np.random.default_rng(seed)
    energy = KEV_PER_CHANNEL * np.arange(n_energy)
    background = np.exp(-energy / 3.0)
    phases = []
    for kind in range(3):
        spectrum = 0.02 * background
        for index, (line, weight) in enumerate(_LINES):
            gain = 3.0 if index % 3 == kind else 1.0
            spectrum = spectrum + gain * weight * np.exp(-(((energy - line) / 0.06) ** 2))
        phases.append(np.cumsum(spectrum) / spectrum.sum())
    phase_of = (np.arange(nx) * 3) // max(nx, 1)
    for _ in range(ny):
        n_events = random.poisson(counts_per_pixel, nx)
        row = np.zeros((nx, n_energy), dtype=np.uint16)
        for kind, cumulative in enumerate(phases):
            pixels = np.repeat(*(part[phase_of == kind] for part in (np.arange(nx), n_events)))
            channels = np.searchsorted(cumulative, random.random(len(pixels)))
            np.add.at(row, (pixels, channels), 1)
        yield row


def write_ripple(path: Path, shape: tuple[int, int, int], seed: int = 0) -> Path:
    """A `.rpl` header and its `.raw` of uint16."""
    header = {
        "width": shape[1],
        "height": shape[0],
        "depth": shape[2],
        "offset": 0,
        "data-length": 2,
        "data-type": "unsigned",
        "byte-order": "little-endian",
        "record-by": "vector",
        "signal": "EDS_TEM",
        "depth-name": "Energy",
        "depth-scale": KEV_PER_CHANNEL,
        "depth-origin": 0.0,
        "depth-units": "keV",
        "width-name": "x",
        "width-scale": 2.0,
        "width-units": "nm",
        "height-name": "y",
        "height-scale": 2.0,
        "height-units": "nm",
        "beam-energy": 200.0,
    }
    lines = ["key\tvalue", *(f"{key}\t{value}" for key, value in header.items())]
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    with path.with_suffix(".raw").open("wb") as file:
        for row in rows(shape, seed):
            file.write(row.astype("<u2").tobytes())
    return path


def write_hspy(path: Path, shape: tuple[int, int, int], seed: int = 0) -> Path:
    """A `.hspy` of uint16 in compressed chunks."""
    side = HSPY_CHUNK_PIXELS
    with h5py.File(path, "w") as file:
        file.attrs.update(file_format="HyperSpy", file_format_version="3.3")
        group = file.create_group("Experiments/map")
        group.attrs.update(package="", package_version="")
        data = group.create_dataset(
            "data",
            shape=shape,
            dtype="u2",
            chunks=(min(side, shape[0]), min(side, shape[1]), shape[2]),
            compression="gzip",
        )
        for axis, (name, scale, units) in enumerate(
            (("y", 2.0, "nm"), ("x", 2.0, "nm"), ("Energy", KEV_PER_CHANNEL, "keV"))
        ):
            group.create_group(f"axis-{axis}").attrs.update(
                _type="UniformDataAxis",
                name=name,
                scale=scale,
                offset=0.0,
                size=shape[axis],
                units=units,
                navigate=axis < 2,
                is_binned=axis == 2,
            )
        tree = group.create_group("metadata")
        tree.create_group("General").attrs["title"] = "map"
        tree.create_group("Signal").attrs["signal_type"] = "EDS_TEM"
        tree.create_group("Acquisition_instrument/TEM").attrs["beam_energy"] = 200.0
        group.create_group("original_metadata").attrs["vendor"] = "synthetic"
        band: list[np.ndarray] = []
        for index, row in enumerate(rows(shape, seed), start=1):
            band.append(row)
            if len(band) == side or index == shape[0]:
                data[index - len(band) : index] = np.stack(band)
                band = []
    return path


def write_ncem(path: Path, shape: tuple[int, int, int], seed: int = 0) -> Path:
    """A NCEM `.emd` of uint16 in one piece, its axes listed whole."""
    with h5py.File(path, "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group("data/map")
        group.attrs.update(emd_group_type=1, signal_type="EDS_TEM")
        data = group.create_dataset("data", shape=shape, dtype="u2")
        for index, row in enumerate(rows(shape, seed)):
            data[index] = row
        axes = (("y", 2.0, "[n_m]"), ("x", 2.0, "[n_m]"), ("Energy", KEV_PER_CHANNEL, "[k_e_V]"))
        for number, (name, scale, units) in enumerate(axes, start=1):
            group[f"dim{number}"] = scale * np.arange(shape[number - 1])
            group[f"dim{number}"].attrs.update(name=name, units=units)
    return path


def write_velox(
    path: Path,
    shape: tuple[int, int, int],
    seed: int = 0,
    *,
    n_events: float | None = None,
    frames: int = 2,
    detectors: int = 1,
) -> Path:
    """A `.emd` with one event stream per detector and the HAADF image acquired with it.

    As Velox does it: a stream is uint16, the channel of every count in the order of the scan, and
    65535 where the probe moves on. `n_events` counts are spread evenly over detectors and frames.
    """
    ny, nx, n_channels = shape
    counts_per_pixel = COUNTS_PER_PIXEL if n_events is None else n_events / (ny * nx)
    share = counts_per_pixel / (frames * detectors)
    with h5py.File(path, "w") as file:
        text = h5py.string_dtype()
        version = json.dumps({"format": "Velox", "version": "7"})
        file.create_dataset("Version", data=[version], dtype=text)
        for name in ("Presentation/Displays/ImageDisplay", "Operations", "Features"):
            file.create_group(name)
        for index in range(detectors):
            group = file.create_group(f"Data/SpectrumStream/{index:032x}")
            stream = group.create_dataset(
                "Data", shape=(0, 1), maxshape=(None, 1), dtype="u2", chunks=(1 << 18, 1)
            )
            for frame in range(frames):
                for row in rows(shape, seed + 1000 * index + frame, share):
                    events = _events(row)
                    stream.resize(len(stream) + len(events), axis=0)
                    stream[-len(events) :, 0] = events
            settings = {"bincount": str(n_channels), "StreamEncoding": "uint16"}
            group.create_dataset("AcquisitionSettings", data=[json.dumps(settings)], dtype=text)
            _write_metadata(group, _velox_metadata("SuperXG21"))
        group = file.create_group(f"Data/SpectrumImage/{100:032x}")
        end = json.dumps({"endFramePosition": str(frames)})
        group.create_dataset("SpectrumImageSettings", data=[end], dtype=text)
        _write_metadata(group, _velox_metadata("SuperXG21"))
        group = file.create_group(f"Data/Image/{200:032x}")
        image = np.random.default_rng(seed).poisson(1000, (ny, nx, frames))
        group.create_dataset("Data", data=image.astype(np.uint16), chunks=(ny, nx, 1))
        _write_metadata(group, _velox_metadata("HAADF"))
    return path


def _events(row: np.ndarray) -> np.ndarray:
    """Channels of all counts of a row, every pixel closed by `NEXT_PIXEL`."""
    pixel, channel = np.nonzero(row)
    times = row[pixel, channel]
    pixel, channel = np.repeat(pixel, times), np.repeat(channel, times)
    ends = np.cumsum(np.bincount(pixel, minlength=len(row)))
    return np.insert(channel, ends, NEXT_PIXEL).astype(np.uint16)


def _write_metadata(group: h5py.Group, tree: dict[str, object]) -> None:
    encoded = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    table = np.zeros((len(encoded) + 10, 1), np.uint8)
    table[: len(encoded), 0] = encoded
    group["Metadata"] = table


def _velox_metadata(detector: str) -> dict[str, object]:
    analytical = {
        "DetectorName": "SuperXG21",
        "DetectorType": "AnalyticalDetector",
        "Dispersion": "10",
        "OffsetEnergy": "0",
        "ElevationAngle": "0.383972",
        "AzimuthAngle": "0.785398",
        "RealTime": "52.4",
        "LiveTime": "50.1",
    }
    return {
        "Core": {"MetadataDefinitionVersion": "7.9"},
        "BinaryResult": {
            "Detector": detector,
            "DetectorIndex": "0" if detector == "SuperXG21" else "1",
            "PixelSize": {"width": "2e-9", "height": "2e-9"},
            "Offset": {"x": "0", "y": "0"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "Optics": {"AccelerationVoltage": "200000", "CameraLength": "0.1"},
        "Scan": {"DwellTime": "1e-4", "FrameTime": "26.2"},
        "Stage": {"AlphaTilt": "0", "BetaTilt": "0", "Position": {"x": "0", "y": "0", "z": "0"}},
        "Instrument": {"InstrumentClass": "Talos"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
        "CustomProperties": {},
        "Detectors": {
            "Detector-0": analytical,
            "Detector-1": {"DetectorName": "HAADF", "DetectorType": "ScanningDetector"},
        },
    }
