# SPDX-License-Identifier: GPL-3.0-or-later
"""Types that make the HDF5 library crash are found before a value is read."""

import h5py
import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.hdf5_types import check_types


def write(path):
    with h5py.File(path, "w") as file:
        file.attrs["name"] = "a text of free length"
        table = np.dtype([("a", "f4"), ("b", h5py.vlen_dtype(np.int16)), ("c", "i2", (3,))])
        data = file.create_dataset("group/table", shape=2, dtype=table)
        data.attrs["units"] = ["nm", "keV"]
        file.create_dataset("list", shape=2, dtype=h5py.vlen_dtype(np.int64))
    return path


def test_whole_file(tmp_path):
    check_types(write(tmp_path / "a.h5"))


@pytest.mark.parametrize(("text", "place"), [(b"name\0", "/@name"), (b"units\0", "table@units")])
def test_kind_that_does_not_exist(text, place, tmp_path):
    path = write(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    # Behind the name comes the type: class 9 (of free length) in version 1, and its kind.
    kind = content.index(b"\x19\x01\x01\x00", content.index(text)) + 1
    content[kind] = 0xFF
    path.write_bytes(content)
    with pytest.raises(ReadError, match=rf"a\.h5: the type of .*{place} of the HDF5 file is none"):
        check_types(path)
