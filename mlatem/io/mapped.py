# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays that lie in a file as plain numbers, read a part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ReadError
from mlatem.io.views import bounds_of

#: Bytes of a file that are mapped at a time; pages that were touched count as memory until then.
PART_BYTES = 16 << 20


class MappedArray:
    """A C-ordered array in a file; the file is open only while a region is read.

    Parameters
    ----------
    path : path-like
    dtype : dtype
    shape : tuple of int
    offset : int
        Bytes before the first number.

    Raises
    ------
    ReadError
        If the file ends before the last number.
    """

    def __init__(
        self, path: str | PathLike[str], dtype: Any, shape: tuple[int, ...], offset: int
    ) -> None:
        self._path = Path(path).absolute()
        self._offset = int(offset)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape = tuple(int(size) for size in shape)
        self.ndim = len(self.shape)
        needed = self._offset + math.prod(self.shape) * self.dtype.itemsize
        found = self._path.stat().st_size
        if found < needed:
            raise ReadError(
                str(path),
                f"ends after {found} bytes, but its counts reach to byte {needed}",
                "It is truncated: copy it again from the instrument",
            )

    def __getitem__(self, region: Any) -> NDArray[Any]:
        bounds = bounds_of(() if region is Ellipsis else region, self.shape)
        block = np.empty([stop - start for start, stop in bounds], dtype=self.dtype)
        (first, last), rest = bounds[0], tuple(slice(*b) for b in bounds[1:])
        for start, part in self.parts(first, last):
            block[start - first : start - first + len(part)] = part[:, *rest]
        return block

    def parts(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Slabs along the first axis, each with the index of its start, read-only."""
        last = self.shape[0] if last is None else last
        slab_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(1, PART_BYTES // max(slab_bytes, 1))
        for start in range(first, last, step):
            stop = min(start + step, last)
            yield (
                start,
                np.memmap(
                    self._path,
                    dtype=self.dtype,
                    mode="r",
                    offset=self._offset + start * slab_bytes,
                    shape=(stop - start, *self.shape[1:]),
                ),
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)
