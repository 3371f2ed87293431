# SPDX-License-Identifier: GPL-3.0-or-later
"""Expected counts of a simulated specimen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mlatem.errors import InputError
from mlatem.physics.atomic import atomic_weight, density_g_cm3
from mlatem.simulation.emission import Emission
from mlatem.specimen import Simulate, SpecimenPhase

_KG_M2_PER_NM_G_CM3 = 1e-6

#: Mass thicknesses at which absorption is computed; in between it is interpolated linearly, which
#: errs by less than 0.1 % where chi stays below 5.
_N_NODES = 33

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Means of the counts, as a sum over phases and over nodes of mass thickness."""

    spectra: Array
    """Counts per unit of `amount`, shape (n_phases, n_nodes, n_energy)."""
    amount: Array
    """Atoms of each phase per area, shape (ny, nx, n_phases); in nm mol/cm3."""
    weight: Array
    """Shares of the nodes that make up a pixel's mass thickness, shape (ny, nx, n_nodes)."""
    mass_thickness: Array
    """Of the foil, shape (ny, nx), kg/m2."""

    def row(self, y: int) -> Array:
        """Expected counts of a row of pixels, shape (nx, n_energy)."""
        n_pixels = self.amount.shape[1]
        mixture = self.amount[y, :, :, None] * self.weight[y, :, None, :]
        # Two nodes of all make up a pixel: sparse.
        return np.asarray(csr_array(mixture.reshape(n_pixels, -1)) @ self._flat_spectra)

    def by_phase(self) -> Array:
        """Expected counts of each phase in all channels, shape (ny, nx, n_phases)."""
        counts = self.weight @ self.spectra.sum(axis=2).T
        return np.asarray(self.amount * counts)

    def phase_spectra(self) -> Array:
        """Spectrum of each phase summed over the map, shape (n_phases, n_energy).

        Each adds up to one; zeros for a phase that is nowhere.
        """
        n_phases, n_nodes, _ = self.spectra.shape
        pixels_by_phase = self.amount.reshape(-1, n_phases)
        share = pixels_by_phase.T @ self.weight.reshape(-1, n_nodes)
        spectra = np.einsum("pn,pne->pe", share, self.spectra)
        total = spectra.sum(axis=1, keepdims=True)
        return np.asarray(spectra / np.where(total > 0, total, 1.0))

    @property
    def _flat_spectra(self) -> Array:
        return self.spectra.reshape(-1, self.spectra.shape[2])


def expectation(
    specimen: Simulate, emission: Emission, fractions: Array, thickness: Array
) -> Expectation:
    """Expected counts of a specimen whose phases are placed.

    Parameters
    ----------
    specimen : Simulate
    emission : Emission
    fractions : ndarray of shape (ny, nx, n_phases)
        Volume fractions.
    thickness : ndarray of shape (ny, nx)
        In nm.

    Returns
    -------
    Expectation

    Raises
    ------
    InputError
        If no line falls on the energy axis.

    Notes
    -----
    Pixel and channel hold, summed over phases p with volume fraction f, density rho and mean atomic
    weight A::

        dose * f_p t rho_p / A_p * [lines_p(E, m) + b continuum_p(E, m)]

    with the local mass thickness ``m = t sum_p f_p rho_p`` of the foil, plus the stray lines of the
    instrument in proportion to these counts. `b` gives the continuum its share of the specimen's
    counts and `dose` the map its mean counts per pixel.
    """
    density = np.array([phase_density(phase) for phase in specimen.phases])
    weights = np.array([_mean_atomic_weight(phase) for phase in specimen.phases])
    amount = thickness[..., None] * fractions * density / weights
    mass_thickness = _KG_M2_PER_NM_G_CM3 * thickness * (fractions @ density)
    nodes, weight = _nodes(mass_thickness)
    phases = range(len(specimen.phases))
    lines = np.stack([emission.line_spectra(phase, nodes) for phase in phases])
    continuum = np.stack([emission.continuum_spectra(phase, nodes) for phase in phases])

    share = specimen.physics.continuum_fraction
    presence = np.einsum("yxp,yxn->pn", amount, weight, optimize=True)
    line_counts = float((presence[..., None] * lines).sum())
    _check_lines(line_counts, specimen, emission)
    continuum_counts = float((presence[..., None] * continuum).sum())
    spectra = lines + share / (1.0 - share) * line_counts / continuum_counts * continuum
    spectra += spectra.sum(axis=2, keepdims=True) * emission.system_spectrum()
    total = float((presence[..., None] * spectra).sum())
    dose = specimen.counts_per_pixel * thickness.size / total
    return Expectation(dose * spectra, amount, weight, mass_thickness)


def phase_density(phase: SpecimenPhase) -> float:
    """Density of a phase in g/cm3: as given, or an estimate from its composition."""
    if phase.density_g_cm3 is not None:
        return phase.density_g_cm3
    return density_g_cm3(phase.composition)


def _check_lines(line_counts: float, specimen: Simulate, emission: Emission) -> None:
    if line_counts <= 0:
        first, last = emission.file_energy_kev[[0, -1]]
        raise InputError(
            f"specimen {specimen.name!r}: no line of {', '.join(specimen.elements)} falls on the "
            f"energy axis from {first:g} to {last:g} keV; mend first_channel_kev, n_channels or "
            "channel_ev"
        )


def _mean_atomic_weight(phase: SpecimenPhase) -> float:
    return sum(x * atomic_weight(element) for element, x in phase.composition.items())


def _nodes(mass_thickness: Array) -> tuple[Array, Array]:
    """Nodes over the range of a map, and the share of each in every pixel."""
    low, high = float(mass_thickness.min()), float(mass_thickness.max())
    if high <= low * (1.0 + 1e-9):
        return np.array([low]), np.ones((*mass_thickness.shape, 1))
    nodes = np.linspace(low, high, _N_NODES)
    position = (mass_thickness - low) / (nodes[1] - nodes[0])
    weight = np.clip(1.0 - np.abs(position[..., None] - np.arange(_N_NODES)), 0.0, None)
    return nodes, weight
