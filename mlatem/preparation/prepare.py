# SPDX-License-Identifier: GPL-3.0-or-later
"""Preprocessing of opened raw files, lazily: counts are read, cut and summed shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from mlatem.io.masks import read_mask
from mlatem.io.signals import RawSignals
from mlatem.model import SpectrumImage
from mlatem.preparation.cuts import binned, crop_of, cropped
from mlatem.preparation.drift import without_drift
from mlatem.preparation.notes import with_map
from mlatem.preparation.pixels import masked, without_bad_pixels
from mlatem.preparation.spikes import CountsWithoutSpikes, with_spikes_noted, without_spikes
from mlatem.settings import Preprocess


@dataclass(frozen=True)
class Prepared:
    """Signals whose counts are as they are to be stored."""

    signals: RawSignals
    settings: Preprocess
    spikes: CountsWithoutSpikes | None = None
    """Where spikes are replaced, those of the part of the map that has been read."""

    def review(self, image: SpectrumImage, totals: NDArray[np.int64]) -> SpectrumImage:
        """The X-ray map with its spikes noted and its bad pixels masked, once it has been read."""
        if self.spikes is not None:
            image = with_spikes_noted(image, self.spikes)
        return without_bad_pixels(image, totals, self.settings.bad_pixels)


def prepare(
    signals: RawSignals,
    settings: Preprocess,
    mask: str | PathLike[str] | NDArray[np.bool_] | None = None,
) -> Prepared:
    """Correct drift, mask, crop, replace spikes and sum channels; only the drift reads counts.

    Parameters
    ----------
    signals : RawSignals
        All is done to the X-ray map; spectrum images that have as many rows and columns are cropped
        with it.
    settings : settings.Preprocess
    mask : path-like or ndarray of shape (ny, nx), optional
        Pixels of the whole X-ray map that are left out, True or not zero.

    Raises
    ------
    InputError
        If the part to keep does not lie in the map, the mask is of another size or leaves out all,
        there are fewer channels than are to be summed, or drift cannot be corrected as asked.
    ReadError
        If the mask cannot be read.
    """
    whole = signals.xray_map
    if whole is None:
        return Prepared(signals, settings)
    label = signals.path or whole.name or "the map"
    crop = crop_of(whole, settings, label)
    if settings.drift != "off":
        signals = without_drift(signals, whole, settings.drift, label)
    if mask is not None:
        values = np.asarray(mask, dtype=bool) if isinstance(mask, np.ndarray) else read_mask(mask)
        signals = with_map(signals, masked(_map(signals), values, label))
    if crop is not None:
        signals = cropped(signals, whole.shape[:2], crop)
    spikes = None
    if settings.spikes:
        signals, spikes = without_spikes(signals, _map(signals), settings.spike_false_alarm, label)
    if settings.energy_bin > 1:
        signals = binned(signals, _map(signals), settings.energy_bin, label)
    return Prepared(signals, settings, spikes)


def _map(signals: RawSignals) -> SpectrumImage:
    """The X-ray map that is known to be there."""
    return next(image for image in signals.spectrum_images if image is signals.xray_map)
