# SPDX-License-Identifier: GPL-3.0-or-later
"""What a JEOL .pts file stores: a header and an event stream."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.formats.jeol_stream import FULL_RANGE
from mlatem.io.formats.jeol_tree import TREE_OFFSET, Parser, read_tree

#: Magic number, name of the form, two flags, where and how long header and stream are, group, memo,
#: date in days.
_PREFIX = struct.Struct("<I8sII4I128s132sd")
#: Day 0 of dates.
_EPOCH = datetime(1899, 12, 30)
_LAST_DAY = 73050  # of the year 2100


@dataclass(frozen=True)
class PtsFile:
    """Header and event stream of a .pts file."""

    header: Mapping[str, Any]
    """JEOL's tree of named values."""
    words: NDArray[np.uint16]
    """The event stream, a memory map; shorter than it should be in a file that was cut."""
    expected_bytes: int
    """Length of the stream as the file tells it."""
    date: str | None

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before its stream does."""
        return self.words.nbytes < self.expected_bytes

    @property
    def measurement(self) -> Mapping[str, Any]:
        """Conditions and clocks of the map."""
        found: Mapping[str, Any] = self.header["PTTD Data"]["AnalyzableMap MeasData"]
        return found

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of microscope and detector."""
        found: Mapping[str, Any] = self.header["PTTD Param"]["Params"]
        return found

    @property
    def n_sweeps(self) -> int:
        """Frames that were begun, as the header tells it."""
        return int(self.measurement["Doc"]["Sweep"])


def load_pts(path: Path, parse: Parser) -> PtsFile:
    """Read the header of a .pts file and map its stream.

    Parameters
    ----------
    path : Path
    parse : callable
        See `mlatem.io.formats.jeol_tree.Parser`.

    Raises
    ------
    ReadError
        If the file ends before its stream begins, or its header is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(_PREFIX.size)
        if len(prefix) < _PREFIX.size:
            _refuse_short(path, size, _PREFIX.size)
        *_, header_at, _, stream_at, declared, _, _, days = _PREFIX.unpack(prefix)
        if size < stream_at + 2:
            _refuse_short(path, size, stream_at + 2)
        stream.seek(header_at + TREE_OFFSET)
        header = read_tree(path, stream, parse)
    # Some versions note the length of the stream, others that of the whole file.
    expected = declared - stream_at if declared == size else declared
    available = min(size - stream_at, expected) if expected > 0 else size - stream_at
    words = np.memmap(path, dtype="<u2", mode="r", offset=stream_at, shape=(available // 2,))
    return PtsFile(header, np.asarray(words), expected, _date(days))


def scan_shape(file: PtsFile, path: Path) -> tuple[int, int]:
    """Rows and columns of the scan.

    Raises
    ------
    ReadError
        If the header has none that the stream can hold.
    """
    text = str(file.measurement["Meas Cond"]["Pixels"])
    nx, _, ny = text.partition("x")
    if not all(size.isdigit() and 0 < int(size) <= FULL_RANGE for size in (ny, nx)):
        raise ReadError(
            str(path),
            f"the size of its scan is {text!r}, expected columns x rows up to {FULL_RANGE}",
            "The header is damaged: copy the file again from the instrument",
        )
    return int(ny), int(nx)


def number(value: Any) -> float:
    """A number of the header; one of single precision as it is written, 22.3 and not 22.299999."""
    return float(str(value)) if isinstance(value, np.float32) else float(value)


def _date(days: float) -> str | None:
    if not 0 < days < _LAST_DAY:
        return None
    return (_EPOCH + timedelta(days=days)).isoformat(timespec="seconds")


def _refuse_short(path: Path, size: int, expected: int) -> None:
    raise ReadError(
        str(path),
        f"ends after {size} bytes, before its event stream, which begins at {expected - 2}",
        "The file was cut: copy it again from the instrument",
    )
