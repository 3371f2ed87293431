# SPDX-License-Identifier: GPL-3.0-or-later
"""Bruker Esprit .bcf: the map of one or several X-ray detectors, and images of other ones.

The header counts its detectors (`DetectorCount`) and has a sum spectrum (`SpectrumData0`, ...) of
each beside the map of the same number: the maps of a file are one scan, seen by several detectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.bruker_metadata import acquisition_of, shared
from mlatem.io.formats.common import (
    AxisOverrides,
    Signal,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
    title_of,
)
from mlatem.io.formats.frames import split_detectors
from mlatem.io.signals import RawSignals, detector_spectra, unique_names
from mlatem.kernels.bruker_stream import first_fault
from mlatem.model import SpectrumImage
from mlatem.settings import Convert

_logger = logging.getLogger(__name__)

#: Part of the counts of the stored sum spectrum that the map may lack. Good files lack up to 7e-4:
#: counts of the last line, which the sum has and the map has not.
MAX_LOST = 0.005
#: Part of a channel by which the axes of detectors that are added up may differ: of channels of
#: 10 eV 1 eV, next to lines of 60 eV and more.
MAX_SHIFT = 0.1


@dataclass(frozen=True)
class DetectorMap:
    """What one X-ray detector saw."""

    signal: Signal
    """As the vendor reader returns it."""
    sum_spectrum: NDArray[Any]
    """Stored in the header beside the map, shape (n_channels,)."""

    @property
    def name(self) -> str:
        """Type of the detector, as the header has it; empty where it has none."""
        return str(self.signal["original_metadata"].get("Detector", {}).get("Type") or "")


def signals(
    path: Path,
    maps: Iterable[DetectorMap],
    images: Sequence[Signal],
    overrides: AxisOverrides,
    settings: Convert,
) -> RawSignals:
    """Normalise a .bcf file.

    Parameters
    ----------
    path : Path
    maps : iterable of DetectorMap
        Taken one after the other and added up.
    images : sequence of mapping
    overrides : AxisOverrides
    settings : settings.Convert
        Whether the detectors are kept apart too.

    Raises
    ------
    ReadError
        If a map lacks counts of its sum spectrum, or the axes of the detectors differ.
    """
    found: list[dict[str, Any]] = []
    parts: list[Any] = []
    spectra, names = [], []
    total: Any = None
    for map_ in maps:
        signal = _with_own_width(map_.signal)
        counts = signal.pop("data")
        check_sum(counts, map_.sum_spectrum, path)
        found.append(signal)
        names.append(map_.name)
        check_same_axes(found[0]["axes"], signal["axes"], len(found), path)
        spectra.append(counts.sum(axis=(0, 1), dtype=np.uint64))
        total = counts if total is None else _added(total, counts)
        parts.append(counts if settings.separate_detectors else None)

    def image_of(counts: Any) -> SpectrumImage:
        return spectrum_image(
            {**found[0], "data": counts},
            str(path),
            energy_axis=2,
            acquisition=shared([acquisition_of(signal) for signal in found]),
            overrides=overrides,
        )

    image = image_of(total)
    detectors = unique_names(names)
    splits = split_detectors(settings, detectors, lambda index: image_of(parts[index]).counts)
    return RawSignals(
        spectrum_images=(image,),
        surveys=ordered_surveys([survey_image(i) for i in images]),
        original_metadata=named_trees(
            [(title_of(s), s["original_metadata"]) for s in (*found, *images)]
        ),
        path=str(path),
        resident_bytes=total.nbytes + sum(p.nbytes for split in splits for p in split.parts),
        detector_spectra=detector_spectra(detectors, spectra),
        splits=splits,
    )


def check_same_axes(
    first: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], number: int, path: Path
) -> None:
    """Channels of several detectors may be added up only where they mean the same energies.

    Parameters
    ----------
    first, other : sequence of mapping
        Axes of the first detector and of the one of that number.
    number : int
    path : Path

    Raises
    ------
    ReadError
        If the axes differ by more than `MAX_SHIFT` of a channel, naming both.
    """
    for one, two in zip(first, other, strict=True):
        step, n = float(one["scale"]), int(one["size"])
        start = float(two["offset"]) - float(one["offset"])
        end = start + (n - 1) * (float(two["scale"]) - step)
        if n != two["size"] or max(abs(start), abs(end)) > MAX_SHIFT * abs(step):
            raise ReadError(
                str(path),
                f"its X-ray detectors differ in the axis {one['name']}: detector 1 has "
                f"{_axis_words(one)}, detector {number} {_axis_words(two)}, and their sum would be "
                "blurred",
                "Export the map of each detector to a file of its own from Esprit, and make a "
                "dataset of each",
            )


def _axis_words(axis: Mapping[str, Any]) -> str:
    unit = axis["units"]
    return f"{axis['size']} x {axis['scale']:.6g} {unit} from {axis['offset']:.6g} {unit}"


def _added(total: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
    """The sum of two maps in the smallest type that surely holds it."""
    largest = int(total.max(initial=0)) + int(counts.max(initial=0))
    added: NDArray[Any] = np.add(total, counts, dtype=np.min_scalar_type(largest))
    return added


def check_stream(
    path: Path, blocks: Iterable[bytes], block_size: int, n_rows: int, n_columns: int
) -> None:
    """See that the packed spectra are whole before the vendor reader follows their sizes.

    It checks none of them, and writes outside of the map in a damaged file.

    Parameters
    ----------
    path : Path
    blocks : iterable of bytes
        The packed spectra.
    block_size : int
        Bytes of every block but the last.
    n_rows, n_columns : int
        Of the map.

    Raises
    ------
    ReadError
        Where they contradict themselves, with the place.
    """
    parts = list(blocks)
    sizes = [len(part) for part in parts]
    if not all(size == block_size for size in sizes[:-1]) or sizes[-1] > block_size:
        place = next((i for i, size in enumerate(sizes) if size != block_size), len(sizes))
        fault = f"block {place} of {len(sizes)}"
    else:
        stream = np.frombuffer(b"".join(parts), dtype=np.uint8)
        position = int(first_fault(stream, n_rows, n_columns, block_size))
        if position < 0:
            return
        fault = f"byte {position} of {len(stream)}"
    raise ReadError(
        str(path),
        f"its packed spectra contradict themselves at {fault}",
        "The file is damaged: copy it again from the instrument",
    )


def has_overflow(counts: NDArray[Any], sum_spectrum: NDArray[Any]) -> bool:
    """Whether counts wrapped around in a type that the reader chose too small.

    It guesses the type from the mean of the map. A wrap loses whole multiples of the type's range
    in a channel.
    """
    lost = _lost(counts, sum_spectrum)
    return bool(np.any(lost >= 2 ** (8 * counts.dtype.itemsize)))


def check_sum(counts: NDArray[Any], sum_spectrum: NDArray[Any], path: Path) -> None:
    """Compare the counts of the map with those of the sum spectrum in the header.

    Raises
    ------
    ReadError
        If the map holds more counts, or clearly fewer.
    """
    found, expected = int(counts.sum(dtype=np.uint64)), int(sum_spectrum.sum())
    if expected and not (1 - MAX_LOST) * expected <= found <= (1 + MAX_LOST) * expected:
        raise ReadError(
            str(path),
            f"the map holds {found} counts but the sum spectrum of the same file {expected}",
            "The file is damaged: copy it again from the instrument",
        )
    if found != expected:
        _logger.info("%s: map %d counts, stored sum spectrum %d", path, found, expected)


def _lost(counts: NDArray[Any], sum_spectrum: NDArray[Any]) -> NDArray[np.int64]:
    size = min(counts.shape[2], len(sum_spectrum))
    found = counts.sum(axis=(0, 1), dtype=np.int64)[:size]
    lost: NDArray[np.int64] = np.asarray(sum_spectrum[:size], dtype=np.int64) - found
    return lost


def _with_own_width(signal: Signal) -> dict[str, Any]:
    """The vendor reader gives the height of a pixel for its width too; take the file's."""
    width = signal["original_metadata"].get("Microscope", {}).get("DX")
    axes = [dict(axis) for axis in signal["axes"]]
    if width is not None:
        axes[1]["scale"] = float(width)
    return {**signal, "axes": axes}
