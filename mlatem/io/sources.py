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


def package_versions(names: Sequence[str] = READER_PACKAGES) -> dict[str, str]:
    """Versions of Python and of the named packages; a package that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
