# SPDX-License-Identifier: GPL-3.0-or-later
"""Velox (Thermo Fisher) .emd: EDS event streams, EELS maps and survey images.

The event streams are decoded here, tile by tile: the vendor reader decodes a whole cube at once and
takes the size of the scan from the last image of the file, which is wrong where a survey image of
another size lies beside the map.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.elements import SYMBOLS
from mlatem.errors import ReadError
from mlatem.io.event_streams import NEXT_PIXEL, count_events, histogram
from mlatem.io.formats.common import (
    AxisOverrides,
    Signal,
    named_trees,
    ordered_surveys,
    spectrum_image,
    survey_image,
    title_of,
    with_warning,
)
from mlatem.io.formats.frames import (
    chosen_frames,
    details_of,
    of_chosen,
    split_detectors,
    split_frames,
)
from mlatem.io.formats.velox_eels import eels_maps
from mlatem.io.formats.velox_file import VeloxMap
from mlatem.io.formats.velox_metadata import (
    acquisition_of,
    axes_of,
    detectors_of,
    hyperspy_metadata,
)
from mlatem.io.signals import Frames, RawSignals, detector_spectra, unique_names
from mlatem.io.views import StreamCube
from mlatem.model import Acquisition, SpectrumImage
from mlatem.settings import Convert

_logger = logging.getLogger(__name__)

#: Of EELS maps beside an X-ray map of which some frames are summed.
_ALL_FRAMES = (
    "the X-ray map beside is the sum of some frames, this one of all: Velox stores no frames of it"
)
#: Largest part of a scan that may be missing before its size counts as unknown.
MAX_MISSING = 0.5


def signals(
    path: Path,
    stored: VeloxMap,
    images: Sequence[Signal],
    overrides: AxisOverrides,
    settings: Convert,
) -> RawSignals:
    """Normalise a Velox file.

    Parameters
    ----------
    path : Path
    stored : VeloxMap
    images : sequence of mapping
        Images as the vendor reader returns them, frames as a stack.
    overrides : AxisOverrides
    settings : settings.Convert
        Which frames are summed, and whether detectors and frames are kept apart too.

    Raises
    ------
    ReadError
        If the size of the map cannot be told, its energy axis is not stored, the detectors' own
        spectra hold other counts than the map, or the file has not all frames that are asked for.
    """
    (ny, nx), n_frames = scan_shape(stored, path)
    _check_channels(stored, path)
    whole = StreamCube(stored.streams, (ny, nx, stored.n_channels), n_frames)
    _check_totals(stored, whole, path)
    frames = chosen_frames(settings, n_frames, path)
    cube = whole.part(frames=frames)
    detectors = detectors_of(stored, path)
    names = unique_names(stored.stream_names)
    tree = {**(images[0]["original_metadata"] if images else {}), **stored.metadata}
    axes = axes_of(stored.metadata, detectors[0], path)
    acquisition = acquisition_of(stored, detectors, n_frames, ny * nx)
    metadata = hyperspy_metadata(tree, path, len(frames))

    def image_of(counts: StreamCube) -> SpectrumImage:
        return spectrum_image(
            {"data": counts, "axes": axes, "metadata": metadata},
            str(path),
            energy_axis=2,
            acquisition=of_chosen(acquisition, frames, n_frames),
            overrides=overrides,
        )

    image = image_of(cube)
    details = {
        "detectors": detectors,
        "counts_per_stream": cube.totals,
        "counts_outside_frames": whole.n_dropped,
        **details_of(frames, n_frames),
    }
    eels, eels_trees = eels_maps(path, (ny, nx), axes[:2], overrides)
    date = acquisition.get("date")
    if date is not None:
        # Of one scan with the X-ray map, which alone has the time.
        eels = [
            replace(m, acquisition=Acquisition({"date": date, **m.acquisition.values_by_name}))
            for m in eels
        ]
    if details_of(frames, n_frames):
        eels = [with_warning(map_, _ALL_FRAMES) for map_ in eels]
    analytical = {str(d.get("DetectorName", "")) for d in detectors}
    return RawSignals(
        spectrum_images=(replace(image, attrs={**image.attrs, **details}), *eels),
        surveys=ordered_surveys([_survey(i, analytical, frames, n_frames) for i in images]),
        original_metadata=named_trees(
            [("EDS", tree)]
            + [(f"EDS stream {k}", m) for k, m in enumerate(stored.stream_metadata, start=1)]
            + [("EELS", tree) for tree in eels_trees]
            + [(title_of(i), i["original_metadata"]) for i in images]
        ),
        path=str(path),
        resident_bytes=sum(stream.nbytes for stream in stored.streams),
        detector_spectra=detector_spectra(names, cube.spectra),
        splits=(
            *split_detectors(settings, names, lambda i: image_of(cube.part(stream=i)).counts),
            *split_frames(
                settings,
                frames,
                lambda i: image_of(whole.part(frames=range(i, i + 1))).counts,
            ),
        ),
        frames=Frames(
            len(frames),
            lambda i: whole.part(
                frames=range(frames.start + i, frames.start + i + 1)
            ).pixel_totals(),
            lambda moves: image_of(cube.moved(moves)).counts,
            *_images_of_frames(images, analytical, frames, (n_frames, ny, nx)),
        ),
        n_frames=n_frames,
    )


def _images_of_frames(
    images: Sequence[Signal], analytical: set[str], frames: range, shape: tuple[int, int, int]
) -> tuple[Callable[[int], NDArray[Any]] | None, str]:
    """The best image that has as many frames, rows and columns as the map, and its name."""
    stacks = {title_of(i): i["data"] for i in images if np.shape(i["data"]) == shape}
    surveys = ordered_surveys([_survey(i, analytical) for i in images if title_of(i) in stacks])
    for survey in surveys:
        stack = np.asarray(stacks[str(survey.name)])[frames.start : frames.stop]
        if stack.dtype.kind in "uif":
            return stack.__getitem__, str(survey.name)
    return None, ""


def image_signals(path: Path, images: Sequence[Signal], holds: str) -> RawSignals:
    """Normalise a Velox file without spectra: its images, which may belong to the map of another.

    Parameters
    ----------
    path : Path
    images : sequence of mapping
        As for `signals`.
    holds : str
        What the file holds, in words.
    """
    return RawSignals(
        spectrum_images=(),
        surveys=ordered_surveys([_survey(image, set()) for image in images]),
        original_metadata=named_trees([(title_of(i), i["original_metadata"]) for i in images]),
        path=str(path),
        holds=holds,
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
    pixels = max(len(stream) - count_events(stream) for stream in stored.streams)
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
        invalid = int(histogram(stream)[stored.n_channels : NEXT_PIXEL].sum())
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


def _survey(
    image: Signal, analytical: set[str], frames: range = range(0), n_frames: int = 0
) -> xr.DataArray | None:
    """A survey image, its frames averaged; None for maps that were derived from spectra.

    Of an image that has as many frames as the map, the frames of the map are taken.
    """
    result = image["original_metadata"].get("BinaryResult", {})
    source, title = str(result.get("Detector") or ""), title_of(image)
    is_derived = title in SYMBOLS or "EELS" in title or "EELS" in source
    if is_derived or (source and any(name.startswith(source) for name in analytical)):
        return None
    data, axes = np.asarray(image["data"]), list(image["axes"])
    n_averaged = 1
    if data.ndim == 3 and data.dtype.kind in "uif":
        if data.shape[0] == n_frames:
            data = data[frames.start : frames.stop]
        n_averaged = data.shape[0]
        data, axes = data.mean(axis=0, dtype=np.float64).astype(np.float32), axes[1:]
    return survey_image({**image, "data": data, "axes": axes}, {"n_frames_averaged": n_averaged})
