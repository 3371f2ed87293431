# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a scan: which of them are summed, and what that means for the clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlatem.errors import ReadError
from mlatem.io.signals import Split
from mlatem.model import Acquisition, Value
from mlatem.settings import Convert

#: Clocks that run over all frames of the file.
_CLOCKS = ("live_time_s", "real_time_s")


def chosen_frames(settings: Convert, n_frames: int, path: Path) -> range:
    """The frames to sum, counted from 0.

    Parameters
    ----------
    settings : settings.Convert
        Its first and last frame count from 1, both belong to the sum.
    n_frames : int
        Frames of the file.
    path : Path
        For messages.

    Raises
    ------
    ReadError
        If the file has not all frames that are asked for.
    """
    first = settings.first_frame or 1
    last = n_frames if settings.last_frame is None else settings.last_frame
    if not first <= last <= n_frames:
        raise ReadError(
            str(path),
            f"frames {first} to {last} are asked for, but the map has {n_frames} of them, counted "
            "from 1",
            "Correct first_frame and last_frame in the sample sheet, or convert.first_frame and "
            "convert.last_frame in the configuration",
        )
    return range(first - 1, last)


def of_chosen(acquisition: Acquisition, frames: range, n_frames: int) -> Acquisition:
    """Acquisition of a sum of some frames, from that of all.

    Live and real time become the share of the frames, which is an assumption (origin "default").
    """
    if len(frames) == n_frames:
        return acquisition
    share = len(frames) / n_frames
    values = dict(acquisition.values_by_name)
    for name in _CLOCKS:
        total = acquisition.number(name)
        if total is not None:
            values[name] = Value(total * share, "default")
    values["n_frames"] = Value(len(frames), "file")
    return Acquisition(values)


def details_of(frames: range, n_frames: int) -> dict[str, Any]:
    """What the store tells of a sum of some frames; nothing where it is of all."""
    if len(frames) == n_frames:
        return {}
    summed = {"first": frames.start + 1, "last": frames.stop, "of": n_frames}
    return {"frames_summed": summed}


def split_frames(
    settings: Convert, frames: range, counts_of: Callable[[int], Any]
) -> tuple[Split, ...]:
    """The frames as a split of the map, where the settings ask for it.

    Parameters
    ----------
    settings : settings.Convert
    frames : range
        Counted from 0.
    counts_of : callable
        Counts (ny, nx, n_energy) of the frame of a number, lazy.
    """
    if not settings.separate_frames:
        return ()
    numbers = tuple(frame + 1 for frame in frames)
    return (Split("frame", numbers, tuple(counts_of(frame) for frame in frames)),)


def split_detectors(
    settings: Convert, names: Sequence[str], counts_of: Callable[[int], Any]
) -> tuple[Split, ...]:
    """The detectors as a split of the map, where the settings ask for it and there are several.

    Parameters
    ----------
    settings : settings.Convert
    names : sequence of str
    counts_of : callable
        Counts (ny, nx, n_energy) of the detector of an index, lazy.
    """
    if not settings.separate_detectors or len(names) < 2:
        return ()
    return (Split("detector", tuple(names), tuple(counts_of(i) for i in range(len(names)))),)
