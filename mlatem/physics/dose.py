# SPDX-License-Identifier: GPL-3.0-or-later
"""Electrons that made the spectra of a map."""

from __future__ import annotations

from mlatem.model import Acquisition, Estimate
from mlatem.model.acquisition import Origin

ELECTRONS_PER_NA_S = 1e-9 / 1.602176634e-19


def electrons_per_pixel(acquisition: Acquisition, n_pixels: int) -> Estimate | None:
    """Dose of a pixel while the detector was live.

    Parameters
    ----------
    acquisition : Acquisition
    n_pixels : int
        Of the whole map.

    Returns
    -------
    electrons : Estimate or None
        None where the beam current or the time is not known.

    Notes
    -----
    Beam current times live time of the map over pixels; without a live time, times the dwell time
    of a pixel and the number of frames, in which dead time is not taken off.
    """
    current = acquisition.number("beam_current_na")
    if current is None or not current > 0:
        return None
    live, dwell = acquisition.number("live_time_s"), acquisition.number("dwell_time_s")
    if live is not None and live > 0:
        seconds, names = live / n_pixels, ("beam_current_na", "live_time_s")
    elif dwell is not None and dwell > 0:
        seconds = dwell * (acquisition.number("n_frames") or 1.0)
        names = ("beam_current_na", "dwell_time_s")
    else:
        return None
    origins = {acquisition[name].origin for name in names}
    origin: Origin = "default" if "default" in origins else "file" if "file" in origins else "user"
    return Estimate(current * seconds * ELECTRONS_PER_NA_S, None, origin)
