# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw vendor files to a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.io.read import open_raw
from mlatem.io.store import write_store
from mlatem.preparation import prepare
from mlatem.steps.progress import progress


def convert(
    raw: str | PathLike[str] | Sequence[str | PathLike[str]],
    store: str | PathLike[str],
    *,
    acquisition_overrides: Mapping[str, float | str | None] | None = None,
    settings: _settings.Convert | None = None,
    preprocess: _settings.Preprocess | None = None,
    mask: str | PathLike[str] | NDArray[np.bool_] | None = None,
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
    preprocess : settings.Preprocess, optional
    mask : path-like or ndarray of shape (ny, nx), optional
        Pixels of the whole map that are left out, see `mlatem.io.masks.read_mask`.

    Raises
    ------
    ReadError
        If a raw file is missing, damaged or holds no spectrum image, or the mask cannot be read.
    InputError
        If the part to keep, or the mask, does not fit the map.
    MemoryLimitError
        If the conversion is projected to need more memory than allowed.
    """
    settings = settings or _settings.Convert()
    with progress("convert") as advance:
        signals = open_raw(raw, acquisition_overrides=acquisition_overrides, settings=settings)
        prepared = prepare(signals, preprocess or _settings.Preprocess(), mask)
        write_store(
            prepared.signals, store, settings=settings, progress=advance, review=prepared.review
        )
