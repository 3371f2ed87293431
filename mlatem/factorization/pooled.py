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
    """Shape (n_columns, n_energy), or (n_phases, n_columns, n_energy) where every phase has its
    own; each adds up to one."""

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
        columns = unit_columns(dictionary.columns)
        return cls(regions.counts[filled], regions.n_pixels[filled], columns)

    @cached_property
    def totals(self) -> Array:
        """Shape (n_regions,); counts of every region."""
        totals: Array = self.counts.sum(axis=1)
        return totals

    def with_columns(self, columns: Array) -> PooledData:
        """The same regions, with other columns (any scale)."""
        return PooledData(self.counts, self.n_pixels, unit_columns(columns))

    def spectrum(self, weight: Array) -> Array:
        """Spectra of the phases, shape (n_phases, n_energy)."""
        return weighted_columns(weight, self.columns)

    def model(self, abundance: Array, weight: Array) -> Array:
        """Expected counts, shape (n_regions, n_energy)."""
        expected: Array = abundance @ self.spectrum(weight) + FLOOR
        return expected

    def loss(self, model: Array) -> float:
        """Negative log-likelihood without log(count!), nats."""
        return float(np.sum(model) - np.sum(self.counts * np.log(model)))


def no_column() -> InputError:
    """The error where the dictionary has nothing in the channels that have counts."""
    return InputError(
        "no column of the dictionary is above zero where the map has counts: build it on the "
        "energies of the counts, with a continuum"
    )


def unit_columns(columns: Array) -> Array:
    """Columns that add up to one over the channels."""
    scaled: Array = columns / columns.sum(axis=-1, keepdims=True)
    return scaled


def weighted_columns(weight: Array, columns: Array) -> Array:
    """Spectra of phases from columns that they share or have each for themselves.

    Parameters
    ----------
    weight : ndarray of shape (n_phases, n_columns)
    columns : ndarray of shape (n_columns, n_energy) or (n_phases, n_columns, n_energy)

    Returns
    -------
    spectrum : ndarray of shape (n_phases, n_energy)
    """
    spectrum: Array = (weight[:, None, :] @ columns)[:, 0]
    return spectrum


def gradients(
    data: PooledData, abundance: Array, weight: Array, model: Array
) -> tuple[Array, Array]:
    """Derivatives of the loss with respect to abundances and weights.

    Returns
    -------
    by_abundance : ndarray of shape (n_regions, n_phases)
    by_weight : ndarray of shape (n_phases, n_columns)
    """
    excess = 1.0 - data.counts / model
    return excess @ data.spectrum(weight).T, _on_columns(data, abundance.T @ excess)


def _on_columns(data: PooledData, by_phase: Array) -> Array:
    """Scalar products of a spectrum of each phase with its columns, (n_phases, n_columns)."""
    product: Array = (data.columns @ by_phase[:, :, None])[:, :, 0]
    return product


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
    With s_k the spectra and d_lj the columns of the phases, and sums over channels: s_k s_l /
    model_r for the abundances, abundance_rl s_k d_lj / model_r across, and d_ki d_lj times the sum
    over regions of abundance_rk abundance_rl / model_r for the weights.
    """
    n_regions, n_phases = abundance.shape
    n_columns = weight.shape[1]
    shape = (n_phases, n_columns, model.shape[1])
    columns = np.broadcast_to(data.columns, shape)
    scaled = data.spectrum(weight) / model[:, None, :]
    if data.columns.ndim == 2:
        projected = (scaled @ data.columns.T)[:, :, None, :]
    else:
        flat = columns.reshape(n_phases * n_columns, -1)
        projected = (scaled @ flat.T).reshape(n_regions, n_phases, n_phases, n_columns)
    cross = projected * abundance[:, None, :, None]
    of_weight = np.empty((n_phases, n_columns, n_phases, n_columns))
    for k in range(n_phases):
        channel = (abundance[:, k, None] * abundance[:, : k + 1]).T @ (1.0 / model)
        for m in range(k + 1):
            block = (columns[k] * channel[m]) @ columns[m].T
            of_weight[k, :, m], of_weight[m, :, k] = block, block.T
    size = n_phases * n_columns
    return Information(
        np.einsum("rklj,lj->rkl", projected, weight),
        cross.reshape(n_regions, n_phases, size),
        of_weight.reshape(size, size),
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
        ratio = data.counts / data.model(abundance, weight)
        moved = weight * _on_columns(data, abundance.T @ ratio)
        abundance = abundance * (ratio @ data.spectrum(weight).T)
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
