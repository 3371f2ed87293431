# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of JEOL files whose lengths are damaged never reach the vendor reader."""

import struct

import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.jeol_tree import check_image, read_tree


def value(name, kind, content, *, length=None):
    size = len(content) if length is None else length
    return b"\x01" + struct.pack("<i", len(name)) + name + struct.pack("<ii", kind, size) + content


def parse(stream):
    return {"rest": stream.read()}


def read(path):
    with path.open("rb") as stream:
        stream.seek(4)
        return read_tree(path, stream, parse)


def test_whole_tree_is_handed_over_from_its_beginning(tmp_path):
    tree = value(b"Image", 0, b"") + value(b"Size", 3, bytes(8)) + b"\xff\xff\x00"
    (tmp_path / "a").write_bytes(b"head" + tree)
    assert read(tmp_path / "a") == {"rest": tree}


@pytest.mark.parametrize(
    "tree",
    [
        value(b"Name", 3, bytes(4), length=2**31 - 1) + b"\xff\x00",
        value(b"Name", 3, bytes(4), length=-1) + b"\xff\x00",
        b"\x01" + struct.pack("<i", 2**30) + b"Name",
        value(b"Name", 3, bytes(4)) + b"\xff",
        value(b"Name", 3, bytes(4))[:-6],
    ],
)
def test_lengths_that_lead_out_of_the_file(tree, tmp_path):
    (tmp_path / "a").write_bytes(b"head" + tree)
    with pytest.raises(ReadError, match="a: its tree of values leads out of the file at byte"):
        read(tmp_path / "a")


@pytest.mark.parametrize("size", [(3, 2), (2**15, 2**15)])
def test_size_of_an_image_that_its_pixels_do_not_fill(size, tmp_path):
    (tmp_path / "a.img").write_bytes(bytes(44) + struct.pack("<I", 48 - 12) + b"\x00")
    tree = {"Image": {"Size": np.array(size), "Bits": np.zeros(6, np.uint8)}}
    if size == (3, 2):
        check_image(tmp_path / "a.img", lambda _: tree)
        return
    with pytest.raises(ReadError, match="holds 6 pixels, but its header says 32768 x 32768"):
        check_image(tmp_path / "a.img", lambda _: tree)
