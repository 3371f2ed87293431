# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of a Gatan .dm3 or .dm4 file, walked through before the vendor reader follows them.

The reader puts fields and letters together one by one, in a time that grows with their square, and
numbers into lists: damaged lengths keep it busy for minutes and fill the memory.

Layout: the description of the format by C. Boothroyd (www.er-c.org/cbb/info/dmformat).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from mlatem.errors import ReadError

#: Fields of a structure; Gatan's have up to ten or so.
MAX_FIELDS = 1000
#: Letters of a text.
MAX_LETTERS = 1 << 16
#: Numbers or structures of an array that is not the counts of an image.
MAX_ITEMS = 1 << 22

_GROUP, _VALUE = 20, 21
_STRUCTURE, _TEXT, _ARRAY = 15, 18, 20
#: Bytes of a number of each type.
_SIZES = {2: 2, 3: 4, 4: 2, 5: 4, 6: 4, 7: 8, 8: 1, 9: 1, 10: 1, 11: 8, 12: 8}


def check_tags(path: Path) -> None:
    """See that the lengths of all tags are such as the vendor reader can follow.

    What is wrong in another way is left to the reader to tell.

    Raises
    ------
    ReadError
        If one is not, with its place.
    """
    with path.open("rb") as file:
        walk = _Walk(path, file)
        try:
            walk.whole()
        except (struct.error, KeyError):
            return


class _Walk:
    """A walk over the tags of one file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._is_long = False
        self._end = path.stat().st_size

    def whole(self) -> None:
        self._is_long = self._number(">i") == 4
        self._word()
        self._number(">i")
        self._file.read(2)
        self._tags(self._word(), "root")

    def _tags(self, n_tags: int, group: str) -> None:
        for _ in range(n_tags):
            kind, length = self._number(">B"), self._number(">h")
            name = self._file.read(max(length, 0)).decode("latin-1").replace(".", "")
            if kind == _VALUE:
                self._file.seek(12 if self._is_long else 4, 1)
                self._value(is_counts=group == "ImageData" and name == "Data")
            elif kind == _GROUP:
                self._file.seek(10 if self._is_long else 2, 1)
                self._tags(self._word(), name)
            else:
                raise KeyError(kind)

    def _value(self, *, is_counts: bool) -> None:
        n_info = self._word()
        kind = self._word()
        if n_info == 1:
            self._file.seek(_SIZES[kind], 1)
        elif n_info == 2:
            self._skip(self._word(), MAX_LETTERS)
        elif n_info == 3:
            size = _SIZES[self._word()]
            length = self._word()
            self._skip(length, None if is_counts else MAX_ITEMS, size)
        elif kind == _STRUCTURE:
            self._file.seek(self._fields(), 1)
        elif kind == _ARRAY:
            self._complex_array(None if is_counts else MAX_ITEMS)
        # The reader passes over other types, and goes on with what follows.

    def _complex_array(self, limit: int | None) -> None:
        kind = self._word()
        if kind == _STRUCTURE:
            size = self._fields()
        elif kind == _TEXT:
            size = self._word()
            if size > MAX_LETTERS:
                self._refuse(f"{size} letters")
        elif kind != _ARRAY:
            return
        else:
            size = _SIZES[self._word()] * self._word()
        self._skip(self._word(), limit, size)

    def _fields(self) -> int:
        """Bytes of a structure."""
        self._word()
        n_fields = self._word()
        if n_fields > MAX_FIELDS:
            self._refuse(f"{n_fields} fields")
        size = 0
        for _ in range(n_fields):
            self._word()
            size += _SIZES[self._word()]
        return size

    def _skip(self, length: int, limit: int | None, size: int = 1) -> None:
        if length < 0 or (limit is not None and length > limit):
            self._refuse(f"{length} values")
        if length * size > self._end - self._file.tell():
            raise struct.error("the file ends before")
        self._file.seek(length * size, 1)

    def _word(self) -> int:
        return self._number(">q" if self._is_long else ">i")

    def _number(self, layout: str) -> int:
        (found,) = struct.unpack(layout, self._file.read(struct.calcsize(layout)))
        return int(found)

    def _refuse(self, what: str) -> None:
        raise ReadError(
            str(self._path),
            f"a tag before byte {self._file.tell()} has {what}",
            "The file is damaged: copy it again from the instrument",
        )
