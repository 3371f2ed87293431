# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of values of HDF5 files, looked through before a value is read.

The HDF5 library crashes where it reads values of free length whose kind, neither a text nor a list,
damage made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
from h5py import h5a, h5t

from mlatem.errors import ReadError
from mlatem.io.formats.hdf5 import text

#: Where in an encoded type its kind is, after two bytes of the encoding and one of the class.
_KIND = 3
_LIST = 0


def check_types(path: Path) -> None:
    """See that all attributes and datasets of a file have types that can be read.

    Raises
    ------
    ReadError
        If one has not, with its name.
    """

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and not _is_readable(entry.id.get_type()):
            _refuse(path, name)
        for index in range(h5a.get_num_attrs(entry.id)):
            attribute = h5a.open(entry.id, index=index)
            if not _is_readable(attribute.get_type()):
                _refuse(path, f"{name}@{text(attribute.name)}")

    with h5py.File(path, "r") as file:
        visit("/", file)
        file.visititems(visit)


def _is_readable(kind: Any) -> bool:
    group = kind.get_class()
    if group == h5t.VLEN:
        return kind.encode()[_KIND] & 0x0F == _LIST and _is_readable(kind.get_super())
    if group == h5t.ARRAY:
        return _is_readable(kind.get_super())
    if group == h5t.COMPOUND:
        return all(_is_readable(kind.get_member_type(i)) for i in range(kind.get_nmembers()))
    return True


def _refuse(path: Path, name: str) -> None:
    raise ReadError(
        str(path),
        f"the type of {name} of the HDF5 file is none that exists",
        "The file is damaged: copy it again from the instrument",
    )
