# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a map moved onto each other before they are summed."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from mlatem.errors import InputError
from mlatem.io.formats.frames import of_chosen
from mlatem.io.signals import Frames, RawSignals
from mlatem.model import Decision, SpectrumImage, Verdict
from mlatem.preparation.notes import noted, with_map
from mlatem.preparation.pixels import masked
from mlatem.preprocessing.drift import DriftPath, find_drift

_logger = logging.getLogger(__name__)

_SETTING = "preprocess.drift"


def without_drift(
    signals: RawSignals, image: SpectrumImage, reference: str, label: str
) -> RawSignals:
    """The signals with the frames of their X-ray map, `image`, moved onto each other.

    Parameters
    ----------
    signals : RawSignals
    image : SpectrumImage
    reference : str
        As in `settings.Preprocess.drift`, not "off".
    label : str
        Names the map in messages.

    Raises
    ------
    InputError
        If detectors or frames are to be stored apart too, images of the frames are asked for and
        the file has none, or no pixel lies in all frames.

    Notes
    -----
    Counts move by whole pixels: every event is counted in another pixel, and nothing is
    interpolated. What the frames do not all cover is masked.
    """
    frames = signals.frames
    if frames is None or frames.n_frames < 2:
        _logger.warning("%s: %s has no effect: it tells no frames apart", label, _SETTING)
        return _unchanged(signals, image, "the file does not tell its frames apart")
    if signals.splits:
        raise InputError(
            f"{label}: the drift between frames cannot be corrected where detectors or frames are "
            "stored apart: set preprocess.drift to off, or convert.separate_detectors and "
            "convert.separate_frames to false"
        )
    path, name = _path(frames, reference, label)
    if path is None:
        return _unchanged(signals, image, f"its frames show too little to be compared ({name})")
    _logger.info("%s: frames drift by %.1f pixels (%s)", label, path.span_px, name)
    moved = path.moved_px
    entry = {
        "y_px": [float(y) for y in path.shift_px[:, 0]],
        "x_px": [float(x) for x in path.shift_px[:, 1]],
        "is_used": [bool(used) for used in path.is_used],
        "reference": name,
    }
    n_lost = int(np.count_nonzero(~path.is_used))
    verdict = _verdict(path, n_lost, name)
    if not n_lost and not path.is_drift:
        decision = Decision("convert", "frames as they are", verdict.message, _SETTING)
        return with_map(signals, noted(image, [decision], [verdict], drift=entry))
    moves = [
        (int(y), int(x)) if used else None for (y, x), used in zip(moved, path.is_used, strict=True)
    ]
    rows, columns = path.covered(image.shape[:2])
    uncovered = np.ones(image.shape[:2], dtype=bool)
    uncovered[rows, columns] = False
    n_used = frames.n_frames - n_lost
    corrected = replace(
        image,
        counts=frames.moved(moves),
        acquisition=of_chosen(image.acquisition, range(n_used), frames.n_frames),
    )
    if uncovered.any():
        corrected = masked(corrected, uncovered, f"{label}: no pixel lies in all frames")
    choice = f"{n_used} of {frames.n_frames} frames moved by whole pixels and summed"
    decision = Decision("convert", choice, verdict.message, _SETTING)
    return with_map(signals, noted(corrected, [decision], [verdict], drift=entry))


def _path(frames: Frames, reference: str, label: str) -> tuple[DriftPath | None, str]:
    """The drift of the frames, and what it was found on."""
    if reference == "image" and frames.image_of is None:
        raise InputError(
            f"{label}: the file has no image of each frame: set preprocess.drift to counts or auto"
        )
    if frames.image_of is not None and reference != "counts":
        found = find_drift(frames.image_of, frames.n_frames, are_counts=False)
        if found is not None or reference == "image":
            return found, frames.image_name
    return find_drift(frames.totals_of, frames.n_frames, are_counts=True), "counts of the pixels"


def _unchanged(signals: RawSignals, image: SpectrumImage, reason: str) -> RawSignals:
    decision = Decision("convert", "drift between frames not corrected", reason, _SETTING)
    return with_map(signals, noted(image, [decision]))


def _verdict(path: DriftPath, n_lost: int, name: str) -> Verdict:
    together = f", {path.n_together} frames at a time" if path.n_together > 1 else ""
    error = "" if path.error_px is None else f", each known to {path.error_px:.2f} pixels"
    lost = f"; {n_lost} frames fit nowhere and are left out" if n_lost else ""
    return Verdict(
        "drift between frames",
        path.span_px,
        None,
        "px",
        "warning" if n_lost else "good",
        f"frames lie up to {path.span_px:.1f} pixels apart, by phase correlation of {name}"
        f"{together}{error}{lost}",
    )
