# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels that are left out: those of a mask, and bad ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Decision, SpectrumImage, Verdict
from mlatem.model.spectrum_image import check_mask
from mlatem.preparation.notes import noted
from mlatem.preprocessing.bad_pixels import dead_pixels, hot_pixels

_logger = logging.getLogger(__name__)

_REASONS = {
    "dead": "no count amid bright neighbours, which chance does not give",
    "hot": "far more counts than their neighbours, which chance does not give",
}
#: Share of masked pixels above which the mask is worth a look.
_MANY_MASKED = 0.2


def masked(image: SpectrumImage, mask: NDArray[np.bool_], label: str) -> SpectrumImage:
    """The map with more pixels left out.

    Raises
    ------
    InputError
        If the mask is not of the shape of the map, or no pixel is left.
    """
    check_mask(mask, image.shape[:2], label)
    return replace(image, mask=mask if image.mask is None else image.mask | mask)


def without_bad_pixels(
    image: SpectrumImage, totals: NDArray[np.int64], kinds: str
) -> SpectrumImage:
    """The map with its bad pixels masked, and what there is to say of the mask.

    Parameters
    ----------
    image : SpectrumImage
    totals : ndarray of shape (ny, nx)
        Counts of its pixels.
    kinds : str
        As in `settings.Preprocess.bad_pixels`.
    """
    mask = np.zeros(totals.shape, dtype=bool) if image.mask is None else image.mask
    decisions = []
    for kind, found in _bad(totals, image.mask, kinds):
        n_found = int(np.count_nonzero(found))
        if n_found:
            choice = f"{n_found} {kind} pixel{'s' if n_found > 1 else ''} masked"
            decisions.append(Decision("convert", choice, _REASONS[kind], "preprocess.bad_pixels"))
            _logger.info("%s", choice)
        mask = mask | found
    if not mask.any():
        return image
    n_masked = int(np.count_nonzero(mask))
    verdict = Verdict(
        "masked pixels",
        100.0 * n_masked / mask.size,
        100.0 * _MANY_MASKED,
        "%",
        "good" if n_masked <= _MANY_MASKED * mask.size else "warning",
        f"{n_masked} of {mask.size} pixels are left out of everything: column mask, "
        "preprocess.bad_pixels, preprocess.drift",
    )
    return noted(replace(image, mask=mask), decisions, [verdict])


def _bad(
    totals: NDArray[np.int64], mask: NDArray[np.bool_] | None, kinds: str
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if kinds != "none":
        yield "dead", dead_pixels(totals, mask)
    if kinds == "dead_and_hot":
        yield "hot", hot_pixels(totals, mask)
