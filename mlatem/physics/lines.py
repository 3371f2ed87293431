# SPDX-License-Identifier: GPL-3.0-or-later
"""Characteristic X-ray lines excited by a beam of electrons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mlatem.physics.bote_salvat import SHELLS
from mlatem.physics.ionization import (
    check_beam_energy,
    check_tabulated,
    ionization_cross_section,
)
from mlatem.physics.relaxation import (
    fluorescence_yield,
    natural_width_kev,
    transitions,
    vacancies,
)

#: Below this energy (keV) no attenuation is tabulated; lines there are left out.
MIN_LINE_ENERGY_KEV = 0.1

#: Lines weaker than this share of their family's strongest are left out.
WEAKEST_LINE = 1e-4


@dataclass(frozen=True)
class Lines:
    """The characteristic lines of an element at one beam energy."""

    element: str
    names: tuple[str, ...]
    """IUPAC names such as "K-L3"."""
    families: tuple[str, ...]
    """"K", "L" or "M", the main shell of each line."""
    energy_kev: NDArray[np.float64]
    """Shape (n_lines,)."""
    cross_section_barn: NDArray[np.float64]
    """Shape (n_lines,); photons per atom, for one electron per barn."""
    natural_width_kev: NDArray[np.float64]
    """Shape (n_lines,); full width at half maximum before the detector."""

    @cached_property
    def share_of_family(self) -> NDArray[np.float64]:
        """Part of each line in the cross-section of its family; shape (n_lines,)."""
        family = np.unique(self.families, return_inverse=True)[1]
        total = np.bincount(family, weights=self.cross_section_barn)[family]
        share: NDArray[np.float64] = self.cross_section_barn / total
        return share


def emission_lines(element: str, beam_energy_kev: float | None) -> Lines:
    """Energies and emission cross-sections of all lines of an element.

    Parameters
    ----------
    element : str
        Chemical symbol, Be to Pu.
    beam_energy_kev : float
        20 to 400 keV.

    Returns
    -------
    Lines
        Cached: the arrays are read-only.

    Raises
    ------
    InputError
        If the element or the beam energy cannot be treated.

    Notes
    -----
    ``sigma_line = n_shell * yield_shell * rate_line`` with ``n_shell`` the ionisation cross-section
    of Bote and Salvat (2009) plus what Coster-Kronig transitions and the cascade from inner shells
    add (`mlatem.physics.relaxation.vacancies`).
    """
    check_tabulated(element)
    return _emission_lines(element, check_beam_energy(beam_energy_kev))


@lru_cache(maxsize=512)
def _emission_lines(element: str, beam_energy_kev: float) -> Lines:
    ionization = [ionization_cross_section(element, s, beam_energy_kev) for s in SHELLS]
    vacancy = vacancies(element, np.array(ionization))
    names, energies, intensities = [], [], []
    for shell, vacancy_barn in zip(SHELLS, vacancy, strict=True):
        photons_barn = vacancy_barn * fluorescence_yield(element, shell)
        for transition in transitions(element, shell):
            if transition.energy_kev >= MIN_LINE_ENERGY_KEV and photons_barn > 0:
                names.append(transition.name)
                energies.append(transition.energy_kev)
                intensities.append(photons_barn * transition.rate)
    families = np.array([name[0] for name in names])
    energy, intensity = np.array(energies), np.array(intensities)
    strong = np.zeros(len(names), dtype=bool)
    for family in np.unique(families):
        member = families == family
        strong |= member & (intensity >= WEAKEST_LINE * intensity[member].max())
    energy, intensity = energy[strong], intensity[strong]
    kept = tuple(name for name, keep in zip(names, strong, strict=True) if keep)
    width = np.array([natural_width_kev(element, name) for name in kept])
    for array in (energy, intensity, width):
        array.flags.writeable = False
    return Lines(
        element, kept, tuple(str(family) for family in families[strong]), energy, intensity, width
    )
