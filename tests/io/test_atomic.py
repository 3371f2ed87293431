# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import math

import pytest

from mlatem.errors import InputError, StoreError
from mlatem.io.atomic import atomic_path, read_json, refuse_foreign, write_json


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


def test_a_file_never_takes_the_place_of_a_directory(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "raw.emd").write_text("precious")
    message = "a: a folder, which is not replaced by a file"
    with pytest.raises(StoreError, match=message), atomic_path(tmp_path / "a") as partial:
        partial.write_text("x")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["raw.emd"]


def test_a_directory_never_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "a").write_text("precious")
    message = "a: a file, which is not replaced by a folder"
    with pytest.raises(StoreError, match=message), atomic_path(tmp_path / "a") as partial:
        partial.mkdir()
    assert (tmp_path / "a").read_text() == "precious"
    assert names(tmp_path) == ["a"]


def test_only_zarr_folders_and_empty_ones_are_replaced(tmp_path):
    for name, content in {
        "new": None,
        "empty": (),
        "hidden": (".stamp",),
        "zarr": ("zarr.json",),
    }.items():
        if content is not None:
            (tmp_path / name).mkdir()
            for entry in content:
                (tmp_path / name / entry).touch()
        refuse_foreign(tmp_path / name)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "map.emd").touch()
    for name in ("raw", "raw/map.emd"):
        with pytest.raises(StoreError, match=f"{name}: exists and is no Zarr folder"):
            refuse_foreign(tmp_path / name)


def test_a_file_in_the_path_is_named(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deep" / "a.txt"):
        with (
            pytest.raises(StoreError, match="a part of its path is a file"),
            atomic_path(target) as partial,
        ):
            partial.write_text("x")


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
