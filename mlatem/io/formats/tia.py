# SPDX-License-Identifier: GPL-3.0-or-later
"""TIA (FEI Tecnai and Titan): .ser files with the counts, an .emi file with their metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    acquisition_values,
    ordered_surveys,
    spectrum_image,
    survey_image,
)
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.formats.mapping import Table, mapped_metadata, tag
from mlatem.io.formats.tia_file import Dimension, SerCube, SerFile, first_image, read_ser
from mlatem.io.identity import Identity
from mlatem.io.signals import RawSignals
from mlatem.model import Acquisition, SpectrumImage, Value

#: Energy-loss spectra have finer channels than this, X-ray spectra coarser ones.
MAX_EELS_DISPERSION_EV = 2.5

Trees = Mapping[str, Mapping[str, Any]]


def ser_files(path: Path) -> list[Path]:
    """The .ser files of an .emi file, in the order of their numbers; of a .ser file, itself.

    Raises
    ------
    ReadError
        If there is none beside an .emi file.
    """
    if path.suffix.lower() == ".ser":
        return [path]
    numbered = {
        int(found.group(1)): sibling
        for sibling in sorted(path.parent.iterdir())
        if (found := re.fullmatch(re.escape(path.stem) + r"_(\d+)\.ser", sibling.name, re.I))
    }
    if not numbered:
        raise ReadError(
            str(path),
            f"there is no {path.stem}_1.ser beside it",
            "Put the .ser files, which hold the counts, into the same folder",
        )
    return [numbered[number] for number in sorted(numbered)]


def emi_file(path: Path) -> tuple[Path, int] | None:
    """The .emi file of a .ser file and which of its objects describes it; None without one."""
    found = re.fullmatch(r"(.*)_(\d+)", path.stem)
    if found is None:
        return None
    for suffix in (".emi", ".EMI"):
        candidate = path.with_name(found.group(1) + suffix)
        if candidate.is_file():
            return candidate, int(found.group(2)) - 1
    return None


def siblings(path: Path) -> list[Path]:
    """All .ser files of the .emi file of a .ser file; itself where there is no .emi file."""
    found = emi_file(path)
    return [path] if found is None else ser_files(found[0])


def companions(path: Path) -> list[Path]:
    """The .ser files of an .emi file, or the .emi file of a .ser file."""
    if path.suffix.lower() == ".ser":
        found = emi_file(path)
        return [found[0]] if found else []
    return ser_files(path)


def signals(path: Path, trees: Trees, table: Table, overrides: AxisOverrides) -> RawSignals:
    """Normalise TIA files; counts stay in the file until they are sliced.

    Parameters
    ----------
    path : Path
        The .emi file, which stands for all its .ser files, or one .ser file.
    trees : mapping
        The vendor's metadata of each .ser file, by the file's name.
    table : mapping
        The vendor reader's, see `mapped_metadata`.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If a file is damaged, or none holds a map of spectra or an image.
    """
    maps: list[SpectrumImage] = []
    surveys: list[xr.DataArray | None] = []
    held: list[str] = []
    original: dict[str, Any] = {}
    for file in ser_files(path):
        ser = read_ser(file)
        original[file.name] = {**trees.get(file.name, {}), "ser_header": ser.tree()}
        held.append(f"{_describe(ser)} ({file.name})")
        tree = mapped_metadata({"General": {"title": file.stem}}, trees.get(file.name, {}), table)
        if ser.has_spectra and len(ser.dimensions) == 2:
            maps.append(_map(ser, trees.get(file.name, {}), tree, overrides))
        elif not ser.has_spectra and ser.n_records == 1:
            surveys.append(_survey(ser, tree))
    if not maps and not surveys:
        raise ReadError(
            str(path),
            f"holds no spectrum image, only {'; '.join(held)}",
            "Name the file of the spectrum image, saved from TIA",
        )
    return RawSignals(
        spectrum_images=tuple(maps),
        surveys=ordered_surveys(surveys),
        original_metadata=original,
        path=str(path),
        holds="; ".join(held),
        identity=_identity(path),
    )


def _identity(path: Path) -> Identity | None:
    """A .ser file belongs to the others of its .emi file; an .emi file stands for all of them."""
    if path.suffix.lower() != ".ser":
        return None
    others = {str(file.absolute()) for file in siblings(path) if file.name != path.name}
    return Identity(own=frozenset({str(path.absolute())}), points_to=frozenset(others))


def _map(
    ser: SerFile, original: Mapping[str, Any], tree: dict[str, Any], overrides: AxisOverrides
) -> SpectrumImage:
    x, y = ser.dimensions
    _check_order(ser)
    dispersion = float(ser.record["delta"])
    # Neither the .ser nor the .emi file says which spectrometer recorded the map.
    kind = "EELS" if abs(dispersion) < MAX_EELS_DISPERSION_EV else "EDS_TEM"
    tree["Signal"] = {"signal_type": kind}
    offset = float(ser.record["offset"]) - dispersion * int(ser.record["element"])
    energy = {"name": "energy", "offset": offset, "scale": dispersion, "units": "eV"}
    found = acquisition_of_tree(tree)
    date = _date(tag(original, "ObjectInfo.AcquireDate")) or _first_time(ser)
    known = acquisition_values({"date": date})
    guessed = {"signal_type": Value(kind, "default")}
    image = spectrum_image(
        {
            "data": SerCube(ser, (y.size, x.size)),
            "axes": [_axis("y", y), _axis("x", x), energy],
            "metadata": tree,
        },
        str(ser.path),
        energy_axis=2,
        acquisition=Acquisition({**found.values_by_name, **known.values_by_name, **guessed}),
        overrides=overrides,
    )
    details: dict[str, Any] = {
        "dispersion_ev": dispersion,
        "energy_filter_aperture": tag(
            original, "ObjectInfo.ExperimentalDescription.Filter selected aperture"
        ),
    }
    if len(ser.offsets) < ser.n_records:
        sentence = (
            f"{len(ser.offsets)} of {ser.n_records} pixels were recorded, the others are zero: "
            "the acquisition was interrupted"
        )
        details["warnings"] = [sentence]
    present = {name: value for name, value in details.items() if value is not None}
    return replace(image, attrs={**image.attrs, **present})


def _check_order(ser: SerFile) -> None:
    """The first dimension is x and changes fastest, and there is a record for each pixel."""
    x, y = ser.dimensions
    if x.size * y.size != ser.n_records:
        raise ReadError(
            str(ser.path),
            f"{ser.n_records} spectra for a scan of {y.size} x {x.size} pixels",
            "Export the map again from TIA",
        )
    if ser.positions is None or len(ser.positions) < 2 or x.size < 2:
        return
    step = ser.positions[1]
    if abs(step["x"] - ser.positions[0]["x"]) < abs(step["y"] - ser.positions[0]["y"]):
        raise ReadError(
            str(ser.path),
            "was scanned column by column, which is not read",
            "Export the map as Ripple, or ask for it with this file as an example",
        )


def _survey(ser: SerFile, tree: Mapping[str, Any]) -> xr.DataArray | None:
    pixels, (y, x) = first_image(ser)
    return survey_image({"data": pixels, "axes": [_axis("y", y), _axis("x", x)], "metadata": tree})


def _axis(name: str, dimension: Dimension) -> dict[str, Any]:
    units = "m" if dimension.units == "meters" else dimension.units
    return {
        "name": name,
        "offset": dimension.offset,
        "scale": dimension.delta,
        "units": units,
    }


def _date(text: Any) -> str | None:
    """A date such as "Mon Feb 22 11:55:58 2016" as ISO text; None for one of another form."""
    try:
        return datetime.strptime(str(text), "%a %b %d %H:%M:%S %Y").isoformat()
    except ValueError:
        return None


def _first_time(ser: SerFile) -> str | None:
    """When the first record was written, as the .ser file itself has it (seconds since 1970)."""
    seconds = np.ravel(ser.tree().get("time_s", ()))
    if not len(seconds) or not seconds[0] > 0:
        return None
    return datetime.fromtimestamp(int(seconds[0]), tz=UTC).isoformat()


def _describe(ser: SerFile) -> str:
    sizes = " x ".join(str(d.size) for d in reversed(ser.dimensions)) or "1"
    if not ser.has_spectra:
        pixels = f"{int(ser.record['ny'])} x {int(ser.record['nx'])} pixels"
        return f"an image of {pixels}" if ser.n_records == 1 else f"{sizes} images of {pixels}"
    channels = f"{int(ser.record['length'])} channels"
    if len(ser.dimensions) == 2:
        return f"a spectrum image of {sizes} pixels and {channels}"
    return f"a series or line scan of {sizes} spectra of {channels}"
