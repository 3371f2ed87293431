# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw vendor files to a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

from mlatem import settings as _settings
from mlatem.io.read import open_raw
from mlatem.io.store import write_store
from mlatem.steps.progress import progress


def convert(
    raw: str | PathLike[str] | Sequence[str | PathLike[str]],
    store: str | PathLike[str],
    *,
    acquisition_overrides: Mapping[str, float | str | None] | None = None,
    settings: _settings.Convert | None = None,
) -> None:
    """Convert the raw files of one dataset into a store.

    Parameters
    ----------
    raw : path-like, or sequence of them
        Several files belong to one dataset.
    store : path-like
        Folder to write; replaced if it exists.
    acquisition_overrides : mapping, optional
        What takes precedence over the file, see `mlatem.io.read.open_raw`.
    settings : settings.Convert, optional

    Raises
    ------
    ReadError
        If a raw file is missing, damaged or holds no spectrum image.
    MemoryLimitError
        If the conversion is projected to need more memory than allowed.
    """
    settings = settings or _settings.Convert()
    with progress("convert") as advance:
        signals = open_raw(raw, acquisition_overrides=acquisition_overrides, settings=settings)
        write_store(signals, store, settings=settings, progress=advance)
