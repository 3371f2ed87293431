# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded specimens of known truth and many kinds, for what the data may leave undetermined.

The counts are drawn from the very model that will be fitted (the dictionary of `mlatem.physics`,
linear mixing), so that nothing but the geometry, the compositions and the noise can mislead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mlatem import Dictionary
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.simulation import maps

ELEMENTS = ("O", "Mg", "Al", "Si", "S", "Ca", "Ti", "Cr", "Fe", "Ni", "Zn", "Zr")
KINDS = ("embedded", "grains", "layers", "gradient", "mixed")
RELATIONS = ("different", "subset", "alike", "ratios")
COUNTS = (50.0, 100.0, 200.0, 500.0)
N_BACKGROUND = 3
LEAST_PERCENT = 4.0
#: Shares of atoms that must change places to turn one phase into another.
LEAST_DIFFERENCE = 0.2
MOST_PHASES = {"layers": 4, "gradient": 3, "subset": 4, "alike": 4, "ratios": 3}


@dataclass(frozen=True)
class Specimen:
    """Counts of a map and the truth behind them."""

    kind: str
    relation: str
    counts: np.ndarray
    """Shape (ny, nx, n_energy)."""
    dictionary: Dictionary
    weight: np.ndarray
    """Shape (n_phases, n_columns); share of the counts in each column."""
    atomic_percent: np.ndarray
    """Shape (n_phases, n_elements)."""
    abundance: np.ndarray
    """Shape (ny, nx, n_phases); expected counts."""

    @property
    def n_phases(self) -> int:
        return len(self.weight)

    @property
    def columns(self) -> np.ndarray:
        """Columns that add up to one, shape (n_columns, n_energy)."""
        return self.dictionary.columns / self.dictionary.columns.sum(axis=1, keepdims=True)

    @property
    def spectrum(self) -> np.ndarray:
        """Shape (n_phases, n_energy); each adds up to one."""
        return self.weight @ self.columns

    @property
    def share(self) -> np.ndarray:
        """Shape (ny, nx, n_phases); share of each phase in the counts of a pixel."""
        return self.abundance / self.abundance.sum(axis=2, keepdims=True)

    def oracle_deg(self) -> np.ndarray:
        """Angles to expect of a fit that knows abundances and zeros, from the information."""
        shape = self.weight.size
        flat = self.abundance.reshape(-1, self.n_phases)
        model, n_columns = flat @ self.spectrum, self.weight.shape[1]
        information = np.empty((self.n_phases, n_columns, self.n_phases, n_columns))
        for k in range(self.n_phases):
            channel = (flat[:, k, None] * flat).T @ (1.0 / model)
            for other in range(self.n_phases):
                information[k, :, other] = (self.columns * channel[other]) @ self.columns.T
        used = (self.weight > 0).ravel()
        covariance = np.zeros((shape, shape))
        matrix = information.reshape(shape, shape)[np.ix_(used, used)]
        covariance[np.ix_(used, used)] = np.linalg.inv(matrix)
        angle = np.empty(self.n_phases)
        for k, spectrum in enumerate(self.spectrum):
            own = slice(k * n_columns, (k + 1) * n_columns)
            direction = spectrum / np.linalg.norm(spectrum)
            across = self.columns - np.outer(self.columns @ direction, direction)
            variance = np.trace(across.T @ covariance[own, own] @ across)
            angle[k] = np.sqrt(variance) / np.linalg.norm(spectrum)
        return np.degrees(angle)


def specimen(
    kind: str,
    relation: str,
    n_phases: int,
    counts_per_pixel: float,
    seed: int,
    size: int = 64,
) -> Specimen:
    """A specimen; the same for the same arguments.

    Kinds: "embedded", particles that are never pure, in a matrix; "grains", a polycrystal;
    "layers", one next to the other, with diffuse borders; "gradient", a smooth change, at whose
    ends the phases are pure or not; "mixed", grains that hold one embedded phase.

    Relations of the compositions: "different", each phase has an element that the other lacks, for
    each pair; "subset", the first phase has all elements of the others; "alike", three of the same
    four elements each; "ratios", the same four elements in other ratios.
    """
    entropy = [KINDS.index(kind), RELATIONS.index(relation), n_phases, int(counts_per_pixel), seed]
    random = np.random.default_rng(entropy)
    shape = (size, size)
    share = _GEOMETRY[kind](shape, n_phases, random)
    thickness = maps.thickness_map(
        shape, 1.0, random, wedge=random.uniform(-0.5, 0.5), bumps=0.05, correlation=size / 8
    )
    atomic = _compositions(relation, n_phases, random)
    dictionary = _dictionary()
    of_lines = atomic * dictionary.columns[: len(ELEMENTS)].sum(axis=1)
    of_lines /= of_lines.sum(axis=1, keepdims=True)
    continuum = random.dirichlet(np.full(N_BACKGROUND, 5.0), n_phases)
    part = random.uniform(0.15, 0.35, (n_phases, 1))
    weight = np.hstack([(1 - part) * of_lines, part * continuum])
    bright = random.uniform(0.7, 1.4, n_phases)
    abundance = share * thickness[..., None] * bright
    abundance *= counts_per_pixel / abundance.sum(axis=2).mean()
    unit = dictionary.columns / dictionary.columns.sum(axis=1, keepdims=True)
    counts = random.poisson(abundance @ (weight @ unit)).astype(np.uint16)
    return Specimen(kind, relation, counts, dictionary, weight, 100 * atomic, abundance)


