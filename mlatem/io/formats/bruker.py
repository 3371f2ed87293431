# SPDX-License-Identifier: GPL-3.0-or-later
"""Bruker Esprit .bcf: one EDS map and images of other detectors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from mlatem.kernels.bruker_stream import first_fault
from mlatem.model import Acquisition

_logger = logging.getLogger(__name__)

#: Part of the counts of the stored sum spectrum that the map may lack. Good files lack up to 7e-4:
#: counts of the last line, which the sum has and the map has not.
MAX_LOST = 0.005
#: What the vendor reader calls a map without a name.
NO_NAME = "Undefined"


def signals(
    path: Path,
    signal: Signal,
    images: Sequence[Signal],
    sum_spectrum: NDArray[Any],
    overrides: AxisOverrides,
) -> RawSignals:
    """Normalise a .bcf file.

    Parameters
    ----------
    path : Path
    signal : mapping
        The map, as the vendor reader returns it.
    images : sequence of mapping
    sum_spectrum : ndarray of shape (n_channels,)
        Stored in the header beside the map.
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If the map lacks counts of the sum spectrum.
    """
    signal = _with_own_width(signal)
    check_sum(signal["data"], sum_spectrum, path)
    image = spectrum_image(
        signal,
        str(path),
        energy_axis=2,
        acquisition=_acquisition(signal),
        overrides=overrides,
    )
    return RawSignals(
        spectrum_images=(image,),
        surveys=ordered_surveys([survey_image(i) for i in images]),
        original_metadata=named_trees(
            [(title_of(s), s["original_metadata"]) for s in (signal, *images)]
        ),
        path=str(path),
        resident_bytes=int(image.counts.size * image.counts.dtype.itemsize),
    )


def check_single_map(path: Path, n_maps: int) -> None:
    """A file may hold a stack of maps, of which the vendor reader returns the first only.

    Raises
    ------
    ReadError
        If there is not exactly one.
    """
    if n_maps != 1:
        raise ReadError(
            str(path),
            f"holds {n_maps} spectrum images, expected one",
            "Export every map to a file of its own from Esprit",
        )


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


def _acquisition(signal: Signal) -> Acquisition:
    tree, metadata = signal["original_metadata"], signal["metadata"]
    analysis, hardware = tree.get("Analysis", {}), tree.get("Hardware", {})
    microscope, stage = tree.get("Microscope", {}), tree.get("Stage", {})
    general = metadata.get("General", {})
    instrument: Mapping[str, Any] = next(
        iter(metadata.get("Acquisition_instrument", {}).values()), {}
    )
    detector = instrument.get("Detector", {}).get("EDS", {})
    sample = metadata.get("Sample", {}).get("name")
    date = "T".join(str(general[key]) for key in ("date", "time") if general.get(key))
    entries = {
        "beam_energy_kev": microscope.get("HV") or analysis.get("PrimaryEnergy"),
        "elevation_deg": analysis.get("ElevationAngle"),
        "azimuth_deg": analysis.get("AzimutAngle"),
        "stage_tilt_deg": stage.get("Tilt"),
        "real_time_s": detector.get("real_time"),
        "live_time_s": detector.get("live_time"),
        "n_detectors": hardware.get("DetectorCount"),
        "detector": detector.get("detector_type"),
        "signal_type": metadata.get("Signal", {}).get("signal_type"),
        "sample": None if sample == NO_NAME else sample,
        "date": date,
    }
    # Whether the instrument is a SEM or a TEM is a guess from the beam energy.
    return acquisition_values(entries, origins={"signal_type": "default"})
