# SPDX-License-Identifier: GPL-3.0-or-later
"""JEOL Analysis Station .pts: an EDS map as the stream of its events.

The stream is decoded here, tile by tile, and what it holds is compared with what the header tells:
the vendor reader makes the whole cube, and leaves out without a word what a cut file lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.common import (
    AxisOverrides,
    acquisition_values,
    spectrum_image,
    survey_image,
)
from mlatem.io.formats.frames import chosen_frames, details_of, of_chosen, split_frames
from mlatem.io.formats.jeol_file import PtsFile, number, scan_shape
from mlatem.io.formats.jeol_stream import FULL_RANGE, Frame, FrameCube, electron_image, frames_of
from mlatem.io.signals import Frames, RawSignals
from mlatem.kernels import jeol_words
from mlatem.model import Acquisition, SpectrumImage
from mlatem.settings import Convert

_DAMAGED = "The file is damaged: copy it again from the instrument"
#: Highest beam energy of scanning electron microscopes, keV.
MAX_SEM_KEV = 30.0


@dataclass(frozen=True)
class Recorded:
    """The frames of a stream that make up the map, and what is to be said of the others."""

    frames: tuple[Frame, ...]
    n_whole: int
    is_complete: bool
    """Every count of the acquisition is in the map."""
    warnings: tuple[str, ...]


def signals(path: Path, file: PtsFile, overrides: AxisOverrides, settings: Convert) -> RawSignals:
    """Normalise a .pts file.

    Parameters
    ----------
    path : Path
    file : PtsFile
    overrides : AxisOverrides
    settings : settings.Convert
        Which frames are summed, of those that make up the map, and whether they are kept apart too.

    Raises
    ------
    ReadError
        If the stream holds no counts, is damaged so that no whole frame is left, or has not all
        frames that are asked for.
    """
    shape = scan_shape(file, path)
    recorded = recorded_frames(file, shape, path)
    n_frames = len(recorded.frames)
    frames = chosen_frames(settings, n_frames, path)
    summed = recorded.frames[frames.start : frames.stop]
    cube = FrameCube(file.words, summed, shape)
    axes, metadata = _axes(file, shape), _hyperspy_metadata(file, path)
    acquisition = of_chosen(_acquisition(file, recorded), frames, n_frames)

    def image_of(counts: FrameCube) -> SpectrumImage:
        return spectrum_image(
            {"data": counts, "axes": axes, "metadata": metadata},
            str(path),
            energy_axis=2,
            acquisition=acquisition,
            overrides=overrides,
        )

    image = image_of(cube)
    details: dict[str, Any] = {"counts_per_stream": [sum(f.n_counts for f in summed)]}
    details.update(details_of(frames, n_frames))
    if recorded.warnings:
        details["warnings"] = list(recorded.warnings)
    survey = _survey(electron_image(file.words, summed, shape), axes)
    return RawSignals(
        spectrum_images=(replace(image, attrs={**image.attrs, **details}),),
        surveys=() if survey is None else (survey,),
        original_metadata={path.name: file.header},
        path=str(path),
        resident_bytes=cube.nbytes,
        splits=split_frames(
            settings,
            frames,
            lambda i: image_of(FrameCube(file.words, recorded.frames[i : i + 1], shape)).counts,
        ),
        frames=Frames(
            len(summed),
            cube.totals_of,
            lambda moves: image_of(cube.moved(moves)).counts,
            _image_of(file, summed, shape),
            "electron image",
        ),
        n_frames=n_frames,
    )


def _image_of(
    file: PtsFile, frames: Sequence[Frame], shape: tuple[int, int]
) -> Callable[[int], NDArray[np.float32]] | None:
    """The electron image of each frame, where all have one."""

    def image_of(i: int) -> NDArray[np.float32]:
        image = electron_image(file.words, frames[i : i + 1], shape)
        return np.zeros(shape, np.float32) if image is None else image

    return image_of if all(frame.n_image for frame in frames) else None


def recorded_frames(file: PtsFile, shape: tuple[int, int], path: Path) -> Recorded:
    """Choose the frames to sum: all that are whole, else what there is of an interrupted one.

    Raises
    ------
    ReadError
        If there are no counts, or no whole frame in a stream that is cut or damaged.
    """
    frames = frames_of(file.words, shape)
    if not any(frame.n_counts for frame in frames):
        raise ReadError(str(path), "its event stream holds no counts", "Export the map again")
    whole = tuple(frame for frame in frames if frame.is_whole(shape))
    n_damaged = sum(frame.n_damaged for frame in frames)
    if not whole and (file.is_cut or n_damaged):
        raise ReadError(
            str(path),
            f"holds no whole frame of {shape[0]} x {shape[1]} pixels: {_extent(file)}, and "
            f"{n_damaged} of its words do not belong there",
            _DAMAGED,
        )
    chosen = whole or tuple(frames)
    left_out = [frame for frame in frames if not any(frame is kept for kept in chosen)]
    warnings = [
        *_warn_of_length(file, len(whole)),
        *_warn_of_frames(file, shape, chosen, left_out),
        *_warn_of_words(file, frames),
    ]
    is_complete = not (file.is_cut or left_out or n_damaged or len(frames) < file.n_sweeps)
    if not is_complete:
        warnings.append(
            "the live and real time of the file cover the whole acquisition and are not taken "
            "over: give live_time_s where it matters"
        )
    return Recorded(chosen, len(whole), is_complete, tuple(warnings))


def _warn_of_length(file: PtsFile, n_whole: int) -> list[str]:
    if not file.is_cut:
        return []
    return [
        f"the file was cut: {_extent(file)}, and {n_whole} of {file.n_sweeps} frames are whole: "
        "copy it again from the instrument"
    ]


def _warn_of_frames(
    file: PtsFile, shape: tuple[int, int], chosen: Sequence[Frame], left_out: Sequence[Frame]
) -> list[str]:
    found = []
    for frame in chosen:
        if not frame.is_whole(shape):
            found.append(
                f"the acquisition was interrupted: rows {frame.first_row + 1} to "
                f"{frame.last_row + 1} of {shape[0]} were scanned, the others hold no counts"
            )
    if left_out:
        n_counts = sum(frame.n_counts for frame in left_out)
        last = left_out[-1]
        found.append(
            f"frames left out because they are not whole: {len(left_out)} of "
            f"{len(chosen) + len(left_out)}, with {n_counts} counts; the last ends in row "
            f"{last.last_row + 1} of {shape[0]}"
        )
    n_frames = len(chosen) + len(left_out)
    if n_frames < file.n_sweeps and not file.is_cut:
        found.append(f"the stream holds {n_frames} of the {file.n_sweeps} frames of the header")
    return found


def _warn_of_words(file: PtsFile, frames: Sequence[Frame]) -> list[str]:
    found = []
    n_damaged = sum(frame.n_damaged for frame in frames)
    if n_damaged:
        found.append(
            f"{n_damaged} of {len(file.words)} words of the stream are damaged, which costs the "
            "frames that they lie in: copy the file again from the instrument"
        )
    n_foreign = sum(frame.n_foreign for frame in frames)
    if n_foreign:
        found.append(f"{n_foreign} words of the stream are of unknown kinds and are left out")
    before = np.asarray(file.words[: frames[0].row_starts[0]])
    n_unplaced = sum(frame.n_unplaced for frame in frames)
    n_unplaced += int(np.count_nonzero(before >> 12 == jeol_words.COUNT))
    if n_unplaced:
        found.append(f"{n_unplaced} counts have no position in the scan and are left out")
    return found


def _extent(file: PtsFile) -> str:
    return f"it has {file.words.nbytes} of {file.expected_bytes} bytes of its event stream"


def _axes(file: PtsFile, shape: tuple[int, int]) -> list[dict[str, Any]]:
    """The scan has `ScanSize` mm at magnification 1; channel `DigZ` is the zero of energy."""
    measured = file.measurement
    width_nm = 1e6 * number(file.parameters["PARAMPAGE0_SEM"]["ScanSize"])
    width_nm /= number(measured["MeasCond"]["Mag"])
    processor = file.parameters["PARAMPAGE1_EDXRF"]["Tpl"][measured["Meas Cond"]["Tpl"]]
    scale, zero = number(measured["Doc"]["CoefA"]), number(measured["Doc"]["CoefB"])
    energy = {"name": "Energy", "units": "keV", "scale": scale}
    return [
        {"name": "y", "units": "nm", "scale": width_nm / shape[0], "size": shape[0]},
        {"name": "x", "units": "nm", "scale": width_nm / shape[1], "size": shape[1]},
        {**energy, "offset": zero - scale * number(processor["DigZ"]), "size": FULL_RANGE},
    ]


def _acquisition(file: PtsFile, recorded: Recorded) -> Acquisition:
    clocks, condition = file.measurement["Doc"], file.measurement["MeasCond"]
    column = file.parameters["PARAMPAGE0_SEM"]
    entries = {
        "beam_energy_kev": _text_or_number(condition.get("AccKV")),
        "live_time_s": clocks.get("LiveTime") if recorded.is_complete else None,
        "real_time_s": clocks.get("RealTime") if recorded.is_complete else None,
        "dwell_time_s": number(clocks.get("DwellTime(msec)", 0.0)) / 1e3,
        "n_frames": recorded.n_whole,
        "elevation_deg": _text_or_number(column.get("ElevAng")),
        "take_off_angle_deg": _text_or_number(column.get("TakeAng")),
        "azimuth_deg": _text_or_number(column.get("DirAng")),
        "energy_resolution_ev": _text_or_number(column.get("MnKaRES")),
        "microscope": column.get("SEM"),
        "detector": column.get("DetT"),
        "date": file.date,
        "signal_type": _signal_type(file),
    }
    return acquisition_values(entries, origins={"signal_type": "default"})


def _text_or_number(value: Any) -> Any:
    return number(value) if isinstance(value, np.floating) else value


def _signal_type(file: PtsFile) -> str:
    beam_energy = number(file.measurement["MeasCond"]["AccKV"])
    return "EDS_SEM" if beam_energy <= MAX_SEM_KEV else "EDS_TEM"


def _hyperspy_metadata(file: PtsFile, path: Path) -> dict[str, Any]:
    """The metadata tree as HyperSpy names it, of values that the file holds."""
    column, condition = file.parameters["PARAMPAGE0_SEM"], file.measurement["MeasCond"]
    detector = {
        "azimuth_angle": column.get("DirAng"),
        "elevation_angle": column.get("ElevAng"),
        "energy_resolution_MnKa": column.get("MnKaRES"),
        "detector_type": column.get("DetT"),
    }
    instrument = {
        "beam_energy": _text_or_number(condition.get("AccKV")),
        "magnification": _text_or_number(condition.get("Mag")),
        "microscope": column.get("SEM"),
        "Detector": {
            "EDS": {k: _text_or_number(v) for k, v in detector.items() if v is not None},
        },
    }
    date, _, time = (file.date or "").partition("T")
    general = {"title": "EDS", "original_filename": path.name, "date": date, "time": time}
    signal_type = _signal_type(file)
    return {
        "General": {key: value for key, value in general.items() if value},
        "Signal": {"signal_type": signal_type},
        "Acquisition_instrument": {
            signal_type[4:]: {k: v for k, v in instrument.items() if v is not None}
        },
    }


def _survey(image: NDArray[np.float32] | None, axes: list[dict[str, Any]]) -> xr.DataArray | None:
    if image is None:
        return None
    title = {"General": {"title": "electron image"}}
    return survey_image({"data": image, "axes": axes[:2], "metadata": title})
