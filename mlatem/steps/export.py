# SPDX-License-Identifier: GPL-3.0-or-later
"""A store back to a file for other programs."""

from __future__ import annotations

from os import PathLike

from mlatem.io.export import export_hspy
from mlatem.steps.progress import progress


def export(store: str | PathLike[str], path: str | PathLike[str]) -> None:
    """Write the signals of a store as a HyperSpy file.

    Parameters
    ----------
    store : path-like
    path : path-like
        File ending in .hspy; replaced if an earlier export wrote it.

    Raises
    ------
    InputError
        If `path` has another ending.
    StoreError
        If there is no complete store, or the file cannot be written.
    """
    with progress("export") as advance:
        export_hspy(store, path, progress=advance)
