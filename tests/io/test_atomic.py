# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import math

import pytest

from mlatem.errors import InputError, StoreError
from mlatem.io.atomic import atomic_path, read_json, write_json


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_file_appears_whole(tmp_path):
    with atomic_path(tmp_path / "deep" / "a.txt") as partial:
        partial.write_text("hello")
        assert names(tmp_path / "deep") == [partial.name]
    assert (tmp_path / "deep" / "a.txt").read_text() == "hello"
    assert names(tmp_path / "deep") == ["a.txt"]


def test_directory_replaces_directory_with_content(tmp_path):
    target = tmp_path / "a.zarr"
    for content in ("old", "new"):
        with atomic_path(target) as partial:
            (partial / "sub").mkdir(parents=True)
            (partial / "sub" / content).write_text(content)
    assert names(target / "sub") == ["new"]
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("first", ["file", "directory"])
def test_file_and_directory_replace_each_other(tmp_path, first):
    target = tmp_path / "a"
    for kind in (first, "directory" if first == "file" else "file"):
        with atomic_path(target) as partial:
            if kind == "file":
                partial.write_text("x")
            else:
                partial.mkdir()
        assert target.is_dir() == (kind == "directory")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["file", "directory", "nothing"])
def test_failure_leaves_the_old_and_nothing_else(tmp_path, kind):
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as partial:
        if kind == "file":
            partial.write_text("half")
        elif kind == "directory":
            partial.mkdir()
            (partial / "half").write_text("half")
        raise KeyError("boom")
    assert names(tmp_path) == ["a"]
    assert target.read_text() == "old"


def test_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_full_disk_names_path(tmp_path):
    full = pytest.raises(StoreError, match=r"out\.json.*disk is full")
    with full, atomic_path(tmp_path / "out.json") as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass


def test_json_round_trip(tmp_path):
    values = {"b": [1, 2.5, None, True, "µm"], "a": {"x": -1e-30}}
    write_json(tmp_path / "v.json", values)
    assert read_json(tmp_path / "v.json") == values
    assert list(read_json(tmp_path / "v.json")) == ["b", "a"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1, 2}, object()])
def test_json_refuses_and_names_the_place(tmp_path, bad):
    with pytest.raises(InputError, match=r"v\.json: a: b\[1\]"):
        write_json(tmp_path / "v.json", {"a": {"b": [0, bad]}})
    assert names(tmp_path) == []


def test_json_keys_are_text(tmp_path):
    with pytest.raises(InputError, match="key 3"):
        write_json(tmp_path / "v.json", {3: 1})


def test_read_json_says_what_is_wrong(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(StoreError, match=r"half\.json.*not a readable JSON"):
        read_json(tmp_path / "half.json")
