# SPDX-License-Identifier: GPL-3.0-or-later
"""JEOL's trees of named values, checked before the vendor reader follows their lengths.

The reader makes room for as many bytes as a damaged length names, and for as many pixels as a
damaged size of an image.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mlatem.errors import ReadError

#: Reads a tree from where a file stands.
Parser = Callable[[BinaryIO], dict[str, Any]]

#: Bytes between the place that a file names for a tree and the tree itself.
TREE_OFFSET = 12
#: Type and length of a value.
_VALUE = struct.Struct("<Ii")
_LENGTH = struct.Struct("<i")
#: Bytes of one number of those types of values that have more than one: whole numbers are read.
_SIZES = {2: 2, 3: 4, 4: 4, 5: 8, 7: 2, 8: 4, 9: 4, 10: 8, 14: 2}
#: Where an .img file names the place of its tree.
_IMAGE_PLACE = struct.Struct("<36x8xI")


def read_tree(path: Path, stream: BinaryIO, parse: Parser) -> dict[str, Any]:
    """The tree at the position of a file.

    Parameters
    ----------
    path : Path
        For messages.
    stream : file object
    parse : callable

    Raises
    ------
    ReadError
        If a length in it leads out of the file.
    """
    begin = stream.tell()
    _check_lengths(path, stream)
    stream.seek(begin)
    return parse(stream)


def check_image(path: Path, parse: Parser) -> None:
    """See that the tree of an .img file is whole and that its pixels fill the image.

    Raises
    ------
    ReadError
        Where not.
    """
    with path.open("rb") as stream:
        head = stream.read(_IMAGE_PLACE.size)
        if len(head) < _IMAGE_PLACE.size:
            _refuse(path, len(head))
        stream.seek(_IMAGE_PLACE.unpack(head)[0] + TREE_OFFSET)
        image = read_tree(path, stream, parse)["Image"]
    width, height = (int(size) for size in image["Size"])
    if len(image["Bits"]) != width * height:
        raise ReadError(
            str(path),
            f"holds {len(image['Bits'])} pixels, but its header says {height} x {width}",
            "The file is damaged: copy it again from the instrument",
        )


def _check_lengths(path: Path, stream: BinaryIO) -> None:
    """Walk over a tree: names and values begin with 1, any other mark leads one level up."""
    end = os.fstat(stream.fileno()).st_size
    depth = 0
    while mark := stream.read(1):
        if mark != b"\x01":
            if depth == 0 or mark != b"\xff":
                return
            depth -= 1
            continue
        _skip(path, stream, _taken(path, stream, _LENGTH)[0], end)
        kind, length = _taken(path, stream, _VALUE)
        if kind:
            _skip(path, stream, length - length % _SIZES.get(kind, 1), end)
        depth += 1
    _refuse(path, end)


def _taken(path: Path, stream: BinaryIO, layout: struct.Struct) -> tuple[int, ...]:
    content = stream.read(layout.size)
    if len(content) < layout.size:
        _refuse(path, stream.tell())
    return layout.unpack(content)


def _skip(path: Path, stream: BinaryIO, length: int, end: int) -> None:
    if not 0 <= length <= end - stream.tell():
        _refuse(path, stream.tell())
    stream.seek(length, os.SEEK_CUR)


def _refuse(path: Path, position: int) -> NoReturn:
    raise ReadError(
        str(path),
        f"its tree of values leads out of the file at byte {position}",
        "The file is cut or damaged: copy it again from the instrument",
    )
