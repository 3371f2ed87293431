# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in the map each phase may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model.priors import Mask, PhasePlaces, Priors, Rectangle

Map = NDArray[np.bool_]


@dataclass(frozen=True)
class PhasePatterns:
    """Pixels in groups in which the same phases may be."""

    pattern: NDArray[np.int16]
    """Shape (ny, nx); index of the pattern of each pixel, in the order of their appearance."""
    allowed: NDArray[np.bool_]
    """Shape (n_patterns, n_named + 1); named phases in their order, then all others."""

    @property
    def n_patterns(self) -> int:
        """Number of patterns."""
        return len(self.allowed)

    def with_allowed(self, allowed: NDArray[np.bool_]) -> PhasePatterns:
        """The same groups of pixels, for other phases."""
        return replace(self, allowed=allowed)


def phase_patterns(priors: Priors, shape: tuple[int, int]) -> PhasePatterns | None:
    """Which phases may be in which pixel.

    Parameters
    ----------
    priors : Priors
        With their files read.
    shape : tuple of int
        Rows and columns of the map.

    Returns
    -------
    patterns : PhasePatterns or None
        None where nothing is known of places.

    Raises
    ------
    InputError
        If a region lies outside of the map, a phase is allowed nowhere, or two claim the same
        pixels for themselves.
    """
    if all(phase.regions == PhasePlaces() for phase in priors.phases.values()):
        return None
    names = list(priors.phases)
    allowed = np.ones((*shape, len(names) + 1), dtype=bool)
    pure: dict[str, Map] = {}
    for i, (name, phase) in enumerate(priors.phases.items()):
        only, never, alone = (
            _union(getattr(phase.regions, kind), priors, shape, f"phase {name!r}: {kind}")
            for kind in ("only_in", "not_in", "pure_in")
        )
        if only is not None:
            allowed[..., i] &= only
        if never is not None:
            allowed[..., i] &= ~never
        if not allowed[..., i].any():
            kinds = [kind for kind in ("only_in", "not_in") if getattr(phase.regions, kind)]
            raise InputError(
                f"phase {name!r}: {' and '.join(kinds)} leave no pixel of the map to it: correct "
                "one of them"
            )
        if alone is not None:
            if np.any(alone & ~allowed[..., i]):
                raise InputError(
                    f"phase {name!r}: pure_in claims pixels that only_in or not_in deny it: "
                    "correct one of them"
                )
            pure[name] = alone
    _check_pure(pure)
    for name, alone in pure.items():
        others = np.arange(len(names) + 1) != names.index(name)
        allowed &= ~(alone[..., None] & others)
    return _grouped(allowed)


def _check_pure(pure: dict[str, Map]) -> None:
    for i, (name, alone) in enumerate(pure.items()):
        for other, theirs in list(pure.items())[:i]:
            n_pixels = np.count_nonzero(alone & theirs)
            if n_pixels:
                raise InputError(
                    f"phases {other!r} and {name!r} are both pure_in the same {n_pixels} pixels: "
                    "correct one of them"
                )


def _grouped(allowed: Map) -> PhasePatterns:
    """Pixels with the same phases, numbered as they appear."""
    flat = allowed.reshape(-1, allowed.shape[-1])
    rows, first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), dtype=np.int16)
    number[order] = np.arange(len(order))
    return PhasePatterns(number[inverse.ravel()].reshape(allowed.shape[:-1]), rows[order])


def _union(
    places: Sequence[str | Rectangle | Mask], priors: Priors, shape: tuple[int, int], label: str
) -> Map | None:
    """Pixels of all the places together; None without any."""
    if not places:
        return None
    result = np.zeros(shape, dtype=bool)
    for place in places:
        name = f" {place!r}" if isinstance(place, str) else ""
        region = priors.regions[place] if isinstance(place, str) else place
        result |= _pixels(region, shape, label + name)
    return result


def _pixels(region: Rectangle | Mask, shape: tuple[int, int], label: str) -> Map:
    ny, nx = shape
    if isinstance(region, Mask):
        mask = np.asarray(region.mask)
        if mask.shape != shape:
            raise InputError(
                f"{label}: the mask has shape {mask.shape}, but the map has {ny} rows and {nx} "
                "columns: draw it on this map"
            )
        if not mask.any():
            raise InputError(f"{label}: the mask marks no pixel: draw it again")
        marked: Map = mask != 0
        return marked
    if region.y[1] > ny or region.x[1] > nx:
        raise InputError(
            f"{label}: rows {region.y[0]} to {region.y[1]} and columns {region.x[0]} to "
            f"{region.x[1]} reach out of the map of {ny} rows and {nx} columns: correct them"
        )
    result = np.zeros(shape, dtype=bool)
    result[region.y[0] : region.y[1], region.x[0] : region.x[1]] = True
    return result
