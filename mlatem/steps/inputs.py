# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading of what earlier steps wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from mlatem.errors import StoreError
from mlatem.io.atomic import read_json
from mlatem.io.store import load_spectrum_image, tile_shape
from mlatem.model import Calibration, SpectrumImage


def open_source(store: str | PathLike[str]) -> tuple[SpectrumImage, tuple[int, int]]:
    """The spectrum image of a store, not loaded, and the shape of its shards as tile."""
    return load_spectrum_image(store), tile_shape(store)


def load_calibration(path: str | PathLike[str]) -> Calibration:
    """The calibration that `calibrate` wrote.

    Raises
    ------
    StoreError
        If the file is missing, no JSON, or of another version.
    """
    with content_of(path, "a calibration", "mlatem calibrate"):
        return Calibration.from_dict(read_json(path))


@contextmanager
def content_of(path: str | PathLike[str], what: str, step: str) -> Iterator[None]:
    """Make errors about the content of a file name the file and the step that writes it.

    Raises
    ------
    StoreError
        In place of what building a record from wrong or outdated content raises.
    """
    try:
        yield
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{path}: not {what} ({type(error).__name__}: {reason}); run `{step}` again"
        ) from error
