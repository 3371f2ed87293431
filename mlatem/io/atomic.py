# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

from mlatem.errors import InputError, StoreError

_MENDS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "a file is larger than the disk or its quota allows; choose another folder",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EEXIST: "a part of its path is a file; choose another folder",
    errno.ENOTDIR: "a part of its path is a file; choose another folder",
}

#: What another machine, whose processes cannot be asked for, left unchanged so long is given up.
_ABANDONED_S = 24 * 3600


@contextmanager
def atomic_path(target: str | PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of `target` that is renamed onto it when the block succeeds.

    Parameters
    ----------
    target : path-like
        File or directory to write; replaced if it exists, a file by a file and a directory by a
        directory. Its folder is created.

    Yields
    ------
    partial : Path
        `.<name>.<machine>-<pid>-<random>.partial` in the same folder. The block creates a file or
        a directory there; when it raises, whatever it left is removed and `target` stays as it
        was. What processes left that were killed earlier while they wrote `target` is removed.

    Raises
    ------
    StoreError
        If the disk is full, the folder cannot be written, the block wrote nothing, or a file would
        take the place of a directory or the reverse.
    """
    target = Path(target)
    token = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    partial = target.with_name(f".{target.name}.{token}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(target)
        yield partial
        if not partial.exists():
            raise StoreError(f"{target}: nothing was written; this is a fault of the caller")
        _sync(partial)
        _replace(partial, target)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError) and error.errno in _MENDS:
            raise StoreError(f"{target}: cannot be written: {_MENDS[error.errno]}") from error
        raise


def refuse_foreign(target: str | PathLike[str]) -> None:
    """Refuse a Zarr output that would take the place of anything but another.

    A mistyped command must not delete a raw file or a folder of the user's.

    Raises
    ------
    StoreError
        If `target` is a file, or a directory with content that is not Zarr's.
    """
    target = Path(target)
    if not target.exists():
        return
    names = [path.name for path in target.iterdir()] if target.is_dir() else [target.name]
    # Workflow engines make outputs beforehand and leave hidden time stamps.
    if "zarr.json" in names or all(name.startswith(".") for name in names):
        return
    raise StoreError(
        f"{target}: exists and is no Zarr folder, so it is not replaced; name a new folder, for "
        "example spim.zarr"
    )


def refuse_foreign_file(target: str | PathLike[str]) -> None:
    """Refuse a packed Zarr output that would take the place of anything but another.

    Raises
    ------
    StoreError
        If `target` is a directory, or a file that is no archive of Zarr. One that is damaged is
        told by its name, `.zarr.zip`, and first bytes.
    """
    target = Path(target)
    if not target.exists():
        return
    if target.is_file() and zipfile.is_zipfile(target):
        with zipfile.ZipFile(target) as archive:
            if "zarr.json" in archive.namelist():
                return
    elif target.is_file() and target.name.endswith(".zarr.zip"):
        with target.open("rb") as stream:
            if stream.read(4) in (b"PK\x03\x04", b""):
                return
    raise StoreError(
        f"{target}: exists and is no Zarr archive, so it is not replaced; name a new file, for "
        "example maps.zarr.zip"
    )


def write_json(path: str | PathLike[str], values: Any) -> None:
    """Write `values` as JSON, atomically, keys in the order given.

    Raises
    ------
    InputError
        If a value is not JSON-safe, NaN included; the message names where it sits.
    StoreError
        If the file cannot be written.
    """
    check_json_safe(values, str(path))
    with atomic_path(path) as partial:
        partial.write_text(
            json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )


def read_json(path: str | PathLike[str]) -> Any:
    """The content of a JSON file.

    Raises
    ------
    StoreError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the step that writes it") from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: not a readable JSON file ({error}); remove it and run the step again"
        ) from error


def check_json_safe(value: Any, where: str) -> None:
    """Check that `value` survives a round trip through strict JSON.

    Raises
    ------
    InputError
        For NaN and infinities, keys other than text, and types that JSON does not have.
    """
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: {value} is no JSON number; leave the value out")
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise InputError(f"{where}: key {key!r} is not text, as JSON demands")
            check_json_safe(entry, f"{where}: {key}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            check_json_safe(entry, f"{where}[{index}]")
    else:
        raise InputError(
            f"{where}: a {type(value).__name__} cannot be written as JSON; convert it to a "
            "number, text or list first"
        )


def _replace(partial: Path, target: Path) -> None:
    """Rename `partial` onto `target`, also where a directory with content stands there."""
    if target.exists() and target.is_dir() != partial.is_dir():
        found, wanted = ("folder", "file") if target.is_dir() else ("file", "folder")
        raise StoreError(
            f"{target}: a {found}, which is not replaced by a {wanted}; choose another name"
        )
    if target.is_dir() and not target.is_symlink():
        old = partial.with_suffix(".old")
        target.rename(old)
        try:
            partial.rename(target)
        except BaseException:
            old.rename(target)
            raise
        # Under the name .old a directory is whole: it may be put back (see `_clear_remains`).
        discarded = old.with_suffix(".discarded.partial")
        old.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)
    elif partial.is_dir() and target.is_symlink():
        target.unlink()
        partial.rename(target)
    else:
        partial.replace(target)
    _sync_one(target.parent)


def _clear_remains(target: Path) -> None:
    """Remove what killed processes left of `target`; put back what one had moved aside."""
    pattern = re.compile(
        rf"\.{re.escape(target.name)}\.([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}[a-z.]*\.(partial|old)"
    )
    for path in list(target.parent.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is None or not _is_abandoned(path, match[1], int(match[2])):
            continue
        if match[3] == "old" and not target.exists():
            path.rename(target)
        else:
            _remove(path)


def _is_abandoned(path: Path, machine: str, pid: int) -> bool:
    """Whether the process that wrote `path` is gone, as far as this machine can tell."""
    if machine == _machine():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    try:
        newest = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
    except OSError:
        return False
    return time.time() - newest > _ABANDONED_S


def _machine() -> str:
    """A short name of this machine that may stand in file names."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    """Force a file, or all below a directory, onto the disk: a rename must not overtake it."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync_one(Path(folder) / name)
            _sync_one(Path(folder))
    else:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and overlay file systems cannot sync a directory; the rename stays atomic.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
