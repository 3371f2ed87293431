# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded specimens for denoising: four phases, a rare fifth on 16 pixels, and what one measures.

The counts come from `mlatem.simulation` with absorption by each phase at the local thickness and
a Kramers continuum; the dictionary knows only mean composition and thickness, and a continuum of
splines. The truth hence lies near the dictionary's span, not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from mlatem import Dictionary
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.simulation import maps
from mlatem.simulation.emission import Emission
from mlatem.simulation.expectation import Expectation, expectation
from mlatem.specimen import Simulate, SpecimenPhase, SpecimenPhysics

PHASES = {
    "SrTiO3": {"Sr": 20.0, "Ti": 20.0, "O": 60.0},
    "Fe2O3 with Co": {"Fe": 37.0, "Co": 3.0, "O": 60.0},
    "mullite": {"Al": 28.0, "Si": 10.0, "O": 62.0},
    "Ni-Al-Ti": {"Ni": 70.0, "Al": 20.0, "Ti": 10.0},
    "ZrO2": {"Zr": 33.3, "O": 66.7},
}
RARE_ELEMENT, RARE_LINE_KEV, RARE_SHARE = "Zr", 15.77, 0.5
N_CLUSTER, N_ISOLATED = 9, 7
SUPPORT_SHARE = 0.03
PROBE_PX = 0.8
FIRST_KEV = 0.36


@dataclass(frozen=True)
class Case:
    """Expected counts of a map, and what a method may know of it."""

    means: Expectation
    support: np.ndarray
    """Shape (n_energy,); counts of the support film and grid, the same in every pixel."""
    rare: np.ndarray
    """Shape (ny, nx); where the rare phase is."""
    fractions: np.ndarray
    """Shape (ny, nx, n_phases)."""
    energy: np.ndarray
    haadf: np.ndarray
    """Shape (ny, nx); thickness times Z^1.7 with 2 % of noise."""

    @property
    def shape(self) -> tuple[int, int]:
        ny, nx = self.rare.shape
        return ny, nx

    def expected_row(self, y: int) -> np.ndarray:
        """Expected counts of a row of pixels, shape (nx, n_energy)."""
        return self.means.row(y) + self.support

    def expected(self) -> np.ndarray:
        """Shape (ny * nx, n_energy)."""
        return np.concatenate([self.expected_row(y) for y in range(self.shape[0])])

    def counts(self, seed: int) -> np.ndarray:
        """Poisson counts of shape (ny, nx, n_energy), unsigned."""
        random = np.random.default_rng([seed, 7])
        rows = [random.poisson(self.expected_row(y)) for y in range(self.shape[0])]
        largest = max(int(row.max()) for row in rows)
        return np.stack([row.astype(np.min_scalar_type(largest)) for row in rows])

    def rare_line(self) -> np.ndarray:
        """Channels of the rare element's strongest line that nothing overlaps."""
        return np.flatnonzero(np.abs(self.energy - RARE_LINE_KEV) < 0.15)


