# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of a few pixels in formats that no vendor file is at hand for, after their descriptions.

For tests and `fuzz_readers.py`. All hold `COUNTS`; `samples.py` writes files of any size.
"""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

COUNTS = np.random.default_rng(5).poisson(0.5, (5, 7, 32)).astype("<u2")
#: keV; pixels are 3 nm high and 2 nm wide.
ENERGY = -0.1 + 0.02 * np.arange(32)
#: An electron image on a grid of its own.
SURVEY = np.arange(12.0).reshape(3, 4)

#: PantaRhei lists the fastest axis first; offsets are in pixels.
PANTARHEI_METADATA: dict[str, Any] = {
    "type": "3D",
    "content.types": ["Energy", "ScanX", "ScanY"],
    "device.calib": [
        {"unit": "eV", "value": 0.5, "offset": 200.0},
        {"unit": "m", "value": 2e-9, "offset": 0.0},
        {"unit": "m", "value": 3e-9, "offset": 0.0},
    ],
    "electron_gun.voltage": 80000,
    "condenser.convergence_semi_angle": 0.025,
    "repo_id": "map.0",
    "acquisition.time": "2024-05-01T10:00:00",
}


def write_ncem(
    path: Path,
    *,
    order: str = "yxE",
    names: bool = True,
    whole_axes: bool = True,
    units: str = "[k_e_V]",
    **attrs: Any,
) -> Path:
    """A NCEM .emd with a map and an image; HyperSpy writes neither names nor whole axes."""
    axes = {"y": (10, 3, 5, "[n_m]"), "x": (20, 2, 7, "nm"), "E": (-0.1, 0.02, 32, units)}
    with h5py.File(path, "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        file.create_group("microscope").attrs["name"] = "TEAM 0.5"
        group = file.create_group("data/map")
        group.attrs.update(emd_group_type=1, **attrs)
        group["data"] = COUNTS.transpose(["yxE".index(letter) for letter in order])
        for number, letter in enumerate(order, start=1):
            offset, scale, size, unit = axes[letter]
            dim = group.create_dataset(
                f"dim{number}", data=offset + scale * np.arange(size if whole_axes else 2)
            )
            dim.attrs["name"] = {"E": "Energy"}.get(letter, letter) if names else ""
            dim.attrs["units"] = unit
        image = file.create_group("data/HAADF")
        image.attrs["emd_group_type"] = 1
        image["data"] = SURVEY
        for number, name in enumerate("yx", start=1):
            dim = image.create_dataset(f"dim{number}", data=np.arange(2.0))
            dim.attrs.update(name=name, units="nm")
    return path


def write_nexus(
    path: Path, *, old: bool = False, hyperspy: bool = True, group_class: str = "NXentry"
) -> Path:
    """A NeXus file as RosettaSciIO writes it, or with the marks of files before 2014."""
    axes = {"y": (10, 3, 5, "nm"), "x": (20, 2, 7, "nm"), "energy": (-0.1, 0.02, 32, "keV")}
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry1")
        entry.attrs["NX_class"] = np.bytes_(group_class)
        group = entry.create_group("map")
        group.attrs["NX_class"] = np.bytes_("NXdata")
        data = group.create_dataset("data", data=COUNTS, chunks=(2, 7, 32), compression="gzip")
        if old:
            data.attrs["signal"] = 1
            data.attrs["axes"] = "y:x:energy"
        else:
            group.attrs["signal"] = np.bytes_("data")
            group.attrs["axes"] = np.array(list(axes), dtype="S")
        for index, (name, (offset, scale, size, unit)) in enumerate(axes.items()):
            group[name] = offset + scale * np.arange(size)
            group[name].attrs["units"] = unit
            if not old:
                group.attrs[f"{name}_indices"] = np.array([index])
        if hyperspy:
            tree = entry.create_group("auxiliary/hyperspy_metadata")
            tree["Signal/signal_type"] = "EDS_TEM"
            tree["Acquisition_instrument/TEM/beam_energy"] = 200.0
        entry["circle"] = h5py.SoftLink("/entry1")
    return path


def write_zspy(path: Path, *, separator: str = "/", counts: np.ndarray = COUNTS) -> Path:
    """A .zspy folder."""
    store = zarr.storage.LocalStore(path)
    root = zarr.create_group(store, zarr_format=2)
    root.attrs.update(file_format="ZSpy", file_format_version="3.3")
    group = root.create_group("Experiments/map")
    array = group.create_array(
        "data",
        shape=counts.shape,
        chunks=(3, 4, 32),
        dtype=counts.dtype,
        chunk_key_encoding={"name": "v2", "separator": separator},
        config={"write_empty_chunks": True},
    )
    array[:] = counts
    axes = [("y", 10.0, 3.0, "nm"), ("x", 20.0, 2.0, "nm"), ("Energy", -0.1, 0.02, "keV")]
    for number, (name, offset, scale, units) in enumerate(axes):
        group.create_group(f"axis-{number}").attrs.update(
            _type="UniformDataAxis",
            name=name,
            offset=offset,
            scale=scale,
            units=units,
            size=counts.shape[number],
            navigate=name != "Energy",
        )
    tree = group.create_group("metadata")
    tree.create_group("General").attrs.update(title="map", notes="_None_")
    tree.create_group("Signal").attrs["signal_type"] = "EDS_TEM"
    tree.create_group("Acquisition_instrument/TEM").attrs["beam_energy"] = 200.0
    sample = tree.create_group("Sample")
    sample.create_array("_list_thickness", data=np.array([1.0, 2.0]))
    sample.create_group("_list_2_parts").create_group("0").attrs["a"] = 1
    sample["_list_2_parts"].create_group("1").attrs["_list_empty_b"] = "_None_"
    group.create_group("original_metadata").attrs["vendor"] = "by hand"
    return path


def zipped(folder: Path) -> Path:
    """A .zspy folder as a zip file beside it."""
    path = folder.with_name("zipped.zspy")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def write_oxford(
    path: Path, *, techniques: tuple[str, ...] = ("EDS",), spectra: bool = True, n_pixels: int = 35
) -> Path:
    """An .h5oina with its spectra and an electron image."""
    y, x = np.mgrid[:5, :7]
    header = {
        "X Cells": np.int32(7),
        "Y Cells": np.int32(5),
        "X Step": np.float32(0.002),
        "Y Step": np.float32(0.003),
        "Beam Voltage": np.float32(20),
        "Channel Width": np.float32(20),
        "Start Channel": np.float32(-100),
        "Number Channels": np.int32(32),
        "Number Frames": np.int32(4),
        "Detector Elevation": np.float32(np.radians(35)),
    }
    with h5py.File(path, "w") as file:
        file["Manufacturer"] = ["Oxford Instruments"]
        file["Format Version"] = ["7.0"]
        file["Index"] = ["1"]
        for technique in techniques:
            group = file.create_group(f"1/{technique}")
            for name, value in header.items():
                group[f"Header/{name}"] = np.full((1, 1), value)
            group["Header/Acquisition Date"] = ["2024-03-01T12:00:00"]
            group["Header/Specimen Label"] = ["Granite"]
            group["Data/X"] = (0.002 * x).reshape(-1, 1)[:n_pixels].astype("f4")
            group["Data/Y"] = (0.003 * y).reshape(-1, 1)[:n_pixels].astype("f4")
            group["Data/Live Time"] = np.full((n_pixels, 1), 0.01, "f4")
            if spectra:
                group.create_dataset(
                    "Data/Spectrum",
                    data=COUNTS.reshape(35, 32)[:n_pixels].astype(np.int32),
                    chunks=(8, 32),
                    compression="lzf",
                )
        image = file.create_group("1/Electron Image")
        for name, value in {"X Cells": 4, "Y Cells": 3, "X Step": 0.01, "Y Step": 0.01}.items():
            image[f"Header/{name}"] = np.full((1, 1), value)
        image["Data/SE/Electron Image 1"] = SURVEY.reshape(-1, 1)
    return path


def write_spd(
    folder: Path,
    *,
    spc: bool = True,
    ipr: str | None = "map_Img.ipr",
    n_spectra: int = 35,
    cut: int = 0,
) -> Path:
    """An EDAX .spd with its .spc and .ipr, their fields at the published positions."""
    path = folder / "map.spd"
    header = struct.pack("<16s8i120s", b"MAPSPECTRA_DATA", 1, n_spectra, 7, 5, 32, 2, 1100, 1, b"")
    header = header[:48] + rb"C:\EDAX\map_Img.bmp".ljust(120, b"\0")
    content = header.ljust(1100, b"\0") + COUNTS.tobytes()
    path.write_bytes(content[: len(content) - cut])
    if spc:
        fields = bytearray(20996)
        for offset, kind, value in (
            (0, "<f", 0.70),
            (384, "<i", 20),  # eV per channel
            (448, "<f", -0.1),  # start, keV
            (456, "<f", 12.5),  # live time
            (460, "<f", 3.0),  # tilt
            (472, "<f", 129.5),  # resolution
            (508, "<f", 45.0),  # azimuth
            (512, "<f", 36.0),  # elevation
            (532, "<f", 20.0),  # beam energy, keV
        ):
            struct.pack_into(kind, fields, offset, value)
        struct.pack_into("<h2H", fields, 638, 2, 8, 14)  # picked elements
        path.with_suffix(".spc").write_bytes(fields)
    if ipr:
        fields = bytearray(252)
        struct.pack_into("<H", fields, 0, 333)
        struct.pack_into("<2f", fields, 64, 0.002, 0.003)  # micrometres per pixel in x and y
        (folder / ipr).write_bytes(fields)
    return path


def write_prz(
    path: Path,
    counts: np.ndarray = COUNTS,
    *,
    compressed: bool = False,
    pickled: bool = False,
    **changes: Any,
) -> Path:
    """A PantaRhei .prz; `changes` to its metadata."""
    metadata = {**PANTARHEI_METADATA, **changes}
    arrays = {"data": counts, "file_format_version": 2}
    if pickled:
        arrays["meta_data"] = np.array([metadata], dtype=object)
    else:
        arrays["meta_data_json"] = json.dumps([metadata])
    with path.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return path
