# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded specimens for the coverage of intervals: embedded and contiguous, with minor elements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from mlatem import Dictionary
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.simulation import maps

KINDS = ("embedded", "contiguous")
POOL = ("O", "Mg", "Al", "Si", "S", "Ca", "Ti", "Cr", "Fe", "Ni", "Zn", "Zr")
SIZE = 64
#: At% from which an element is no minor one.
MAJOR = 3.0
#: Shares of the counts in the continuum and in the stray lines of copper.
CONTINUUM, STRAY = 0.18, 0.02
#: Share of the atoms that must change places to turn one phase into another.
LEAST_DIFFERENCE = 0.3


@dataclass(frozen=True)
class Specimen:
    """The truth behind a map; its counts are drawn apart."""

    dictionary: Dictionary
    elements: tuple[str, ...]
    """Of the quantified columns, in their order."""
    atomic_percent: np.ndarray
    """Shape (n_phases, n_elements)."""
    spectrum: np.ndarray
    """Shape (n_phases, n_energy); rows add up to one."""
    share: np.ndarray
    """Shape (ny, nx, n_phases); expected counts for one count a pixel in the mean."""
    entropy: tuple[int, ...]

    def abundance(self, counts_per_pixel: float) -> np.ndarray:
        """Expected counts of each phase, shape (ny, nx, n_phases)."""
        return counts_per_pixel * self.share

    def counts(self, counts_per_pixel: float, draw: int) -> np.ndarray:
        """Poisson counts of exactly this model, shape (ny, nx, n_energy)."""
        random = np.random.default_rng([*self.entropy, int(counts_per_pixel), draw])
        mean = self.abundance(counts_per_pixel) @ self.spectrum
        return random.poisson(mean).astype(np.uint16)


def specimen(seed: int, kind: str, n_phases: int, *, lacking: bool = True) -> Specimen:
    """A specimen; the same for the same arguments.

    Six to nine elements, two to four of 3 at% and more in each phase, and in most phases a minor
    one of 0.2 to 3 at%. "embedded": particles in a matrix that are nowhere pure; they lack at
    least two of the main elements of the matrix or, if not `lacking`, none. "contiguous": grains.
    """
    entropy = (41, seed, KINDS.index(kind), n_phases, 2 if lacking else 0)
    random = np.random.default_rng(entropy)
    n_elements = int(random.integers(6, 10))
    dictionary = _dictionary(tuple(sorted(random.choice(POOL, n_elements, replace=False))))
    allowed = range(len(POOL) + 1)
    if kind == "embedded":
        allowed = range(2, len(POOL) + 1) if lacking else range(1)
    atomic = _compositions(n_phases, n_elements, allowed, random)
    quantified = dictionary.quantified
    area = dictionary.columns.sum(axis=1)
    weight = np.zeros((n_phases, dictionary.n_columns))
    weight[:, quantified] = atomic * area[quantified]
    weight *= (1 - CONTINUUM - STRAY) / weight.sum(axis=1, keepdims=True)
    kinds = np.array(dictionary.kinds)
    background, system = kinds == "background", np.flatnonzero(kinds == "system")
    continuum = random.dirichlet(np.full(background.sum(), 3.0), n_phases)
    weight[:, background] = CONTINUUM * continuum
    weight[:, system[np.argmax(area[system])]] += STRAY
    share = (_embedded if kind == "embedded" else _grains)(n_phases, random)
    thickness = maps.thickness_map((SIZE, SIZE), 1.0, random, bumps=0.1, correlation=8)
    return Specimen(
        dictionary,
        tuple(e for e, q in zip(dictionary.elements, quantified, strict=True) if q),
        100 * atomic,
        weight @ (dictionary.columns / area[:, None]),
        share * thickness[..., None],
        entropy,
    )


@cache
def _dictionary(elements: tuple[str, ...]) -> Dictionary:
    energy = 0.35 + 0.01 * np.arange(1000)
    return edxs_dictionary(
        energy, elements=elements, system_elements=("Cu",), beam_energy_kev=200.0
    )


def _compositions(
    n_phases: int, n_elements: int, allowed: range, random: np.random.Generator
) -> np.ndarray:
    """Atomic fractions, shape (n_phases, n_elements).

    Of the main elements of the first phase, each other phase lacks as many as are allowed.
    """
    least = MAJOR / 100
    while True:
        atomic = np.zeros((n_phases, n_elements))
        for k in range(n_phases):
            n_major = int(random.integers(2, 5))
            major = random.choice(n_elements, n_major, replace=False)
            rest = random.dirichlet(np.full(n_major, 1.5))
            atomic[k, major] = least + (1 - least * n_major) * rest
            if random.random() < 0.7:
                minor = 10 ** random.uniform(np.log10(0.002), np.log10(least))
                free = random.choice(np.flatnonzero(atomic[k] == 0))
                atomic[k] *= 1 - minor
                atomic[k, free] = minor
        lacking = [np.count_nonzero((atomic[0] > least) & (row < least)) for row in atomic[1:]]
        differ = 0.5 * np.abs(atomic[:, None] - atomic[None]).sum(axis=2) + np.eye(n_phases)
        if differ.min() > LEAST_DIFFERENCE and all(n in allowed for n in lacking):
            return atomic


def _embedded(n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Spheres of 3 to 7 pixels in a foil of 16 pixels; shape (SIZE, SIZE, n_phases)."""
    foil = np.full((SIZE, SIZE), 16.0)
    masks = [np.ones(foil.shape)]
    for _ in range(n_phases - 1):
        radii = random.uniform(3, 7, int(random.integers(3, 7)))
        centres = maps.scattered_centres(foil.shape, radii, random)
        mask = maps.particles_mask(foil.shape, centres, radii, thickness=foil)
        masks.append(gaussian_filter(mask, 0.7))
    return maps.paint(masks)


def _grains(n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Eight to fifteen grains; shape (SIZE, SIZE, n_phases)."""
    n_grains = int(random.integers(8, 16))
    phase = random.permutation(np.arange(n_grains) % n_phases)
    labels = maps.grain_labels((SIZE, SIZE), n_grains, random)
    return maps.blur_by_probe(np.eye(n_phases)[phase[labels]], 0.7)
