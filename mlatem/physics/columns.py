# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra of groups of lines on an energy axis."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.kernels.lines import add_lines
from mlatem.kernels.wings import add_wings
from mlatem.physics.line_factors import subshells
from mlatem.physics.lines import Lines
from mlatem.physics.response import Peaks, detector_peaks

#: A group of lines is usable if at least this share of it falls into the window.
USABLE_SHARE = 0.05

#: Distance from a line at which the wings of its natural width end, keV.
_WING_REACH_KEV = 2.0


class LineGroup(NamedTuple):
    """The lines of one element and family, or sub-shell, on the energy axis."""

    name: str
    """"K", "L", "M", or a sub-shell such as "L3"."""
    spectrum: NDArray[np.float64]
    """Shape (n_energy,), in the unit of the weights per channel."""
    usable: bool
    """Whether enough of it falls into the window."""


def check_axis(energy: ArrayLike) -> NDArray[np.float64]:
    """The channel centres as an array.

    Raises
    ------
    InputError
        If there are fewer than two, one is not finite, or they do not increase.
    """
    axis = np.asarray(energy, dtype=np.float64)
    if axis.ndim != 1 or axis.size < 2 or not np.all(np.isfinite(axis)):
        raise InputError(
            f"the energy axis has shape {axis.shape}: expected at least two finite channel centres"
        )
    if np.any(np.diff(axis) <= 0):
        raise InputError("the energy axis does not increase: flip it together with the data")
    return axis


def channel_edges(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boundaries of the channels, half-way between centres; shape (n_energy + 1,)."""
    middle = 0.5 * (axis[1:] + axis[:-1])
    first, last = 2 * axis[0] - middle[0], 2 * axis[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def add_peaks(
    columns: NDArray[np.float64],
    edges: NDArray[np.float64],
    column: NDArray[np.intp],
    peaks: Peaks,
) -> None:
    """Add peaks, with the wings of their natural width, to columns of spectra, in place.

    Parameters
    ----------
    columns : ndarray of shape (n_columns, n_energy)
    edges : ndarray of shape (n_energy + 1,)
        Boundaries of the channels, keV.
    column : ndarray of shape (n_peaks,)
        The column to which each peak belongs.
    peaks : Peaks
    """
    shape = peaks.energy_kev, peaks.sigma_kev
    add_lines(columns, edges, column, *shape, peaks.area)
    add_wings(columns, edges, column, *shape, peaks.half_width_kev, peaks.area, _WING_REACH_KEV)


def line_groups(
    axis: NDArray[np.float64],
    lines: Lines,
    weight: NDArray[np.float64],
    resolution: tuple[float, float],
    detector: settings.Detector,
    *,
    by: Literal["family", "shell"] = "family",
) -> list[LineGroup]:
    """Spectra of the lines of an element, by family or sub-shell.

    Parameters
    ----------
    axis : ndarray of shape (n_energy,)
        Channel centres, keV.
    lines : Lines
    weight : ndarray of shape (n_lines,)
        Area of each line.
    resolution : (float, float)
        Noise (FWHM, eV) and Fano factor.
    detector : settings.Detector
        For escape peaks and tails, which are part of the group of their line.
    by : {"family", "shell"}

    Returns
    -------
    list of LineGroup
        In alphabetical order; those outside the window are there too, not usable.
    """
    labels = np.array(lines.families if by == "family" else subshells(lines))
    names, index = np.unique(labels, return_inverse=True)
    spectra = np.zeros((names.size, axis.size))
    peaks = detector_peaks(
        lines.energy_kev,
        weight,
        resolution,
        detector,
        lines.share_of_family,
        lines.natural_width_kev,
    )
    add_peaks(spectra, channel_edges(axis), index[peaks.line], peaks)
    inside = spectra.sum(axis=1)
    total = np.bincount(index, weights=weight, minlength=names.size)
    usable = (inside > 0) & (inside >= USABLE_SHARE * total)
    return [LineGroup(*group) for group in zip(names.tolist(), spectra, usable, strict=True)]
