# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of Gatan tags that would keep the vendor reader busy for ever are refused."""

import struct

import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.gatan_tags import MAX_ITEMS, MAX_LETTERS, check_tags


def tag(kind, name, content):
    return struct.pack(">Bh", kind, len(name)) + name + content


def words(*numbers, version):
    return struct.pack(f">{len(numbers)}{'q' if version == 4 else 'i'}", *numbers)


def value(name, *numbers, data=b"", version=3):
    before = bytes(8) if version == 4 else b""
    return tag(21, name, before + b"%%%%" + words(*numbers, version=version) + data)


def group(name, *tags, version=3):
    size = bytes(8) if version == 4 else b""
    return tag(20, name, b"\0\0" + size + words(len(tags), version=version) + b"".join(tags))


def dm(path, *tags, version=3):
    head = struct.pack(">i", version) + words(0, version=version) + struct.pack(">i", 1)
    path.write_bytes(head + b"\0\0" + words(len(tags), version=version) + b"".join(tags))
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_whole_tags_pass_to_the_last(version, tmp_path):
    v = {"version": version}
    whole = [
        group(b"G", value(b"a", 1, 3, data=bytes(4), **v), **v),
        value(b"text", 2, 18, 5, data=b"abcde", **v),
        value(b"list", 3, 20, 4, 6, data=bytes(12), **v),
        value(b"struct", 7, 15, 0, 2, 0, 2, 0, 7, data=bytes(10), **v),
        value(b"structs", 9, 20, 15, 0, 1, 0, 6, 3, data=bytes(12), **v),
        value(b"arrays", 9, 20, 20, 4, 3, 2, data=bytes(12), **v),
    ]  # fmt: skip
    check_tags(dm(tmp_path / "a.dm3", *whole, **v))
    bad = value(b"bad", 3, 20, 2, MAX_ITEMS + 1, **v)
    with pytest.raises(ReadError, match=r"a\.dm3: a tag before byte \d+ has 4194305 values"):
        check_tags(dm(tmp_path / "a.dm3", *whole, bad, **v))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((7, 15, 0, 10**6), "1000000 fields"),
        ((2, 18, MAX_LETTERS + 1), "65537 values"),
        ((3, 20, 4, -1), "-1 values"),
        ((9, 20, 15, 0, 0, 2**31 - 1), "2147483647 values"),
        ((9, 20, 18, 10**8, 2), "100000000 letters"),
    ],
)
def test_lengths_out_of_all_proportion(numbers, message, tmp_path):
    with pytest.raises(ReadError, match=message):
        check_tags(dm(tmp_path / "a.dm3", value(b"x", *numbers)))


def test_counts_of_an_image_may_be_many(tmp_path):
    counts = value(b"Data", 3, 20, 2, MAX_ITEMS + 1)
    check_tags(dm(tmp_path / "a.dm3", group(b"ImageData", counts)))


def test_what_is_wrong_in_another_way_is_left_to_the_reader(tmp_path):
    (tmp_path / "a.dm3").write_bytes(b"\0\0")
    check_tags(tmp_path / "a.dm3")
    check_tags(dm(tmp_path / "a.dm3", tag(99, b"x", b"")))
