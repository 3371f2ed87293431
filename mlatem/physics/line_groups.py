# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of all elements in groups whose ratios are known to different degrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.elements import SYMBOLS
from mlatem.kernels.lines import add_lines
from mlatem.physics.absorption import (
    element_absorption_m2_kg,
    escape_probability,
    mass_absorption_m2_kg,
)
from mlatem.physics.detector import efficiency, fwhm_ev
from mlatem.physics.lines import Lines, emission_lines
from mlatem.units import FWHM_PER_SIGMA

Array = NDArray[np.float64]

#: Noble gases (they are in no solid but after implantation), and what has no long-lived isotope.
UNLIKELY = ("He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa")

#: Elements that are looked for where nobody names them, Be to U.
ELEMENTS = tuple(s for s in SYMBOLS[3:92] if s not in UNLIKELY)

SILICON_K_ALPHA_KEV = 1.740
_SILICON_EDGE_KEV = 1.839
_SILICON_YIELD = 0.0504
#: Share of the absorptions in the K shell, 1 - 1/r.
_SILICON_K_SHARE = 0.92


class LineGroup(NamedTuple):
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


def line_groups(
    energy: Array,
    *,
    elements: Sequence[str],
    beam_energy_kev: float,
    noise_ev: float,
    fano: float,
    detector: settings.Detector,
    take_off_angle_deg: float,
    mass_thickness_kg_m2: float = 0.0,
    composition: Mapping[str, float] | None = None,
) -> tuple[list[LineGroup], Array]:
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
    take_off_angle_deg : float
    mass_thickness_kg_m2 : float
        Density times thickness of the specimen; 0 leaves absorption out.
    composition : mapping of str to float, optional
        Atomic fractions, for absorption.

    Returns
    -------
    groups : list of LineGroup
        Those of which a part falls on the axis.
    columns : ndarray of shape (n_groups, n_energy)
        Barn per channel, as the columns of `mlatem.physics.dictionary.edxs_dictionary`.

    Raises
    ------
    InputError
        For an unknown element or a beam energy that is missing or outside the tables.
    """
    path = mass_thickness_kg_m2 / np.sin(np.deg2rad(take_off_angle_deg))
    groups, energies, weights, index = [], [], [], []
    for element in elements:
        lines = emission_lines(element, beam_energy_kev)
        detected = lines.cross_section_barn * efficiency(lines.energy_kev, detector)
        if path > 0 and composition:
            depth = path * mass_absorption_m2_kg(composition, lines.energy_kev)
            detected = detected * escape_probability(depth)
        names = np.array([_group_of(line) for line in lines.names])
        for name in dict.fromkeys(names.tolist()):
            member = names == name
            escaping = escape_share(lines.energy_kev[member])
            index.append(np.full(2 * escaping.size, len(groups)))
            groups.append(_group(element, name, lines, detected, member))
            energies += [lines.energy_kev[member], lines.energy_kev[member] - SILICON_K_ALPHA_KEV]
            weights += [detected[member] * (1.0 - escaping), detected[member] * escaping]
    center, area, row = (np.concatenate(parts) for parts in (energies, weights, index))
    present = area > 0
    center, area, row = center[present], area[present], row[present]
    columns = np.zeros((len(groups), energy.size))
    sigma = 1e-3 * fwhm_ev(center, noise_ev, fano) / FWHM_PER_SIGMA
    middle = 0.5 * (energy[1:] + energy[:-1])
    edges = np.concatenate([[2 * energy[0] - middle[0]], middle, [2 * energy[-1] - middle[-1]]])
    add_lines(columns, edges, row, center, sigma, area)
    seen = columns.sum(axis=1) > 0
    return [group for group, keep in zip(groups, seen, strict=True) if keep], columns[seen]


def escape_share(energy_kev: Array) -> Array:
    """Share of the counts of a line that lose a K photon of the detector's silicon.

    Notes
    -----
    ``0.5 w (1 - 1/r) [1 - (m_K / m_E) ln(1 + m_E / m_K)]`` above the K edge, with the yield w and
    the jump ratio of silicon and its attenuation at its own K line and at E (S. J. B. Reed and
    N. G. Ware, Journal of Physics E 5 (1972) 582).
    """
    own = element_absorption_m2_kg("Si", np.array([SILICON_K_ALPHA_KEV]))[0]
    ratio = np.maximum(element_absorption_m2_kg("Si", energy_kev) / own, 1e-12)
    leaving = 0.5 * _SILICON_YIELD * _SILICON_K_SHARE * (1.0 - np.log1p(ratio) / ratio)
    return np.where(energy_kev > _SILICON_EDGE_KEV, leaving, 0.0)


def _group_of(line: str) -> str:
    shell, source = line.split("-")
    if shell == "K":
        return "K alpha" if source.startswith("L") else "K beta"
    return shell


def _group(
    element: str, name: str, lines: Lines, detected: Array, member: NDArray[np.bool_]
) -> LineGroup:
    strongest = np.flatnonzero(member)[np.argmax(detected[member])]
    return LineGroup(
        element,
        name[0],
        name,
        lines.names[strongest],
        float(lines.energy_kev[strongest]),
        float(detected[member].sum()),
    )
