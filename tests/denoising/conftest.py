# SPDX-License-Identifier: GPL-3.0-or-later
"""A small specimen with known truth: stripes of phases, and a phase on a few pixels only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlatem.denoising.moments import tile_statistics
from mlatem.model import Dictionary, SparseCounts, TileStatistics

LINES_KEV = {
    "O": (0.525,),
    "Al": (1.49,),
    "Si": (1.74,),
    "Ti": (4.51, 4.93),
    "Fe": (6.40, 7.06),
    "Ni": (7.48, 8.26),
    "Sr": (1.81, 14.1),
    "Zr": (2.04, 15.7),
    "Mo": (2.29, 17.4),
    "Ga": (9.25, 1.10),
}
PHASES = (
    {"Sr": 0.3, "Ti": 0.3, "O": 0.3, "continuum 1": 0.3},
    {"Fe": 0.5, "O": 0.3, "continuum 2": 0.3},
    {"Al": 0.2, "Si": 0.4, "O": 0.3, "continuum 1": 0.2},
)
RARE = {"Zr": 0.7, "O": 0.3}


def make_dictionary(n_energy: int, *, without: tuple[str, ...] = ()) -> Dictionary:
    """Gaussian lines of 120 eV and two continua on 0 to 20 keV."""
    energy = (np.arange(n_energy) + 0.5) * 20.0 / n_energy
    columns = {
        element: sum(
            weight * np.exp(-0.5 * ((energy - line) / 0.05) ** 2)
            for line, weight in zip(lines, (1.0, 0.3), strict=False)
        )
        for element, lines in LINES_KEV.items()
        if element not in without
    }
    elements = [*columns, "", ""]
    for i, power in enumerate((0.7, 1.3), start=1):
        columns[f"continuum {i}"] = energy**-power * -np.expm1(-((energy / 0.5) ** 3))
    return Dictionary.from_arrays(
        [c / c.sum() for c in columns.values()],
        energy,
        list(columns),
        ["line" if e else "background" for e in elements],
        elements,
    )


def expected_counts(
    side: int, n_energy: int, dose: float, *, n_rare: int = 0, n_phases: int = 3, seed: int = 0
) -> np.ndarray:
    """Expected counts of shape (side * side, n_energy); thickness varies from pixel to pixel."""
    rng = np.random.default_rng([seed, 1])
    columns = make_dictionary(n_energy)
    rows = dict(zip(columns.names, columns.columns, strict=True))

    def spectrum(amounts: dict[str, float]) -> np.ndarray:
        total = sum(amount * rows[name] for name, amount in amounts.items())
        return total / total.sum()

    phase = np.arange(side * side) // side * n_phases // side
    expected = np.array([spectrum(p) for p in PHASES])[phase]
    rare = rng.choice(side * side, n_rare, replace=False)
    expected[rare] = 0.5 * expected[rare] + 0.5 * spectrum(RARE)
    return dose * rng.uniform(0.6, 1.4, (side * side, 1)) * expected


def make_specimen(side=32, n_energy=512, dose=100.0, *, seed=0, **options):
    """Sparse counts, their statistics and the expected counts."""
    expected = expected_counts(side, n_energy, dose, seed=seed, **options)
    drawn = np.random.default_rng([seed, 2]).poisson(expected)
    counts = SparseCounts.from_dense(drawn, np.arange(side * side))
    return counts, tile_statistics(counts), expected


@pytest.fixture(scope="session")
def dictionary() -> Callable[..., Dictionary]:
    return make_dictionary


@pytest.fixture(scope="session")
def specimen() -> Callable[..., tuple[SparseCounts, TileStatistics, np.ndarray]]:
    return make_specimen
