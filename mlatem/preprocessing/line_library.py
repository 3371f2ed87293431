# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of all elements, and the ways in which they may be wrong as directions beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: A family of lines is looked at if at least this share of it falls on the axis.
USABLE_SHARE = 0.05

#: Relative sigma of a family against the hardest that has a part of the counts on the axis. Soft
#: lines are absorbed by an unknown amount in a specimen of unknown thickness.
_LEAST_REFERENCE = 0.02
_FAMILY_SIGMA = {"K": 0.15, "L": 0.2, "M": 0.4}
_SOFT_SIGMA, _SOFT_KEV = 0.5, 1.2
#: Relative sigma of a group of lines against the strongest of its family.
_GROUP_SIGMA = {"K": 0.05, "L": 0.15, "M": 0.3}
#: Sigma of the tabulated energies of a family's lines, keV.
_LINE_SIGMA_KEV = {"K": 0.7e-3, "L": 1.5e-3, "M": 4e-3}
#: Sigma of the share of a line's counts in its low-energy tail, and the tail's decay, keV.
_TAIL_SIGMA, _TAIL_KEV = 0.02, 0.15
#: Channels are merged where lines are wide: up to these energies (keV) bins of this width.
_BIN_WIDTHS_KEV = ((2.5, 0.010), (8.0, 0.020), (np.inf, 0.030))
#: Directions that all elements share: offset, gain, noise, Fano factor.
N_COMMON = 4


@dataclass(frozen=True)
class AxisSigma:
    """Standard deviations of what is not known of the energy axis and the detector."""

    offset_kev: float
    gain: float
    noise_ev: float
    fano: float


@dataclass(frozen=True)
class ElementShape:
    """An element for one count on the axis, with what may be wrong with it; merged channels."""

    column: Array
    """Shape (n_bins,); adds up to one."""
    families: Mapping[str, Array]
    """Parts of the column by family."""
    directions: Array
    """Shape (4 + n_own, n_bins); changes by one sigma of offset, gain, noise and Fano factor, then
    of the element's families, groups, energies and tails."""


