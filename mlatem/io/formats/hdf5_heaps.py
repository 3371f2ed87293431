# SPDX-License-Identifier: GPL-3.0-or-later
"""Global heaps of HDF5 files, where texts of free length lie.

The HDF5 library never returns from a heap with a free place of no size, as damage leaves them.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from mlatem.errors import ReadError

#: Signature, version and reserved bytes, as the format's specification has them.
_HEAP = b"GCOL\x01\x00\x00\x00"
_HEAP_HEADER = 16
#: Number of an object (0: the free rest), references, reserved bytes, size.
_OBJECT = struct.Struct("<HH4xQ")
_ALIGNMENT = 8
_BLOCK_BYTES = 1 << 22


def check_heaps(path: Path) -> None:
    """See that a reader comes to the end of every heap of a file.

    Raises
    ------
    ReadError
        If it does not.
    """
    with path.open("rb") as file:
        for start in _starts(file):
            if not _has_end(file, start):
                raise ReadError(
                    str(path),
                    f"the texts that begin at byte {start} of the HDF5 file have no end",
                    "The file is damaged: copy it again from the instrument",
                )


def _starts(file: BinaryIO) -> list[int]:
    """Where heaps begin; read in blocks, for mapped pages would count as memory."""
    starts, overlap, position = [], b"", 0
    while block := file.read(_BLOCK_BYTES):
        content = overlap + block
        origin = position - len(overlap)
        found = content.find(_HEAP)
        while found >= 0:
            starts.append(origin + found)
            found = content.find(_HEAP, found + 1)
        position += len(block)
        overlap = content[-len(_HEAP) + 1 :]
    return starts


def _has_end(file: BinaryIO, start: int) -> bool:
    file.seek(start + len(_HEAP))
    header = file.read(_HEAP_HEADER - len(_HEAP))
    if len(header) < _HEAP_HEADER - len(_HEAP):
        return True
    size = min(int.from_bytes(header, "little") - _HEAP_HEADER, _BLOCK_BYTES)
    content = file.read(max(size, 0))
    place = 0
    while place + _OBJECT.size <= len(content):
        number, _, length = _OBJECT.unpack_from(content, place)
        # The free rest counts its own header.
        needed = length if number == 0 else _OBJECT.size + -(-length // _ALIGNMENT) * _ALIGNMENT
        needed %= 1 << 64
        if needed == 0:
            return False
        place += needed
    return True
