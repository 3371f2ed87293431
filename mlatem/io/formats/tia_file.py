# SPDX-License-Identifier: GPL-3.0-or-later
"""The TIA (FEI) .ser file: a header, and one record for each spectrum or image.

The layout is public (the description by C. B. Boothroyd and P. Cowles). The vendor reader loads
all records at once also where it is asked not to, and leaves out from which pixel an axis counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.views import bounds_of

_SIGNATURE = b"II\x97\x01"
_SPECTRA, _IMAGES = 0x4120, 0x4122
_POSITION_TAG = 0x4142
#: Files up to this version have offsets of 4 bytes, later ones of 8.
_LAST_SHORT_VERSION = 0x210
#: Descriptions and units of dimensions are a few words.
_LONGEST_TEXT = 4096
_DTYPES = {
    1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8", 9: "<c8",
    10: "<c16",
}  # fmt: skip
_HEAD = np.dtype(
    [("version", "<u2"), ("data", "<u4"), ("tag", "<u4"), ("n", "<u4"), ("n_valid", "<u4")]
)
_DIMENSION = np.dtype([("size", "<u4"), ("offset", "<f8"), ("delta", "<f8"), ("element", "<u4")])
_CALIBRATION = np.dtype([("offset", "<f8"), ("delta", "<f8"), ("element", "<u4")])
_SPECTRUM = np.dtype([*_CALIBRATION.descr, ("type", "<u2"), ("length", "<u4")])
_IMAGE = np.dtype(
    [("x", _CALIBRATION), ("y", _CALIBRATION), ("type", "<u2"), ("nx", "<u4"), ("ny", "<u4")]
)
_POSITION = np.dtype(
    [("type", "<u2"), ("unknown", "<u2"), ("time", "<u4"), ("x", "<f8"), ("y", "<f8")]
)
_MEND = "Copy the file again from the instrument"


@dataclass(frozen=True)
class Dimension:
    """A dimension of the scan."""

    size: int
    offset: float
    """Position of the centre of the first pixel, in `units`."""
    delta: float
    units: str


@dataclass(frozen=True)
class SerFile:
    """Header of a .ser file."""

    path: Path
    has_spectra: bool
    """Whether the records are spectra; else they are images."""
    dimensions: tuple[Dimension, ...]
    """The one that changes fastest first."""
    offsets: NDArray[np.int64]
    """Position in the file of each record that was written, shape (n_valid,)."""
    n_records: int
    """Records that were planned."""
    record: np.void
    """Header of the first record."""
    positions: NDArray[Any] | None
    """Time (s) and position (m) of each record; None where the file has no positions."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counts."""
        return np.dtype(_DTYPES[int(self.record["type"])])

    def tree(self) -> dict[str, Any]:
        """The header as metadata."""
        names = self.record.dtype.names or ()
        tree: dict[str, Any] = {
            "n_records": self.n_records,
            "n_valid_records": len(self.offsets),
            "dimensions": [vars(dimension) for dimension in self.dimensions],
            "first_record": {name: self.record[name].tolist() for name in names},
        }
        if self.positions is not None:
            columns = {"time_s": "time", "x_m": "x", "y_m": "y"}
            tree.update({key: self.positions[column] for key, column in columns.items()})
        return tree


