# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading of what earlier steps wrote."""

from __future__ import annotations

from os import PathLike

from mlatem.errors import InputError, StoreError
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
    values = read_json(path)
    try:
        return Calibration.from_dict(values)
    except (TypeError, KeyError, AttributeError, InputError) as error:
        raise StoreError(
            f"{path}: not a calibration ({error}); run `mlatem calibrate` again"
        ) from None
