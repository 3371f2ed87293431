# SPDX-License-Identifier: GPL-3.0-or-later
"""Detected spectra of the phases of a simulated specimen, as its physics wants them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.elements import atomic_number
from mlatem.io.detector_tables import described_detector
from mlatem.physics.absorption import (
    MIN_ENERGY_KEV,
    escape_probability,
    mass_absorption_m2_kg,
)
from mlatem.physics.casnati import casnati_k_cross_section
from mlatem.physics.columns import add_peaks
from mlatem.physics.detector import efficiency
from mlatem.physics.ionization import ionization_cross_section
from mlatem.physics.lines import Lines, emission_lines
from mlatem.physics.response import detector_peaks
from mlatem.specimen import Simulate

Spectra = NDArray[np.float64]


class Emission:
    """Photons that are detected per atom of each phase, with the physics of one specimen.

    Parameters
    ----------
    specimen : Simulate
    rng : numpy.random.Generator
        Draws the errors of the families of lines.
    """

    def __init__(self, specimen: Simulate, rng: np.random.Generator) -> None:
        self.specimen = specimen
        self.physics = specimen.physics
        self._detector = described_detector(specimen.physics.detector)
        elements = tuple(dict.fromkeys((*specimen.elements, *self.physics.system_fraction)))
        factors = _family_factors(elements, self.physics.family_sigma, rng)
        self._lines = {
            element: self._lines_of(element, factor)
            for element, factor in zip(elements, factors, strict=True)
        }

    @cached_property
    def file_energy_kev(self) -> Spectra:
        """Centres of the channels as the file names them, shape (n_energy,)."""
        specimen = self.specimen
        step = specimen.channel_ev * 1e-3
        channels = np.arange(specimen.n_channels, dtype=np.float64)
        return specimen.first_channel_kev + step * channels

    @cached_property
    def true_energy_kev(self) -> Spectra:
        """Photon energies at the centres of the channels, shape (n_energy,).

        ``(1 + gain) E + offset``, as a calibration corrects it.
        """
        return self._true(self.file_energy_kev)

    def line_spectra(self, phase: int, mass_thickness: Spectra) -> Spectra:
        """Characteristic lines of a phase.

        Parameters
        ----------
        phase : int
        mass_thickness : ndarray of shape (n_nodes,)
            Of the whole foil, kg/m2, for self-absorption in the phase's own composition.

        Returns
        -------
        spectra : ndarray of shape (n_nodes, n_energy)
            Barn per atom (of any kind).
        """
        composition = self.specimen.phases[phase].composition
        spectra = np.zeros((mass_thickness.size, self.specimen.n_channels))
        for element, fraction in composition.items():
            lines = self._lines[element]
            detected = fraction * lines.cross_section_barn * self._efficiency(lines.energy_kev)
            escaping = self._escaping(composition, lines.energy_kev, mass_thickness)
            for node, share in enumerate(escaping):
                self._add(spectra, node, lines, detected * share)
        return spectra

    def continuum_spectra(self, phase: int, mass_thickness: Spectra) -> Spectra:
        """Bremsstrahlung of a phase, up to a factor common to all phases.

        Parameters and shape are those of `line_spectra`.

        Notes
        -----
        Per atom proportional to Z^2 and to ``(E0 - E) / E`` (H. A. Kramers, Philosophical Magazine
        46 (1923) 836) or to E to the -`continuum_exponent`; zero below 0.1 keV. The detector's
        resolution is left out: the continuum is smooth but for small absorption edges.
        """
        energy = self.true_energy_kev
        inside = energy >= MIN_ENERGY_KEV
        composition = self.specimen.phases[phase].composition
        shape = self._continuum_shape(energy[inside]) * self._efficiency(energy[inside])
        escaping = self._escaping(composition, energy[inside], mass_thickness)
        spectra = np.zeros((mass_thickness.size, energy.size))
        spectra[:, inside] = mean_power_of_z(composition, 2.0) * shape * escaping
        return spectra

    def system_spectrum(self) -> Spectra:
        """Stray lines of the instrument, shape (n_energy,): counts per count of the specimen."""
        total = np.zeros(self.specimen.n_channels)
        for element, fraction in self.physics.system_fraction.items():
            lines = self._lines[element]
            spectrum = np.zeros((1, self.specimen.n_channels))
            detected = lines.cross_section_barn * self._efficiency(lines.energy_kev)
            self._add(spectrum, 0, lines, detected)
            if spectrum.sum() > 0:
                total += fraction * spectrum[0] / spectrum.sum()
        return total

    def _lines_of(self, element: str, factor: Mapping[str, float]) -> Lines:
        beam = self.specimen.beam_energy_kev
        lines = emission_lines(element, beam)
        scale = np.array([factor[family] for family in lines.families])
        if self.physics.ionization == "casnati":
            bote = ionization_cross_section(element, "K", beam)
            ratio = casnati_k_cross_section(element, beam) / bote if bote > 0 else 1.0
            # Vacancies that the cascade hands on to L and M keep their number: they are few.
            scale = np.where(np.array(lines.families) == "K", ratio * scale, scale)
        return replace(lines, cross_section_barn=lines.cross_section_barn * scale)

    def _add(self, spectra: Spectra, row: int, lines: Lines, area: Spectra) -> None:
        detector = self._detector
        peaks = detector_peaks(
            lines.energy_kev,
            area,
            (detector.noise_ev, detector.fano),
            detector,
            natural_width_kev=lines.natural_width_kev,
        )
        add_peaks(spectra, self._edges, np.full(peaks.area.size, row), peaks)

    @cached_property
    def _edges(self) -> Spectra:
        half = 0.5e-3 * self.specimen.channel_ev
        centres = self.file_energy_kev
        return self._true(np.append(centres - half, centres[-1] + half))

    def _true(self, energy: Spectra) -> Spectra:
        return energy * (1.0 + self.physics.axis_gain) + 1e-3 * self.physics.axis_offset_ev

    def _efficiency(self, energy: Spectra) -> Spectra:
        return efficiency(energy, self._detector)

    def _continuum_shape(self, energy: Spectra) -> Spectra:
        beam = self.specimen.beam_energy_kev
        if self.physics.continuum == "kramers":
            return np.clip(beam - energy, 0.0, None) / energy
        return np.where(energy < beam, energy**-self.physics.continuum_exponent, 0.0)

    def _escaping(
        self, composition: Mapping[str, float], energy: Spectra, mass_thickness: Spectra
    ) -> Spectra:
        """Share of the photons that leave the foil, shape (n_nodes, n_energy)."""
        if not self.physics.absorption:
            return np.ones((mass_thickness.size, energy.size))
        path = mass_thickness / np.sin(np.deg2rad(self.physics.detector.take_off_angle_deg))
        absorption = mass_absorption_m2_kg(composition, energy)
        return escape_probability(path[:, None] * absorption)


def mean_power_of_z(composition: Mapping[str, float], exponent: float) -> float:
    """Mean of a power of the atomic number over the atoms of a composition (fractions)."""
    return math.fsum(x * atomic_number(e) ** exponent for e, x in composition.items())


def _family_factors(
    elements: tuple[str, ...], sigma: Mapping[Any, float], rng: np.random.Generator
) -> list[dict[str, float]]:
    """Log-normal errors of the intensities of K, L and M lines, for each element."""
    families = ("K", "L", "M")
    draws = rng.standard_normal((len(elements), len(families)))
    return [
        {
            family: float(np.exp(sigma.get(family, 0.0) * z))
            for family, z in zip(families, row, strict=True)
        }
        for row in draws
    ]
