# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated specimens with known truth."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mlatem import settings
from mlatem.denoising.moments import tile_statistics
from mlatem.denoising.rank import low_rank
from mlatem.factorization.regions import (
    place_centroids,
    plan_pooling,
    tile_regions,
    tile_sample,
)
from mlatem.model import Dictionary, SparseCounts

LINES_KEV = {
    "O": (0.52,),
    "Mg": (1.25,),
    "Al": (1.49,),
    "Si": (1.74,),
    "Ca": (3.69, 4.01),
    "Ti": (4.51, 4.93, 0.45),
    "Cr": (5.41, 5.95, 0.57),
    "Fe": (6.40, 7.06, 0.70),
    "Zn": (8.64, 9.57, 1.01),
    "Cu": (8.05, 8.90, 0.93),
}
N_CONTINUUM = 3


def build_dictionary(n_energy=512):
    """Nine elements, the grid's copper and a continuum."""
    energy = np.linspace(0.3, 10.5, n_energy)
    columns = []
    for positions in LINES_KEV.values():
        column = np.zeros(n_energy)
        for position, height in zip(positions, (1.0, 0.13, 0.5), strict=False):
            width = np.sqrt(0.05**2 + 0.0025 * position) / 2.355
            column += height * np.exp(-0.5 * ((energy - position) / width) ** 2) / width
        columns.append(column)
    knots = np.linspace(np.log(0.3), np.log(10.5), N_CONTINUUM)
    for knot in knots:
        bump = np.exp(-0.5 * ((np.log(energy) - knot) / (knots[1] - knots[0])) ** 2)
        columns.append(bump / energy)
    names = [*LINES_KEV, *(f"continuum {i + 1}" for i in range(N_CONTINUUM))]
    n_lines = len(LINES_KEV)
    kinds = ["line"] * (n_lines - 1) + ["system"] + ["background"] * N_CONTINUUM
    elements = [*LINES_KEV, *([None] * N_CONTINUUM)]
    return Dictionary.from_arrays(columns, energy, names, kinds, elements)


ATOMIC = {
    "quartz": {"O": 0.667, "Si": 0.333},
    "olivine": {"O": 0.571, "Mg": 0.214, "Fe": 0.072, "Si": 0.143},
    "oxide": {"O": 0.60, "Cr": 0.25, "Al": 0.15},
    "titanite": {"O": 0.625, "Ca": 0.125, "Ti": 0.125, "Si": 0.125},
    "alloy": {"Fe": 0.62, "Zn": 0.30, "Cr": 0.08},
}


@dataclass(frozen=True)
class Specimen:
    counts: np.ndarray
    dictionary: Dictionary
    spectrum: np.ndarray
    atomic: np.ndarray
    abundance: np.ndarray

    def errors(self, coefficient):
        """Largest angle in degrees, mean error in at%, and the order that matches the truth."""
        from mlatem.factorization.alignment import matched
        from mlatem.factorization.pooled import spectral_angle

        found = coefficient @ self.dictionary.columns
        order = matched(self.spectrum, found)
        angle = np.degrees(spectral_angle(self.spectrum, found[order]))
        elements = coefficient[order][:, self.dictionary.quantified]
        atomic = 100 * elements / elements.sum(axis=1, keepdims=True)
        return angle.max(), np.abs(atomic - 100 * self.atomic).mean(), order


def specimen(n_phases, counts_per_pixel, seed=0, size=32):
    """Grains with sharp borders and, for the last phase, a particle that fades into them."""
    rng = np.random.default_rng(seed)
    dictionary = build_dictionary()
    atomic = np.zeros((n_phases, dictionary.n_columns))
    for k, composition in enumerate(list(ATOMIC.values())[:n_phases]):
        for element, fraction in composition.items():
            atomic[k, dictionary.names.index(element)] = fraction
    weight = atomic * dictionary.columns.sum(axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    shares = np.zeros_like(weight)
    shares[:, -N_CONTINUUM:] = rng.dirichlet(np.full(N_CONTINUUM, 5.0), n_phases)
    shares[:, dictionary.names.index("Cu")] = 0.3
    shares /= shares.sum(axis=1, keepdims=True)
    unit = dictionary.columns / dictionary.columns.sum(axis=1, keepdims=True)
    spectrum = (0.75 * weight + 0.25 * shares) @ unit
    rows, columns = np.mgrid[:size, :size]
    n_grains = max(1, n_phases - 1)
    stripe = np.floor((columns + 3 * np.sin(rows / 5)) * n_grains / size).clip(0, n_grains - 1)
    maps = np.eye(n_phases)[stripe.astype(int)]
    if n_phases > 1:
        radius = np.hypot(rows - 0.55 * size, columns - 0.5 * size) / (0.28 * size)
        particle = np.clip(1.8 * np.exp(-(radius**2)), 0, 1)
        maps = maps * (1 - particle)[..., None]
        maps[..., -1] += particle
    thickness = 1 + 0.2 * gaussian_filter(rng.standard_normal((size, size)), 6) * 10
    abundance = maps * (counts_per_pixel * thickness.clip(0.5, 1.5))[..., None]
    counts = rng.poisson(abundance @ spectrum).astype(np.uint16)
    quantified = atomic[:, dictionary.quantified]
    return Specimen(counts, dictionary, spectrum, quantified, abundance)


def score_axes(counts, dictionary, n_axes):
    basis = low_rank(tile_statistics(counts), dictionary, settings.Denoise(rank=n_axes))
    return basis.axes * basis.weights


def sparse(dense):
    return SparseCounts.from_dense(dense, np.arange(dense.shape[0] * dense.shape[1]))


def pooled_regions(example, *, n_axes=6, options=None):
    counts, shape = sparse(example.counts), example.counts.shape[:2]
    axes = score_axes(counts, example.dictionary, n_axes)
    total = float(counts.sum_spectrum().sum())
    plan = plan_pooling(total, counts.n_pixels, options=options)
    centroids = place_centroids(tile_sample(counts, axes, plan, shape=shape), plan)
    return tile_regions(counts, axes, centroids, plan, shape=shape)


@pytest.fixture(scope="session")
def make_specimen():
    return specimen


@pytest.fixture(scope="session")
def make_regions():
    return pooled_regions


@pytest.fixture(scope="session")
def make_axes():
    return score_axes


@pytest.fixture(scope="session")
def four_phases():
    """A specimen of four phases at 200 counts a pixel, and its pooled regions."""
    example = specimen(4, 200)
    return example, pooled_regions(example)