def read_ser(path: Path) -> SerFile:
    """Read the header of a .ser file and check all its records' headers.

    Raises
    ------
    ReadError
        If the file is cut or a record is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ReadError(str(path), "does not begin like a TIA file", _MEND)
        head = _take(file, _HEAD)
        pointer = np.dtype("<u4" if head["version"] <= _LAST_SHORT_VERSION else "<u8")
        table = int(_take(file, pointer))
        dimensions = tuple(_dimension(file) for _ in range(int(_take(file, np.dtype("<u4")))))
        n_valid, n_records = int(head["n_valid"]), int(head["n"])
        if n_valid == 0 or n_valid > n_records or head["data"] not in (_SPECTRA, _IMAGES):
            raise ReadError(
                str(path),
                f"{n_valid} of {n_records} records of type 0x{int(head['data']):x} were written",
                "A single spectrum lies in the .emi file, which is not read: export it from TIA",
            )
        if table + 2 * n_records * pointer.itemsize > size:
            raise ReadError(str(path), f"its table of {n_records} records is cut", _MEND)
        file.seek(table)
        offsets = np.frombuffer(file.read(n_valid * pointer.itemsize), pointer).astype(np.int64)
        file.seek(table + n_records * pointer.itemsize)
        tags = np.frombuffer(file.read(n_valid * pointer.itemsize), pointer).astype(np.int64)
        layout = _SPECTRUM if head["data"] == _SPECTRA else _IMAGE
        records = _records(file, offsets, layout, path)
        _check_records(records, offsets, layout, size, path)
        has_positions = (
            head["tag"] == _POSITION_TAG and int(tags.max()) + _POSITION.itemsize <= size
        )
        return SerFile(
            path=path,
            has_spectra=bool(head["data"] == _SPECTRA),
            dimensions=dimensions,
            offsets=offsets,
            n_records=n_records,
            record=records[0],
            positions=_records(file, tags, _POSITION, path) if has_positions else None,
        )


class SerCube:
    """Counts (y, x, channel) of the spectra of a .ser file, read where they are sliced.

    Parameters
    ----------
    ser : SerFile
    shape : tuple of int
        (ny, nx) of the scan, x the fastest. Pixels without a record are zero.
    """

    ndim = 3

    def __init__(self, ser: SerFile, shape: tuple[int, int]) -> None:
        self.shape = (*shape, int(ser.record["length"]))
        self.dtype = ser.dtype
        self._path = ser.path.absolute()
        self._offsets = ser.offsets

    def __getitem__(self, region: Any) -> NDArray[Any]:
        (y0, y1), (x0, x1), (c0, c1) = bounds_of(() if region is Ellipsis else region, self.shape)
        block = np.zeros((y1 - y0, x1 - x0, c1 - c0), dtype=self.dtype)
        start = _SPECTRUM.itemsize + c0 * self.dtype.itemsize
        n_bytes = (c1 - c0) * self.dtype.itemsize
        with self._path.open("rb") as file:
            for row in range(y0, y1):
                first = row * self.shape[1]
                for column, offset in enumerate(self._offsets[first + x0 : first + x1]):
                    file.seek(int(offset) + start)
                    block[row - y0, column] = np.frombuffer(file.read(n_bytes), self.dtype)
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


def first_image(ser: SerFile) -> tuple[NDArray[Any], tuple[Dimension, Dimension]]:
    """The first image of a file, lowest row first, and its dimensions y and x."""
    nx, ny = int(ser.record["nx"]), int(ser.record["ny"])
    with ser.path.open("rb") as file:
        file.seek(int(ser.offsets[0]) + _IMAGE.itemsize)
        pixels = np.frombuffer(file.read(nx * ny * ser.dtype.itemsize), ser.dtype)
    y, x = (
        Dimension(n, float(c["offset"] - c["element"] * c["delta"]), float(c["delta"]), "meters")
        for n, c in ((ny, ser.record["y"]), (nx, ser.record["x"]))
    )
    return pixels.reshape(ny, nx), (y, x)


def _take(file: BinaryIO, dtype: np.dtype[Any]) -> Any:
    return np.frombuffer(file.read(dtype.itemsize), dtype)[0]


def _dimension(file: BinaryIO) -> Dimension:
    """A dimension; its calibration is of the edge of a pixel that need not be the first."""
    found = _take(file, _DIMENSION)
    _text(file)
    units = _text(file)
    delta = float(found["delta"])
    offset = float(found["offset"]) + delta * (0.5 - int(found["element"]))
    return Dimension(int(found["size"]), offset, delta, units)


def _text(file: BinaryIO) -> str:
    """A text after its length. Damage makes lengths that no label has, and no memory holds."""
    length = int(_take(file, np.dtype("<u4")))
    if length > _LONGEST_TEXT:
        raise ValueError(f"a label of {length} bytes, expected at most {_LONGEST_TEXT}")
    return file.read(length).decode("utf-8", "replace")


def _records(
    file: BinaryIO, offsets: NDArray[np.int64], layout: np.dtype[Any], path: Path
) -> NDArray[Any]:
    records = np.zeros(len(offsets), dtype=layout)
    for index, offset in enumerate(offsets):
        file.seek(int(offset))
        content = file.read(layout.itemsize)
        if len(content) < layout.itemsize:
            raise ReadError(
                str(path),
                f"is cut: only {index} of {len(offsets)} records lie before its end",
                _MEND,
            )
        records[index] = np.frombuffer(content, layout)[0]
    return records


def _check_records(
    records: NDArray[Any], offsets: NDArray[np.int64], layout: np.dtype[Any], size: int, path: Path
) -> None:
    """All records are of one form, none is empty, and none reaches beyond the end of the file."""
    first = records[0]
    if int(first["type"]) not in _DTYPES:
        raise ReadError(str(path), f"counts of unknown type {int(first['type'])}", _MEND)
    n_bad = int(np.count_nonzero(records != first))
    if n_bad:
        index = int(np.argmax(records != first))
        raise ReadError(
            str(path),
            f"is damaged: {n_bad} of {len(records)} records differ from the first in type, length "
            f"or calibration, beginning with record {index + 1}",
            _MEND,
        )
    n_values = int(first["length"]) if layout is _SPECTRUM else int(first["nx"]) * int(first["ny"])
    ends = offsets + layout.itemsize + n_values * np.dtype(_DTYPES[int(first["type"])]).itemsize
    n_whole = int(np.count_nonzero(ends <= size))
    if n_values == 0 or n_whole < len(ends):
        raise ReadError(
            str(path), f"is cut: only {n_whole} of {len(ends)} records lie before its end", _MEND
        )
