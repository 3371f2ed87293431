# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the spectrum that is fitted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Decision, Dictionary

Array = NDArray[np.float64]

#: Share of the counts that may lie above the end of the fitted window.
_TAIL_SHARE = 1e-3
_LINE_MARGIN_KEV = 0.5


def fitted_window(
    counts: Array,
    energy: Array,
    beam_energy_kev: float,
    build: Callable[[Array], Dictionary],
    edxs: settings.Edxs,
) -> tuple[slice, Decision]:
    """Channels that are fitted, and why these.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    energy : ndarray of shape (n_energy,)
        As the file has it, keV.
    beam_energy_kev : float
    build : callable
        Dictionary on an axis; says where lines are.
    edxs : settings.Edxs

    Raises
    ------
    InputError
        If the window has no channels or no counts.
    """
    first = int(np.searchsorted(energy, edxs.energy_min_kev))
    end = min(edxs.energy_max_kev or np.inf, beam_energy_kev)
    stop = int(np.searchsorted(energy, end, side="right"))
    if stop - first < 2:
        raise InputError(
            f"the energy axis runs from {energy[0]:.2f} to {energy[-1]:.2f} keV and has no channel "
            f"between {edxs.energy_min_kev} and {end} keV: check the axis, or "
            "edxs.energy_min_kev and edxs.energy_max_kev"
        )
    reason = "edxs.energy_max_kev"
    if edxs.energy_max_kev is None:
        stop = _end_of_signal(counts, energy, first, stop, build)
        reason = f"{_TAIL_SHARE:.1%} of the counts and no line of the elements lie above"
    if not counts[first:stop].sum() > 0:
        raise InputError(
            f"no counts between {energy[first]:.2f} and {energy[stop - 1]:.2f} keV: check the "
            "energy axis, or edxs.energy_min_kev and edxs.energy_max_kev"
        )
    return (
        slice(first, stop),
        Decision(
            "calibrate",
            f"fitted from {energy[first]:.2f} to {energy[stop - 1]:.2f} keV",
            reason,
            "edxs.energy_min_kev, edxs.energy_max_kev",
        ),
    )


def _end_of_signal(
    counts: Array, energy: Array, first: int, stop: int, build: Callable[[Array], Dictionary]
) -> int:
    """Where the counts have died away, above all lines of the elements."""
    running = np.cumsum(counts[first:stop])
    tail = first + int(np.searchsorted(running, (1.0 - _TAIL_SHARE) * running[-1])) + 1
    dictionary = build(energy[first:stop])
    lines = dictionary.columns[[kind != "background" for kind in dictionary.kinds]]
    share = np.cumsum(lines, axis=1) / lines.sum(axis=1, keepdims=True)
    last = max(int(np.argmax(row > 1.0 - _TAIL_SHARE)) for row in share)
    margin = int(np.ceil(_LINE_MARGIN_KEV / (energy[1] - energy[0])))
    return min(max(tail, first + last + margin), stop)
