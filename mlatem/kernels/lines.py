# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussian lines integrated over the channels of a spectrum."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: A line is left out where it is farther than this many standard deviations away.
REACH = 6.0


@njit(cache=True, nogil=True)
def add_lines(columns, edges, column, center, sigma, area):  # type: ignore[no-untyped-def]
    """Add Gaussian lines, integrated over each channel, to columns of spectra, in place.

    Parameters
    ----------
    columns : ndarray of shape (n_columns, n_energy)
    edges : ndarray of shape (n_energy + 1,)
        Increasing boundaries of the channels.
    column : ndarray of shape (n_lines,)
        The column to which each line belongs.
    center, sigma, area : ndarray of shape (n_lines,)
        Centre and standard deviation in the unit of `edges`, and integral of each line.

    Notes
    -----
    Channel i gains ``area/2 [erf(u_{i+1}) - erf(u_i)]``, ``u = (edge - center)/(sqrt(2) sigma)``.
    """
    for line in range(center.size):
        reach = REACH * sigma[line]
        first = max(0, np.searchsorted(edges, center[line] - reach) - 1)
        stop = min(edges.size - 1, np.searchsorted(edges, center[line] + reach))
        if first >= stop:
            continue
        scale = 1.0 / (math.sqrt(2.0) * sigma[line])
        half = 0.5 * area[line]
        below = math.erf((edges[first] - center[line]) * scale)
        for channel in range(first, stop):
            above = math.erf((edges[channel + 1] - center[line]) * scale)
            columns[column[line], channel] += half * (above - below)
            below = above