def draw(seed: int) -> Specimen:
    """A specimen of random kind, relation, number of phases and dose."""
    random = np.random.default_rng([2026, seed])
    kind = KINDS[seed % len(KINDS)]
    relation = str(random.choice(RELATIONS, p=(0.4, 0.2, 0.2, 0.2)))
    most = min(MOST_PHASES.get(kind, 6), MOST_PHASES.get(relation, 6))
    n_phases = int(random.integers(2, most + 1))
    return specimen(kind, relation, n_phases, float(random.choice(COUNTS)), seed)


@cache
def _dictionary() -> Dictionary:
    energy = 0.35 + 0.02 * np.arange(500)
    return edxs_dictionary(
        energy, elements=ELEMENTS, beam_energy_kev=200.0, n_background=N_BACKGROUND
    )


def _compositions(relation: str, n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Atomic fractions, shape (n_phases, n_elements)."""
    while True:
        held = _held(relation, n_phases, random)
        atomic = np.zeros(held.shape)
        for k in range(n_phases):
            count = held[k].sum()
            rest = random.dirichlet(np.full(count, 1.5))
            least = LEAST_PERCENT / 100
            atomic[k, held[k]] = least + (1 - count * least) * rest
        differ = np.abs(atomic[:, None] - atomic[None]).sum(axis=2) / 2 + np.eye(n_phases)
        if differ.min() > LEAST_DIFFERENCE:
            return atomic


def _held(relation: str, n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Which phase holds which element."""
    everything = len(ELEMENTS)
    if relation == "different":
        sets = [
            random.choice(everything, random.integers(2, 5), replace=False) for _ in range(n_phases)
        ]
    else:
        pool = random.choice(everything, 6 if relation == "subset" else 4, replace=False)
        size = {"subset": 3, "alike": 3, "ratios": 4}[relation]
        sets = [random.choice(pool, size, replace=False) for _ in range(n_phases)]
        sets[0] = pool if relation == "subset" else sets[0]
    held = np.zeros((n_phases, everything), dtype=bool)
    for k, elements in enumerate(sets):
        held[k, elements] = True
    lacking = (held[None] & ~held[:, None]).any(axis=2) | np.eye(n_phases, dtype=bool)
    if relation == "different" and not lacking.all():
        return _held(relation, n_phases, random)
    return held


def _embedded(shape: tuple[int, int], n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Spheres that fill at most some of the thickness, so many of each phase."""
    n_particles = int(random.integers(4, 9))
    radii = shape[0] * random.uniform(0.05, 0.11, (n_phases - 1) * n_particles)
    radii /= np.sqrt(max(1.0, (n_phases - 1) / 2))
    centres = maps.scattered_centres(shape, radii, random)
    foil = np.full(shape, 2 * radii.max() / random.uniform(0.35, 0.85))
    masks = [np.ones(shape)]
    for k in range(n_phases - 1):
        own = slice(k * n_particles, (k + 1) * n_particles)
        masks.append(maps.particles_mask(shape, centres[own], radii[own], thickness=foil))
    return maps.blur_by_probe(maps.paint(masks), 0.5)


def _grains(shape: tuple[int, int], n_phases: int, random: np.random.Generator) -> np.ndarray:
    labels = maps.grain_labels(shape, 5 * n_phases, random)
    share = np.eye(n_phases)[labels % n_phases]
    return maps.blur_by_probe(share, random.uniform(0.4, 1.2))


def _layers(shape: tuple[int, int], n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Each at least an eighth of the map wide."""
    widths = 1 / 8 + (1 - n_phases / 8) * random.dirichlet(np.full(n_phases, 2.0))
    ends = np.cumsum(widths)[:-1]
    wave = random.uniform(0, 0.03) * maps.smooth_field((shape[0], 1), shape[0] / 8, random)
    position = (np.arange(shape[1]) + 0.5)[None] / shape[1] + wave
    share = np.eye(n_phases)[np.searchsorted(ends, position)]
    diffuse = random.uniform(0, 3)
    return np.stack([maps.soften(m, diffuse) for m in np.moveaxis(share, 2, 0)], axis=2)


def _gradient(shape: tuple[int, int], n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Along one direction, a third phase across it; with pure ends, or cut off before them."""
    pure = random.random() < 0.5
    angle = random.uniform(0, 180)
    masks = [np.ones(shape)]
    for k in range(n_phases - 1):
        start, stop = (0.2, 0.8) if pure else (-0.3, 1.3)
        masks.append(
            maps.gradient_mask(shape, start=start, stop=stop, angle_deg=angle + 90 * k, maximum=1.0)
        )
    return maps.paint(masks)


def _mixed(shape: tuple[int, int], n_phases: int, random: np.random.Generator) -> np.ndarray:
    """Grains of all phases but the last, which is embedded in them."""
    if n_phases == 2:
        return _embedded(shape, 2, random)
    grains = _grains(shape, n_phases - 1, random)
    particle = _embedded(shape, 2, random)[..., 1:]
    return np.concatenate([grains * (1 - particle), particle], axis=2)


_GEOMETRY = {
    "embedded": _embedded,
    "grains": _grains,
    "layers": _layers,
    "gradient": _gradient,
    "mixed": _mixed,
}
