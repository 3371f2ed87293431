# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of contents of a .bcf file, checked before the vendor reader follows it.

The reader believes every number in it: a damaged one makes it walk in a circle or read without end.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NoReturn

from mlatem.errors import ReadError

_CHUNK_SIZE_AT = 0x128
_TABLE_AT = 0x140
_CHUNK_HEADER = 0x20
_ENTRY = 0x200
#: First chunk of an entry's list of chunks, its size, three times, permissions, parent, and
#: whether it is a folder.
_FIELDS = struct.Struct("<iQ24xIi176x?")
#: The parent of entries that lie in no folder.
_ROOT = -1


def check_container(path: Path) -> None:
    """See that sizes lie within the file and that folders lie in no circle.

    Raises
    ------
    ReadError
        If they do not.
    """
    n_bytes = path.stat().st_size
    if n_bytes < _TABLE_AT + 12:
        _refuse(path, f"it ends after {n_bytes} bytes")
    with path.open("rb") as file:
        file.seek(_CHUNK_SIZE_AT)
        (chunk_size,) = struct.unpack("<I", file.read(4))
        file.seek(_TABLE_AT)
        table, n_entries = struct.unpack("<II", file.read(8))
        if not _CHUNK_HEADER + _ENTRY <= chunk_size <= n_bytes:
            _refuse(path, f"chunks of {chunk_size} bytes in a file of {n_bytes}")
        if not 0 < n_entries * _ENTRY <= n_bytes:
            _refuse(path, f"{n_entries} entries in a file of {n_bytes} bytes")
        raw = b""
        per_chunk = (chunk_size - _CHUNK_HEADER) // _ENTRY
        while len(raw) < n_entries * _ENTRY:
            file.seek(chunk_size * table + 0x118)
            header = file.read(_CHUNK_HEADER)
            piece = file.read(min(per_chunk * _ENTRY, n_entries * _ENTRY - len(raw)))
            if len(header) < _CHUNK_HEADER or not piece:
                _refuse(path, "its table of contents breaks off")
            (table,) = struct.unpack_from("<I", header)
            raw += piece
    if len(raw) % _ENTRY:
        _refuse(path, "its table of contents breaks off")
    entries = [_FIELDS.unpack_from(raw, start) for start in range(0, len(raw), _ENTRY)]
    for _, size, _, _, is_folder in entries:
        if not is_folder and size > n_bytes:
            _refuse(path, f"an entry of {size} bytes in a file of {n_bytes}")
    _check_parents(path, [parent for _, _, _, parent, _ in entries])


def _check_parents(path: Path, parents: list[int]) -> None:
    for parent in parents:
        steps, place = 0, parent
        while place != _ROOT:
            if not 0 <= place < len(parents) or steps > len(parents):
                _refuse(path, f"a folder lies in entry {place} of {len(parents)}")
            steps, place = steps + 1, parents[place]


def _refuse(path: Path, cause: str) -> NoReturn:
    raise ReadError(
        str(path),
        f"its table of contents is damaged: {cause}",
        "Copy the file again from the instrument",
    )
