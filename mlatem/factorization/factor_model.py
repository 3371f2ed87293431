# SPDX-License-Identifier: GPL-3.0-or-later
"""Likelihood of pooled spectra with factors on lines that all phases share.

The model is a product of three unknowns: abundances, weights, and the factors on the parts of the
columns. Each phase absorbs its own X-rays, but a table that is wrong is wrong for all: that tells
factors from absorption.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlatem.factorization.pooled import Array, PooledData, gradients, information
from mlatem.factorization.scoring import Penalty
from mlatem.model.column_parts import ColumnParts


@dataclass(frozen=True)
class Unknowns:
    """Values, changes or derivatives of all unknowns."""

    abundance: Array
    """Shape (n_regions, n_phases)."""
    weight: Array
    """Shape (n_phases, n_columns)."""
    log_factor: Array
    """Shape (n_factors,)."""

    def shared(self) -> Array:
        """Weights, flattened, and factors: what all regions have in common."""
        return np.append(self.weight.ravel(), self.log_factor)


@dataclass(frozen=True)
class Blocks:
    """Expected information on abundances, and on weights and factors together."""

    abundance: Array
    """Shape (n_regions, n_phases, n_phases)."""
    cross: Array
    """Shape (n_regions, n_phases, n_shared)."""
    shared: Array
    """Shape (n_shared, n_shared); without priors."""


@dataclass(frozen=True)
class FactorModel:
    """The pooled spectra at some values of the unknowns.

    Weights are of columns in a scale that stays when factors change, so that they are proportional
    to numbers of atoms.
    """

    data: PooledData
    """With the columns for these factors."""
    parts: ColumnParts
    scale: Array
    """Shape (n_phases, n_columns)."""
    values: Unknowns
    penalty: Penalty
    expected: Array
    """Shape (n_regions, n_energy); counts."""
    objective: float
    """Negative log-likelihood, penalty and priors, nats."""

    @classmethod
    def at(
        cls,
        data: PooledData,
        parts: ColumnParts,
        values: Unknowns,
        penalty: Penalty | None = None,
        scale: Array | None = None,
    ) -> FactorModel:
        """The model; in the scale in which the columns add up to one if none is given."""
        columns = parts.columns(values.log_factor)
        scale = columns.sum(axis=-1) if scale is None else scale
        penalty = penalty or Penalty(np.zeros_like(values.abundance), np.zeros_like(values.weight))
        own = PooledData(data.counts, data.n_pixels, columns / scale[:, :, None])
        expected = own.model(values.abundance, values.weight)
        prior = 0.5 * float(values.log_factor @ _precision(parts) @ values.log_factor)
        objective = own.loss(expected) + penalty.value(values.abundance, values.weight) + prior
        return cls(own, parts, scale, values, penalty, expected, objective)

    def moved(self, values: Unknowns) -> FactorModel | None:
        """The model at other values; None where a phase would have no spectrum."""
        total = values.weight.sum(axis=1)
        if not np.all(total > 0):
            return None
        scaled = Unknowns(
            values.abundance * total, values.weight / total[:, None], values.log_factor
        )
        return FactorModel.at(self.data, self.parts, scaled, self.penalty, self.scale)

    @property
    def precision(self) -> Array:
        """Shape (n_factors, n_factors); what is known of the logarithms of the factors before."""
        return _precision(self.parts)

    def changes(self) -> Array:
        """Spectra by which the phases change with each factor, (n_phases, n_factors, n_energy)."""
        return self.parts.changes(self.values.weight / self.scale, self.values.log_factor)

    def slope(self) -> Unknowns:
        """Derivatives of the objective, as a function that the scale of phases does not change."""
        values, penalty = self.values, self.penalty
        by_abundance, by_weight = gradients(
            self.data, values.abundance, values.weight, self.expected
        )
        turned = np.sum(penalty.abundance * values.abundance, axis=0)
        turned -= np.sum(penalty.weight * values.weight, axis=1)
        by_phase = values.abundance.T @ (1.0 - self.data.counts / self.expected)
        by_factor = np.einsum("kte,ke->t", self.changes(), by_phase)
        return Unknowns(
            by_abundance + penalty.abundance,
            by_weight + penalty.weight + turned[:, None],
            by_factor + self.precision @ values.log_factor,
        )

    def information(self) -> Blocks:
        """Expected (Fisher) information."""
        abundance, weight = self.values.abundance, self.values.weight
        known = information(self.data, abundance, weight, self.expected)
        changes = self.changes()
        n_factors = changes.shape[1]
        moved = np.tensordot(abundance, changes, axes=(1, 0))
        scaled = moved / self.expected[:, None, :]
        by_abundance = (scaled @ self.data.spectrum(weight).T).transpose(0, 2, 1)
        by_phase = np.tensordot(abundance, scaled, axes=(0, 0))
        by_weight = (self.data.columns @ by_phase.transpose(0, 2, 1)).reshape(-1, n_factors)
        by_factor = np.tensordot(moved, scaled, axes=((0, 2), (0, 2)))
        return Blocks(
            known.abundance,
            np.concatenate([known.cross, by_abundance], axis=2),
            np.block([[known.weight, by_weight], [by_weight.T, by_factor]]),
        )


def _precision(parts: ColumnParts) -> Array:
    precision = np.linalg.inv(parts.log_covariance)
    return np.asarray(precision, dtype=np.float64)