def case(
    counts_per_pixel: float,
    seed: int,
    *,
    side: int = 128,
    n_energy: int = 1024,
    has_rare: bool = True,
    one_spectrum: bool = False,
) -> Case:
    """A specimen; the same for the same arguments.

    With one spectrum every phase has that of its mean thickness and the support's counts are a part
    of those of the foil: the map has as many axes as phases.
    """
    random = np.random.default_rng([2027, seed])
    shape = (side, side)
    specimen = Simulate(
        phases=tuple(
            SpecimenPhase(name=name, atomic_percent=atoms, **_kind(name))
            for name, atoms in PHASES.items()
        ),
        n_rows=side,
        n_columns=side,
        n_channels=n_energy,
        channel_ev=20.0 * 1024 / n_energy,
        first_channel_kev=FIRST_KEV,
        counts_per_pixel=counts_per_pixel * (1 - SUPPORT_SHARE),
        physics=SpecimenPhysics(system_fraction={"Cu": 1e-6}),
    )
    rare = _rare_pixels(shape, random) if has_rare else np.zeros(shape, dtype=bool)
    fractions = _fractions(shape, rare, random)
    thickness = maps.thickness_map(shape, 60.0, random, wedge=0.4, bumps=0.08, correlation=side / 8)
    emission = Emission(specimen, random)
    means = expectation(specimen, emission, fractions, thickness)
    support = emission.system_spectrum()
    support *= SUPPORT_SHARE * counts_per_pixel / support.sum()
    if one_spectrum:
        means, support = _with_one_spectrum(means, support)
    z_mean = np.array([38.0, 26.0, 13.0, 28.0, 40.0])
    haadf = thickness * (fractions @ z_mean**1.7)
    haadf *= 1 + 0.02 * random.standard_normal(shape)
    return Case(means, support, rare, fractions, emission.true_energy_kev, haadf)


def _with_one_spectrum(means: Expectation, support: np.ndarray) -> tuple[Expectation, np.ndarray]:
    """Expected counts whose phases have one spectrum each, the support's counts within."""
    total = np.einsum("yxp,yxn,pne->pne", means.amount, means.weight, means.spectra, optimize=True)
    spectra = total.sum(axis=1) / means.amount.sum(axis=(0, 1))[:, None].clip(1e-30)
    ny, nx, _ = means.amount.shape
    spectra += spectra.sum(axis=1, keepdims=True) * support * ny * nx / total.sum()
    n_nodes = means.spectra.shape[1]
    one = replace(means, spectra=np.repeat(spectra[:, None], n_nodes, axis=1))
    return one, np.zeros_like(support)


@cache
def dictionary(n_energy: int = 1024, *, without: tuple[str, ...] = ()) -> Dictionary:
    """All elements of the specimen and the copper of the grid, on the axis of a case."""
    elements = dict.fromkeys(e for atoms in PHASES.values() for e in atoms)
    energy = FIRST_KEV + 20.48 / n_energy * np.arange(n_energy)
    return edxs_dictionary(
        energy,
        elements=[e for e in elements if e not in without],
        system_elements=("Cu",),
        beam_energy_kev=200.0,
        mass_thickness_kg_m2=3e-4,
    )


def _kind(name: str) -> dict[str, dict[str, str]]:
    """The simulator wants shapes; the maps here are made by hand."""
    return {} if name == "SrTiO3" else {"shape": {"kind": "gradient"}}


def _rare_pixels(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """One square of 3 x 3 pixels and seven by themselves."""
    rare = np.zeros(shape, dtype=bool)
    y, x = random.integers(8, np.array(shape) - 12)
    rare[y : y + 3, x : x + 3] = True
    while rare.sum() < N_CLUSTER + N_ISOLATED:
        y, x = random.integers(2, np.array(shape) - 2)
        if not rare[y - 2 : y + 3, x - 2 : x + 3].any():
            rare[y, x] = True
    return rare


def _fractions(shape: tuple[int, int], rare: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Grains, particles, a layer into which the alloy diffuses, as the probe sees them."""
    side = shape[0]
    grains = maps.grains_mask(shape, side / 5, 0.3, random)
    radii = side * random.uniform(0.04, 0.09, 10)
    centres = maps.scattered_centres(shape, radii, random)
    foil = np.full(shape, 2.5 * radii.max())
    particles = maps.particles_mask(shape, centres, radii, thickness=foil)
    alloy = maps.gradient_mask(shape, start=0.65, stop=1.1, angle_deg=random.uniform(0, 360))
    painted = maps.paint([np.ones(shape), grains, particles, alloy, np.zeros(shape)])
    seen = maps.blur_by_probe(painted, PROBE_PX)
    seen[rare] *= 1 - RARE_SHARE
    seen[rare, -1] = RARE_SHARE
    return seen