@dataclass(frozen=True)
class LineLibrary:
    """Spectra of groups of lines of all elements on one axis, with the continuum."""

    energy: Array
    """Shape (n_energy,); centres of the channels, keV."""
    groups: Array
    """Shape (n_groups, n_energy); a scale common to all lines of an element."""
    totals: Array
    """Shape (n_groups,); sum of each group over all energies, also beyond the axis."""
    elements: tuple[str, ...]
    """Of each group."""
    families: tuple[str, ...]
    """Of each group: "K", "L" or "M"."""
    lines: tuple[str, ...]
    """Strongest line of each group."""
    line_energy_kev: Array
    """Shape (n_groups,); of that line."""
    continuum: Array
    """Shape (n_continuum, n_energy); not negative."""
    absorption: Mapping[str, Array]
    """Of each element, shape (n_energy,): relative loss of the continuum in a thin specimen."""
    variance_per_noise: float
    """Change of a line's variance, keV^2 per eV of noise."""
    variance_per_fano: Array
    """Shape (n_energy,); the same per unit of the Fano factor."""
    axis_sigma: AxisSigma
    _shapes: dict[str, ElementShape] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def bins(self) -> NDArray[np.intp]:
        """First channel of each bin of merged channels."""
        starts = [0]
        for channel, energy in enumerate(self.energy.tolist()):
            width = next(w for end, w in _BIN_WIDTHS_KEV if energy < end)
            if energy - self.energy[starts[-1]] > width - 1e-6:
                starts.append(channel)
        return np.array(starts)

    def merged(self, spectra: Array) -> Array:
        """Sums over the bins, along the last axis."""
        sums: Array = np.add.reduceat(spectra, self.bins, axis=-1)
        return sums

    @cached_property
    def bin_energy(self) -> Array:
        """Shape (n_bins,); centres of the bins, keV."""
        return self.merged(self.energy) / self.bin_size

    @cached_property
    def bin_size(self) -> Array:
        """Shape (n_bins,); channels in each bin."""
        return np.diff(np.append(self.bins, self.energy.size)).astype(float)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Elements of which a family falls on the axis."""
        inside = self.groups.sum(axis=1)
        return tuple(
            element
            for element, families in self.rows.items()
            if any(inside[m].sum() > USABLE_SHARE * self.totals[m].sum() for m in families.values())
        )

    @cached_property
    def rows(self) -> dict[str, dict[str, list[int]]]:
        """Groups of every element, by family."""
        rows: dict[str, dict[str, list[int]]] = {}
        for row, (element, family) in enumerate(zip(self.elements, self.families, strict=True)):
            rows.setdefault(element, {}).setdefault(family, []).append(row)
        return rows

    def strongest_line(self, element: str) -> tuple[str, float]:
        """Name and energy (keV) of the line with most counts on the axis."""
        members = [row for family in self.rows[element].values() for row in family]
        row = max(members, key=lambda r: float(self.groups[r].sum()))
        return self.lines[row], float(self.line_energy_kev[row])

    @cached_property
    def columns(self) -> dict[str, Array]:
        """Column of each of `names`, in bins, adding up to one."""
        merged = self.merged(self.groups)
        sums = {
            e: np.sum([merged[m].sum(axis=0) for m in self.rows[e].values()], axis=0)
            for e in self.names
        }
        return {element: column / column.sum() for element, column in sums.items()}

    @cached_property
    def merged_continuum(self) -> Array:
        """Shape (n_continuum, n_bins); each adds up to one."""
        merged = self.merged(self.continuum)
        shares: Array = merged / merged.sum(axis=1, keepdims=True)
        return shares

    @cached_property
    def merged_absorption(self) -> dict[str, Array]:
        """`absorption` in bins."""
        return {e: self.merged(curve) / self.bin_size for e, curve in self.absorption.items()}

    def shape(self, element: str) -> ElementShape:
        """Column and directions of an element."""
        if element not in self._shapes:
            self._shapes[element] = self._shape(element)
        return self._shapes[element]

    def _shape(self, element: str) -> ElementShape:
        families = self.rows[element]
        spectra = {name: self.groups[members].sum(axis=0) for name, members in families.items()}
        total = np.sum(list(spectra.values()), axis=0)
        area = total.sum()
        reference = self._reference(families, spectra)
        directions = []
        for name, members in families.items():
            if name != reference:
                directions.append(self._family_sigma(element, name, reference) * spectra[name])
            strongest = max(members, key=lambda r: float(self.groups[r].sum()))
            directions += [
                _GROUP_SIGMA[name] * self.groups[row] for row in members if row != strongest
            ]
            directions.append(_LINE_SIGMA_KEV[name] * np.gradient(spectra[name], self.energy))
            directions.append(_TAIL_SIGMA * self._tail(spectra[name]))
        slope = np.gradient(total, self.energy)
        bend = 0.5 * np.gradient(slope, self.energy)
        common = [
            self.axis_sigma.offset_kev * slope,
            self.axis_sigma.gain * self.energy * slope,
            self.axis_sigma.noise_ev * self.variance_per_noise * bend,
            self.axis_sigma.fano * self.variance_per_fano * bend,
        ]
        return ElementShape(
            column=self.columns[element],
            families={name: self.merged(s) / area for name, s in spectra.items()},
            directions=self.merged(np.array(common + directions)) / area,
        )

    def _reference(self, families: Mapping[str, list[int]], spectra: Mapping[str, Array]) -> str:
        """The hardest family that is well on the axis: the others may be absorbed, up to all."""
        total = sum(float(spectrum.sum()) for spectrum in spectra.values())
        for name in sorted(families):
            inside = float(spectra[name].sum())
            whole = float(self.totals[families[name]].sum())
            if inside > max(USABLE_SHARE * whole, _LEAST_REFERENCE * total):
                return name
        return max(spectra, key=lambda name: float(spectra[name].sum()))

    def _family_sigma(self, element: str, family: str, reference: str) -> float:
        energies = [
            self.line_energy_kev[max(self.rows[element][f], key=lambda r: float(self.totals[r]))]
            for f in (family, reference)
        ]
        sigma = _FAMILY_SIGMA[reference if family == "K" else family]
        return max(sigma, _SOFT_SIGMA) if min(energies) < _SOFT_KEV else sigma

    def _tail(self, spectrum: Array) -> Array:
        """Counts that lost a part of their charge: an exponential tail, less the line itself."""
        from scipy.signal import lfilter  # 20 MB that most analyses do not need

        decay = np.exp(-(self.energy[1] - self.energy[0]) / _TAIL_KEV)
        tail: Array = lfilter([1.0 - decay], [1.0, -decay], spectrum[::-1])[::-1]
        return tail - spectrum
