# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with a known truth for the benchmark of the factorisation, and how far an answer is off."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment, nnls

from mlatem import Dictionary

ELEMENTS = ("C", "O", "Mg", "Al", "Si", "S", "Ca", "Ti", "Cr", "Fe", "Ni", "Cu")
KEV_PER_CHANNEL = 0.01
N_PHASES = 4
BENCH = Path(os.environ.get("MLATEM_TEST_BENCH", "../shared/bench"))
NAMES = ("paper64_N293", "paper32_iso293", "paper32_iso18", "particules80_N500")


@dataclass(frozen=True)
class Truth:
    """A dictionary, the phases made of it, and their abundances."""

    dictionary: Dictionary
    spectrum: np.ndarray
    """Shape (n_phases, n_energy); rows add up to one."""
    abundance: np.ndarray
    """Shape (ny, nx, n_phases); expected counts."""


def simulated(size: int, n_energy: int = 2048, counts_per_pixel: float = 100.0) -> Truth:
    """Four phases of twelve elements with lines of their own, and two continua.

    Abundances are the soft maximum of smooth random maps, some size / 16 pixels from phase to
    phase. The counts will be drawn from exactly this model.
    """
    random = np.random.default_rng(0)
    energy = KEV_PER_CHANNEL * (10 + np.arange(n_energy))
    lines = random.uniform(0.3, 18.0, (len(ELEMENTS), 5, 1))
    heights = random.uniform(0.2, 1.0, lines.shape)
    columns = (heights * np.exp(-0.5 * ((energy - lines) / 0.06) ** 2)).sum(axis=1)
    continua = [np.exp(-energy / fall) * -np.expm1(-2 * energy) for fall in (5.0, 1.5)]
    columns = np.vstack([columns, continua])
    columns /= columns.sum(axis=1, keepdims=True)
    of_lines = 0.6 * random.dirichlet(np.full(len(ELEMENTS), 0.6), N_PHASES)
    weight = np.hstack([of_lines, np.tile([0.25, 0.15], (N_PHASES, 1))])
    noise = random.standard_normal((size, size, N_PHASES))
    smooth = gaussian_filter(noise, (size / 16, size / 16, 0), mode="wrap")
    share = np.exp(3.0 * smooth / smooth.std(axis=(0, 1)))
    share /= share.sum(axis=2, keepdims=True)
    dictionary = Dictionary.from_arrays(
        columns,
        energy,
        [*ELEMENTS, "continuum 1", "continuum 2"],
        ["line"] * len(ELEMENTS) + ["background"] * 2,
        [*ELEMENTS, None, None],
    )
    return Truth(dictionary, weight @ columns, counts_per_pixel * share)


def write_counts(truth: Truth, path: Path, tile: int = 128) -> Path:
    """A Zarr array of counts, drawn tile by tile; what is there already stays."""
    if path.exists():
        return path
    ny, nx = truth.abundance.shape[:2]
    n_energy = truth.spectrum.shape[1]
    part = path.with_suffix(".writing")
    array = zarr.create_array(
        part, shape=(ny, nx, n_energy), chunks=(tile, tile, n_energy), dtype="uint8"
    )
    random = np.random.default_rng(1)
    for y in range(0, ny, tile):
        for x in range(0, nx, tile):
            block = truth.abundance[y : y + tile, x : x + tile] @ truth.spectrum
            array[y : y + tile, x : x + tile] = random.poisson(block).astype(np.uint8)
    part.rename(path)
    return path


def angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Degrees between spectra along the last axis."""
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2, 0, 1)))


def matched(truth: np.ndarray, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the phases that brings them nearest to the truth, and the angles left, degrees."""
    table = angles(truth[:, None], spectrum[None])
    row, order = linear_sum_assignment(table)
    return order, table[row, order]


@dataclass(frozen=True)
class Case:
    """A case of espm's simulator with its truth."""

    counts: np.ndarray
    dictionary: Dictionary
    spectrum: np.ndarray
    abundance: np.ndarray
    """Shape (n_phases, n_pixels); adds up to one."""
    atomic_percent: np.ndarray
    """Shape (n_phases, n_elements)."""

    @classmethod
    def load(cls, name: str) -> Case:
        """A case of the folder that MLATEM_TEST_BENCH names."""
        with np.load(BENCH / f"{name}.npz") as file:
            elements = [str(element) for element in file["elements"]]
            n_others = file["G"].shape[1] - len(elements)
            dictionary = Dictionary.from_arrays(
                file["G"].T,
                file["E"],
                [*elements, *(f"continuum {i + 1}" for i in range(n_others))],
                ["line"] * len(elements) + ["background"] * n_others,
                [*elements, *[None] * n_others],
            )
            abundance = file["H_true"].reshape(len(file["H_true"]), -1)
            return cls(file["X"], dictionary, file["D_true"], abundance, file["at_true"])

    def errors(
        self, spectrum: np.ndarray, coefficient: np.ndarray, abundance: np.ndarray
    ) -> tuple[float, float, float, float]:
        """Mean angle (degrees), at% mean and max, mean squared error of abundance.

        Coefficients of shape (n_phases, n_columns), abundances (ny, nx, n_phases). Each phase's
        abundance is scaled once, so that they add up to one as nearly as can be.
        """
        order, angle = matched(self.spectrum, spectrum)
        lines = coefficient[order, : self.atomic_percent.shape[1]]
        percent = 100 * lines / lines.sum(axis=1, keepdims=True)
        off = np.abs(percent - self.atomic_percent)
        flat = abundance[..., order].reshape(-1, len(order)).astype(float)
        scaled = flat * nnls(flat, np.ones(len(flat)))[0]
        mse = float(np.mean((scaled - self.abundance.T) ** 2))
        return float(angle.mean()), float(off.mean()), float(off.max()), mse
