# SPDX-License-Identifier: GPL-3.0-or-later
"""Where data come from: hashes of files and versions of packages."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path

READER_PACKAGES = ("mlatem", "rosettasciio", "h5py", "numpy", "zarr", "xarray")

_BLOCK_BYTES = 1 << 20


def sha256_of_file(path: str | PathLike[str]) -> str:
    """SHA-256 of a file as 64 hexadecimal digits, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(path: str | PathLike[str]) -> str:
    """SHA-256 of a file, or of a folder: of the names and hashes of the files below it, sorted."""
    if Path(path).is_file():
        return sha256_of_file(path)
    digest = hashlib.sha256()
    for name, file in _files(path):
        digest.update(f"{sha256_of_file(file)}  {name}\n".encode())
    return digest.hexdigest()


def size_bytes(path: str | PathLike[str]) -> int:
    """Bytes of a file, or of all files of a folder."""
    if Path(path).is_file():
        return Path(path).stat().st_size
    return sum(file.stat().st_size for _, file in _files(path))


def changed_s(path: str | PathLike[str]) -> float:
    """When a file, or any file of a folder, changed last, seconds since 1970."""
    if Path(path).is_file():
        return Path(path).stat().st_mtime
    return max((file.stat().st_mtime for _, file in _files(path)), default=0.0)


def _files(folder: str | PathLike[str]) -> list[tuple[str, Path]]:
    """Files below a folder by their name relative to it, without marks of Snakemake."""
    found = (f for f in Path(folder).rglob("*") if f.is_file() and not f.name.startswith(".snake"))
    return sorted((f.relative_to(folder).as_posix(), f) for f in found)


def package_versions(names: Sequence[str] = READER_PACKAGES) -> dict[str, str]:
    """Versions of Python and of the named packages; a package that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
