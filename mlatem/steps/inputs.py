# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading of what earlier steps wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from mlatem.errors import StoreError
from mlatem.io.atomic import read_json
from mlatem.io.datasets import load_dataset
from mlatem.io.layout import CHUNK
from mlatem.io.store import load_spectrum_image, tile_shape
from mlatem.model import Basis, Calibration, Dictionary, SpectrumImage

Path_ = str | PathLike[str]


def open_source(store: str | PathLike[str]) -> tuple[SpectrumImage, tuple[int, int]]:
    """The spectrum image of a store, not loaded, and the shape of its shards as tile."""
    return load_spectrum_image(store), tile_shape(store)


def half_of_shard(tile_shape: tuple[int, int]) -> tuple[int, int]:
    """Tiles for a job that keeps what it reads: a small map too has work for two threads.

    Whole chunks, so that none is decoded twice.
    """
    rows, columns = tile_shape
    return min(rows, max(1, rows // 2 // CHUNK[0]) * CHUNK[0]), columns


def load_calibration(path: str | PathLike[str]) -> Calibration:
    """The calibration that `calibrate` wrote.

    Raises
    ------
    StoreError
        If the file is missing, no JSON, or of another version.
    """
    with content_of(path, "a calibration", "mlatem calibrate"):
        return Calibration.from_dict(read_json(path))


def load_lowrank(path: str | PathLike[str], dictionary: Dictionary) -> tuple[Basis, float]:
    """The basis that `denoise` wrote, without rare axes, and the counts of the map in its window.

    Raises
    ------
    StoreError
        If the product is missing, damaged, or of another window than the dictionary's.
    """
    product = load_dataset(path)
    with content_of(path, "a low-rank product", "mlatem denoise"):
        basis = Basis.from_dataset(product).without_rare()
        first = int(product.attrs["first_channel"])
        total_counts = float(product.attrs["total_counts"])
    check_window(path, slice(first, first + basis.energy.size), dictionary)
    return basis, total_counts


def check_window(path: str | PathLike[str], window: slice, dictionary: Dictionary) -> None:
    """Refuse what was made in another window than the calibration's.

    Raises
    ------
    StoreError
    """
    if window != dictionary.channels:
        raise StoreError(
            f"{path}: made of channels {window.start} to {window.stop - 1}, but the calibration "
            f"has the window {dictionary.channels.start} to {dictionary.channels.stop - 1}: run "
            "denoise and the steps after it again with this calibration"
        )


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
