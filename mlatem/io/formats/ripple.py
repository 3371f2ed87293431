# SPDX-License-Identifier: GPL-3.0-or-later
"""Ripple: a text header (.rpl) beside raw numbers (.raw)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlatem.errors import ReadError
from mlatem.io.formats.common import AxisOverrides, Signal, named_trees, spectrum_image, title_of
from mlatem.io.formats.hyperspy import acquisition_of_tree
from mlatem.io.signals import RawSignals

_DIMENSIONS = {"vector": ("height", "width", "depth"), "image": ("depth", "height", "width")}


def raw_file(path: Path) -> Path:
    """The .raw file beside a header.

    Raises
    ------
    ReadError
        If there is none.
    """
    for suffix in (".raw", ".RAW"):
        if path.with_suffix(suffix).is_file():
            return path.with_suffix(suffix)
    raise ReadError(
        str(path),
        f"there is no {path.with_suffix('.raw').name} beside it",
        "Put the .raw file, which holds the counts, into the same folder under the same name",
    )


def signals(path: Path, signal: Signal, overrides: AxisOverrides) -> RawSignals:
    """Normalise a Ripple file; counts stay a memory map of the .raw file.

    Parameters
    ----------
    path : Path
        The header.
    signal : mapping
        As the vendor reader returns it; of its data only the header's values are used.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If header and raw file do not fit together, or the data are no map of spectra.
    """
    header = {str(key).lower(): value for key, value in signal["original_metadata"].items()}
    record_by = str(header.get("record-by"))
    if record_by not in _DIMENSIONS:
        raise ReadError(
            str(path),
            f"holds an image (record-by {record_by}), not a spectrum image",
            "A map has width, height and depth, and `record-by vector` (or `image`)",
        )
    dimensions = _DIMENSIONS[record_by]
    shape = tuple(int(header[name]) for name in dimensions)
    raw = _checked_raw_file(path, header, shape)
    data = np.memmap(
        raw, dtype=_dtype(header), mode="r", offset=int(header.get("offset", 0)), shape=shape
    )
    image = spectrum_image(
        {**signal, "data": data, "axes": [_axis(header, name) for name in dimensions]},
        str(path),
        energy_axis=dimensions.index("depth"),
        acquisition=acquisition_of_tree(signal["metadata"]),
        overrides=overrides,
    )
    return RawSignals(
        spectrum_images=(image,),
        original_metadata=named_trees([(title_of(signal) or "Ripple", header)]),
        path=str(path),
    )


def _dtype(header: Mapping[str, Any]) -> np.dtype[Any]:
    kind = {"signed": "i", "unsigned": "u", "float": "f"}[str(header["data-type"])]
    order = {"big-endian": ">", "little-endian": "<"}.get(str(header.get("byte-order")), "=")
    return np.dtype(f"{order}{kind}{int(header['data-length'])}")


def _axis(header: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Axis of a dimension; `ev-per-chan` is all that the original format knows."""
    units = str(header.get(f"{name}-units") or "").replace("<undefined>", "")
    scale = header.get(f"{name}-scale")
    if name == "depth" and not units and "ev-per-chan" in header:
        units, scale = "eV", header["ev-per-chan"]
    return {
        "name": header.get(f"{name}-name", name),
        "offset": header.get(f"{name}-origin"),
        "scale": scale,
        "units": units,
    }


def _checked_raw_file(path: Path, header: Mapping[str, Any], shape: tuple[int, ...]) -> Path:
    item, offset = int(header["data-length"]), int(header.get("offset", 0))
    expected = math.prod(shape) * item + offset
    raw = raw_file(path)
    found = raw.stat().st_size
    if found != expected or expected == offset:
        raise ReadError(
            str(path),
            f"{raw.name} has {found} bytes, but {header['height']} x {header['width']} pixels of "
            f"{header['depth']} channels of {item} bytes after {offset} bytes make {expected}",
            "Copy both files again, or mend width, height, depth, data-length or offset",
        )
    return raw
