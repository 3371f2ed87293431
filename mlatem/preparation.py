# SPDX-License-Identifier: GPL-3.0-or-later
"""Preprocessing of opened raw files, lazily: counts are read, cut and summed shard by shard."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.errors import InputError
from mlatem.io.cut_views import BinnedCounts, CroppedCounts
from mlatem.io.masks import cropped_mask, read_mask
from mlatem.io.signals import RawSignals
from mlatem.model import Decision, SpectrumImage, Verdict
from mlatem.preprocessing.bad_pixels import dead_pixels, hot_pixels

_logger = logging.getLogger(__name__)

#: What the details of a map's group say of its preprocessing: decisions and verdicts.
DETAILS = "preprocess"
#: Share of masked pixels above which the mask is worth a look.
_MANY_MASKED = 0.2


@dataclass(frozen=True)
class Prepared:
    """Signals whose counts are as they are to be stored."""

    signals: RawSignals
    settings: _settings.Preprocess

    def review(self, image: SpectrumImage, totals: NDArray[np.int64]) -> SpectrumImage:
        """The X-ray map with its bad pixels masked, once the counts of its pixels are known."""
        given = image.mask
        bad, decisions = _bad_pixels(totals, given, self.settings.bad_pixels)
        mask = bad if given is None else given | bad
        if not mask.any():
            return _noted(image, decisions)
        n_masked = int(np.count_nonzero(mask))
        verdict = Verdict(
            "masked pixels",
            100.0 * n_masked / mask.size,
            100.0 * _MANY_MASKED,
            "%",
            "good" if n_masked <= _MANY_MASKED * mask.size else "warning",
            f"{n_masked} of {mask.size} pixels are left out of everything; column mask, "
            "preprocess.bad_pixels",
        )
        return _noted(replace(image, mask=mask), decisions, [verdict])


def prepare(
    signals: RawSignals,
    settings: _settings.Preprocess,
    mask: str | PathLike[str] | NDArray[np.bool_] | None = None,
) -> Prepared:
    """Crop, sum channels and mask, without reading any counts.

    Parameters
    ----------
    signals : RawSignals
        Spectrum images that have as many rows and columns as the X-ray map are cropped with it;
        channels are summed, and pixels masked, in that map only.
    settings : settings.Preprocess
    mask : path-like or ndarray of shape (ny, nx), optional
        Pixels of the whole X-ray map that are left out, True or not zero.

    Raises
    ------
    InputError
        If the part to keep does not lie in the map, the mask is of another size or leaves out all,
        or there are fewer channels than are to be summed.
    ReadError
        If the mask cannot be read.
    """
    whole = signals.xray_map
    if whole is None:
        return Prepared(signals, settings)
    label = signals.path or whole.name or "the map"
    crop = _crop(whole, settings, label)
    if crop is not None:
        signals = _cropped(signals, whole.shape[:2], crop)
    if mask is not None:
        values = np.asarray(mask, dtype=bool) if isinstance(mask, np.ndarray) else read_mask(mask)
        kept = crop or (slice(None), slice(None))
        part = cropped_mask(values, whole.shape[:2], kept, label)
        signals = _with_map(signals, mask=part)
    if settings.energy_bin > 1:
        signals = _binned(signals, whole, settings.energy_bin, label)
    return Prepared(signals, settings)


def verdicts_of(image: SpectrumImage) -> tuple[Verdict, ...]:
    """What the preprocessing of a stored map measured."""
    return tuple(Verdict(**v) for v in image.attrs.get(DETAILS, {}).get("verdicts", ()))


def decisions_of(image: SpectrumImage) -> tuple[Decision, ...]:
    """What was decided in the preprocessing of a stored map."""
    return tuple(Decision(**d) for d in image.attrs.get(DETAILS, {}).get("decisions", ()))


def _crop(
    image: SpectrumImage, settings: _settings.Preprocess, label: str
) -> tuple[slice, slice] | None:
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


def _cropped(signals: RawSignals, shape: tuple[int, int], crop: tuple[slice, slice]) -> RawSignals:
    rows, columns = crop

    def cut(image: SpectrumImage) -> SpectrumImage:
        if image.shape[:2] != shape:
            return image
        return replace(
            image,
            counts=CroppedCounts(image.counts, rows, columns),
            y_nm=image.y_nm[rows],
            x_nm=image.x_nm[columns],
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
    return _with_decision(replace(signals, spectrum_images=images, splits=splits), decision)


def _binned(signals: RawSignals, whole_map: SpectrumImage, n_summed: int, label: str) -> RawSignals:
    n_energy = whole_map.shape[2]
    if n_energy < 2 * n_summed:
        raise InputError(
            f"{label}: {n_energy} channels cannot be summed {n_summed} at a time: lower "
            "preprocess.energy_bin"
        )
    n_left = n_energy % n_summed
    whole = n_energy - n_left
    energy = whole_map.energy[:whole].reshape(-1, n_summed).mean(axis=1)
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
    images = tuple(
        replace(image, counts=BinnedCounts(image.counts, n_summed), energy=energy)
        if image is signals.xray_map
        else image
        for image in signals.spectrum_images
    )
    return _with_decision(replace(signals, spectrum_images=images), decision)


def _bad_pixels(
    totals: NDArray[np.int64], mask: NDArray[np.bool_] | None, kinds: str
) -> tuple[NDArray[np.bool_], list[Decision]]:
    """Pixels that are bad, of those that are used, and what is to be said of them."""
    bad = np.zeros(totals.shape, dtype=bool)
    decisions = []
    found = {
        "dead": dead_pixels if kinds != "none" else None,
        "hot": hot_pixels if kinds == "dead_and_hot" else None,
    }
    reasons = {
        "dead": "no count amid bright neighbours, which chance does not give",
        "hot": "far more counts than their neighbours, which chance does not give",
    }
    for kind, find in found.items():
        if find is None:
            continue
        these = find(totals, mask)
        n_found = int(np.count_nonzero(these))
        if n_found:
            decisions.append(
                Decision(
                    "convert",
                    f"{n_found} {kind} pixel{'s' if n_found > 1 else ''} masked",
                    reasons[kind],
                    "preprocess.bad_pixels",
                )
            )
            _logger.info("%d %s pixels masked", n_found, kind)
        bad |= these
    return bad, decisions


def _with_map(signals: RawSignals, **changes: Any) -> RawSignals:
    """The signals with an X-ray map of other counts, axes or attributes."""
    old = signals.xray_map
    images = tuple(
        replace(image, **changes) if image is old else image for image in signals.spectrum_images
    )
    return replace(signals, spectrum_images=images)


def _with_decision(signals: RawSignals, decision: Decision) -> RawSignals:
    images = tuple(
        _noted(image, [decision]) if image is signals.xray_map else image
        for image in signals.spectrum_images
    )
    return replace(signals, spectrum_images=images)


def _noted(
    image: SpectrumImage, decisions: list[Decision], verdicts: list[Verdict] | None = None
) -> SpectrumImage:
    """The map with more decisions and verdicts in its details."""
    if not decisions and not verdicts:
        return image
    known: Mapping[str, Any] = image.attrs.get(DETAILS, {})
    noted = {
        **known,
        "decisions": [*known.get("decisions", ()), *(d.to_dict() for d in decisions)],
        "verdicts": [*known.get("verdicts", ()), *(v.to_dict() for v in verdicts or ())],
    }
    return replace(image, attrs={**image.attrs, DETAILS: noted})
