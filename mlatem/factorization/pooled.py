# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson likelihood of pooled spectra: loss, gradient and information of abundances and weights.

Columns are scaled to add up to one, and so do the weights of a phase: abundances are counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model import Dictionary, RegionStatistics

Array = NDArray[np.float64]

#: Counts added to every model value, so that a photon outside all columns costs a finite amount.
FLOOR = 1e-9


@dataclass(frozen=True)
class PooledData:
    """Region spectra and the columns that explain them."""

    counts: Array
    """Shape (n_regions, n_energy); no region is empty."""
    n_pixels: NDArray[np.int64]
    """Shape (n_regions,)."""
    columns: Array
    """Shape (n_columns, n_energy); each adds up to one."""

    @classmethod
    def from_regions(cls, regions: RegionStatistics, dictionary: Dictionary) -> PooledData:
        """Regions with counts, and the dictionary scaled.

        Raises
        ------
        InputError
            If the channels disagree or no region has counts.
        """
        regions.validate()
        if regions.counts.shape[1] != dictionary.energy.size:
            raise InputError(
                f"region spectra have {regions.counts.shape[1]} channels and the dictionary "
                f"{dictionary.energy.size}: pool the counts of the dictionary's window"
            )
        filled = regions.counts.sum(axis=1) > 0
        if not filled.any():
            raise InputError(
                "the map has no counts: check that the right file and window of energies were "
                "chosen"
            )
        columns = dictionary.columns / dictionary.columns.sum(axis=1, keepdims=True)
        return cls(regions.counts[filled], regions.n_pixels[filled], columns)

    @cached_property
    def totals(self) -> Array:
        """Shape (n_regions,); counts of every region."""
        totals: Array = self.counts.sum(axis=1)
        return totals

    @cached_property
    def column_pairs(self) -> Array:
        """Shape (n_energy, n_pairs); products of every column with itself and those before it."""
        first, second = np.tril_indices(len(self.columns))
        return np.ascontiguousarray((self.columns[first] * self.columns[second]).T)

    def gram(self, model: Array) -> Array:
        """Sum over channels of columns_j columns_i / model, (n_regions, n_columns, n_columns)."""
        first, second = np.tril_indices(len(self.columns))
        pairs = (1.0 / model) @ self.column_pairs
        result = np.empty((len(model), len(self.columns), len(self.columns)))
        result[:, first, second] = pairs
        result[:, second, first] = pairs
        return result

    def model(self, abundance: Array, weight: Array) -> Array:
        """Expected counts, shape (n_regions, n_energy)."""
        expected: Array = abundance @ (weight @ self.columns) + FLOOR
        return expected

    def loss(self, model: Array) -> float:
        """Negative log-likelihood without log(count!), nats."""
        return float(np.sum(model) - np.sum(self.counts * np.log(model)))


def gradients(
    data: PooledData, abundance: Array, weight: Array, model: Array
) -> tuple[Array, Array]:
    """Derivatives of the loss with respect to abundances and weights.

    Returns
    -------
    by_abundance : ndarray of shape (n_regions, n_phases)
    by_weight : ndarray of shape (n_phases, n_columns)
    """
    by_column = (1.0 - data.counts / model) @ data.columns.T
    return by_column @ weight.T, abundance.T @ by_column


@dataclass(frozen=True)
class Information:
    """Expected information on abundances and weights, in blocks."""

    abundance: Array
    """Shape (n_regions, n_phases, n_phases)."""
    cross: Array
    """Shape (n_regions, n_phases, n_phases * n_columns)."""
    weight: Array
    """Shape (n_phases * n_columns, n_phases * n_columns)."""


def information(data: PooledData, abundance: Array, weight: Array, model: Array) -> Information:
    """Expected (Fisher) information of the pooled spectra.

    Notes
    -----
    With G_r the sum over channels of columns_j columns_i / model_r, all blocks follow: weight G_r
    weight^T for the abundances, abundance_rk (weight G_r) across, and the sum over regions of
    abundance_rk abundance_rl G_r for the weights.
    """
    n_regions, n_phases = abundance.shape
    n_columns = len(data.columns)
    gram = data.gram(model)
    projected = weight @ gram
    of_abundance = projected @ weight.T
    cross = projected[:, :, None, :] * abundance[:, None, :, None]
    pairs = (abundance[:, :, None] * abundance[:, None, :]).reshape(n_regions, -1)
    of_weight = (pairs.T @ gram.reshape(n_regions, -1)).reshape(
        n_phases, n_phases, n_columns, n_columns
    )
    size = n_phases * n_columns
    return Information(
        of_abundance,
        cross.reshape(n_regions, n_phases, size),
        of_weight.transpose(0, 2, 1, 3).reshape(size, size),
    )


def expectation_maximization(
    data: PooledData, abundance: Array, weight: Array, n_sweeps: int, *, hold_weight: bool = False
) -> tuple[Array, Array]:
    """Multiplicative sweeps that never raise the loss; abundances and weights together.

    Notes
    -----
    Dempster, Laird & Rubin (1977); Lee & Seung (2001). Zeros stay zero: start above them.
    """
    for _ in range(n_sweeps):
        ratio = (data.counts / data.model(abundance, weight)) @ data.columns.T
        moved = weight * (abundance.T @ ratio)
        abundance = abundance * (ratio @ weight.T)
        if not hold_weight:
            weight = moved / np.maximum(moved.sum(axis=1, keepdims=True), 1e-300)
    return abundance, weight


def spectral_angle(first: Array, second: Array) -> Array:
    """Angle between spectra along the last axis, radian.

    Notes
    -----
    Twice the arc sine of half the chord: exact also for angles near zero.
    """
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second / np.linalg.norm(second, axis=-1, keepdims=True)
    chord: Array = np.linalg.norm(a - b, axis=-1)
    return 2.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0))
