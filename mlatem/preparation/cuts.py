# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a map, and sums of its channels."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from mlatem.errors import InputError
from mlatem.io.cut_views import BinnedCounts, CroppedCounts
from mlatem.io.signals import RawSignals
from mlatem.model import Decision, SpectrumImage
from mlatem.preparation.notes import noted, with_map
from mlatem.settings import Preprocess


def crop_of(image: SpectrumImage, settings: Preprocess, label: str) -> tuple[slice, slice] | None:
    """The rows and columns to keep; None for all."""
    if settings.crop_y is None and settings.crop_x is None:
        return None
    kept = []
    for axis, ends, size in zip(
        ("y", "x"), (settings.crop_y, settings.crop_x), image.shape[:2], strict=True
    ):
        first, end = ends or (0, size)
        if end > size:
            raise InputError(
                f"{label}: crop_{axis} keeps {first} to {end}, but the map has {size} of them: "
                f"give an end of at most {size}"
            )
        kept.append(slice(first, end))
    return kept[0], kept[1]


def cropped(signals: RawSignals, shape: tuple[int, int], crop: tuple[slice, slice]) -> RawSignals:
    """The signals with some rows and columns of every spectrum image of that shape (ny, nx)."""
    rows, columns = crop

    def cut(image: SpectrumImage) -> SpectrumImage:
        if image.shape[:2] != shape:
            return image
        mask = None if image.mask is None else image.mask[crop]
        return replace(
            image,
            counts=CroppedCounts(image.counts, rows, columns),
            y_nm=image.y_nm[rows],
            x_nm=image.x_nm[columns],
            mask=mask if mask is not None and mask.any() else None,
            attrs={**image.attrs, "n_scan_pixels": shape[0] * shape[1]},
        )

    ny, nx = shape
    decision = Decision(
        "convert",
        f"rows {rows.start} to {rows.stop - 1} and columns {columns.start} to {columns.stop - 1} "
        f"of {ny} x {nx} pixels",
        "asked for; counted from 0",
        "columns crop_y, crop_x; preprocess.crop_y, preprocess.crop_x",
    )
    splits = tuple(
        replace(s, parts=tuple(CroppedCounts(part, rows, columns) for part in s.parts))
        for s in signals.splits
    )
    images = tuple(cut(image) for image in signals.spectrum_images)
    signals = replace(signals, spectrum_images=images, splits=splits)
    image = signals.xray_map
    return signals if image is None else with_map(signals, noted(image, [decision]))


def binned(signals: RawSignals, image: SpectrumImage, n_summed: int, label: str) -> RawSignals:
    """The signals with so many channels of their X-ray map, `image`, summed into one.

    Raises
    ------
    InputError
        If there are not two such sums.
    """
    n_energy = image.shape[2]
    if n_energy < 2 * n_summed:
        raise InputError(
            f"{label}: {n_energy} channels cannot be summed {n_summed} at a time: lower "
            "preprocess.energy_bin"
        )
    n_left = n_energy % n_summed
    whole = n_energy - n_left
    energy = image.energy[:whole].reshape(-1, n_summed).mean(axis=1)
    spectra = signals.detector_spectra
    if spectra is not None:
        summed = spectra.values[:, :whole].reshape(len(spectra), -1, n_summed).sum(axis=2)
        spectra = xr.DataArray(summed, dims=spectra.dims, coords={"detector": spectra["detector"]})
    splits = tuple(
        replace(s, parts=tuple(BinnedCounts(part, n_summed) for part in s.parts))
        for s in signals.splits
    )
    left = f"; the last {n_left} channels fill no sum and are left out" if n_left else ""
    decision = Decision(
        "convert",
        f"{n_summed} channels of {n_energy} summed into one",
        f"asked for{left}",
        "preprocess.energy_bin",
    )
    signals = replace(signals, splits=splits, detector_spectra=spectra)
    summed_map = replace(image, counts=BinnedCounts(image.counts, n_summed), energy=energy)
    return with_map(signals, noted(summed_map, [decision]))
