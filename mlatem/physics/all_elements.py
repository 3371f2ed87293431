# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of all elements in groups whose ratios are known to different degrees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.elements import SYMBOLS
from mlatem.physics.absorption import element_absorption_m2_kg
from mlatem.physics.columns import add_peaks, channel_edges, check_axis
from mlatem.physics.detector import efficiency
from mlatem.physics.lines import Lines, emission_lines
from mlatem.physics.response import detector_peaks

Array = NDArray[np.float64]

#: Noble gases (they are in no solid but after implantation), and what has no long-lived isotope.
UNLIKELY = ("He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa")

#: Elements that are looked for where nobody names them, Be to U.
ELEMENTS = tuple(s for s in SYMBOLS[3:92] if s not in UNLIKELY)


class ElementGroup(NamedTuple):
    """The lines of one element that end in one shell; of K, alpha and beta apart."""

    element: str
    family: str
    """"K", "L" or "M"."""
    name: str
    """"K alpha", "K beta", "L1" ... "L3", "M1" ... "M5"."""
    line: str
    """The strongest line, "K-L3"."""
    energy_kev: float
    """Of that line."""
    total: float
    """Sum over all energies, barn, after the detector; what lies in the window is in `columns`."""


def element_groups(
    energy: Array,
    *,
    elements: Sequence[str],
    beam_energy_kev: float,
    noise_ev: float,
    fano: float,
    detector: settings.Detector,
) -> tuple[list[ElementGroup], Array]:
    """Spectra of groups of lines on an energy axis.

    Parameters
    ----------
    energy : ndarray of shape (n_energy,)
        Centres of the channels in keV, increasing.
    elements : sequence of str
    beam_energy_kev : float
    noise_ev, fano : float
        Resolution of the detector.
    detector : settings.Detector

    Returns
    -------
    groups : list of ElementGroup
        Those of which a part falls on the axis.
    columns : ndarray of shape (n_groups, n_energy)
        Barn per channel, as the columns of `mlatem.physics.dictionary.edxs_dictionary`.

    Raises
    ------
    InputError
        For an unknown element or a beam energy that is missing or outside the tables.
    """
    axis = check_axis(energy)
    groups: list[ElementGroup] = []
    energies, weights, shares, widths, index = [], [], [], [], []
    for element in elements:
        lines = emission_lines(element, beam_energy_kev)
        detected = lines.cross_section_barn * efficiency(lines.energy_kev, detector)
        names = np.array([_group_of(line) for line in lines.names])
        for name in dict.fromkeys(names.tolist()):
            member = names == name
            index.append(np.full(np.count_nonzero(member), len(groups)))
            groups.append(_group(element, name, lines, detected, member))
            energies.append(lines.energy_kev[member])
            weights.append(detected[member])
            shares.append(lines.share_of_family[member])
            widths.append(lines.natural_width_kev[member])
    row = np.concatenate(index)
    peaks = detector_peaks(
        np.concatenate(energies),
        np.concatenate(weights),
        (noise_ev, fano),
        detector,
        np.concatenate(shares),
        np.concatenate(widths),
    )
    columns = np.zeros((len(groups), axis.size))
    add_peaks(columns, channel_edges(axis), row[peaks.line], peaks)
    seen = columns.sum(axis=1) > 0
    return [group for group, keep in zip(groups, seen, strict=True) if keep], columns[seen]


def absorption_curve(element: str, energy: Array) -> Array:
    """Mass attenuation coefficient, m2/kg, interpolated from a fine grid; shape of `energy`."""
    grid, curve = _absorption_grid(element)
    return np.interp(energy, grid, curve)


@lru_cache(maxsize=128)
def _absorption_grid(element: str) -> tuple[Array, Array]:
    grid = np.geomspace(0.1, 60.0, 3000)
    return grid, element_absorption_m2_kg(element, grid)


def _group_of(line: str) -> str:
    shell, source = line.split("-")
    if shell == "K":
        return "K alpha" if source.startswith("L") else "K beta"
    return shell


def _group(
    element: str, name: str, lines: Lines, detected: Array, member: NDArray[np.bool_]
) -> ElementGroup:
    strongest = np.flatnonzero(member)[np.argmax(detected[member])]
    return ElementGroup(
        element,
        name[0],
        name,
        lines.names[strongest],
        float(lines.energy_kev[strongest]),
        float(detected[member].sum()),
    )
