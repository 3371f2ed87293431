# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of fitted factors on lines, and what they do to the compositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.covariance import is_present, tangent_of, without_abundances
from mlatem.factorization.factor_model import FactorModel, Unknowns
from mlatem.factorization.pooled import Array, PooledData
from mlatem.model.column_parts import ColumnParts


@dataclass(frozen=True)
class FactorErrors:
    """Covariances of the logarithms of factors, and how the weights follow them."""

    from_counts: Array
    """Shape (n_factors, n_factors); what another measurement of the same would change."""
    from_tables: Array
    """Shape (n_factors, n_factors); what the prior leaves open where the counts tell little."""
    response: Array
    """Shape (n_phases, n_columns, n_factors); change of the weights, relative to the phase's
    counts, with abundances and all other weights following."""

    def covariance(self) -> Array:
        """Covariance of the weights from counts, through the factors alone.

        Shape (n_phases, n_columns, n_columns).
        """
        covariance: Array = self.response @ self.from_counts @ self.response.transpose(0, 2, 1)
        return covariance

    def estimates(
        self, names: Sequence[str], log_factor: Array
    ) -> dict[str, tuple[float, float, float]]:
        """Every factor with its standard deviations from counts and from tables."""
        value = np.exp(log_factor)
        sigmas = [
            value * np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
            for covariance in (self.from_counts, self.from_tables)
        ]
        rows = np.column_stack([value, *sigmas]).tolist()
        return {name: (v, c, t) for name, (v, c, t) in zip(names, rows, strict=True)}


def factor_errors(
    data: PooledData,
    parts: ColumnParts,
    abundance: Array,
    weight: Array,
    log_factor: Array,
    constraints: Constraints | None = None,
) -> FactorErrors:
    """How well the factors are known, with compositions and abundances free.

    Parameters
    ----------
    data : PooledData
    parts : ColumnParts
    abundance : ndarray of shape (n_regions, n_phases)
    weight : ndarray of shape (n_phases, n_columns)
        Of columns that add up to one.
    log_factor : ndarray of shape (n_factors,)
    constraints : Constraints, optional
        What is known of the phases, which weights that follow the factors keep to.

    Notes
    -----
    With F the Fisher information on the factors, all else eliminated, and P the precision of their
    priors, the most probable factors scatter by ``(F + P)^-1 F (F + P)^-1`` when the measurement is
    repeated, and differ from the truth by ``(F + P)^-1 P (F + P)^-1`` on account of priors that
    are not exact; both add up to the posterior covariance (C. D. Rodgers, Inverse Methods for
    Atmospheric Sounding (2000), ch. 3). Weights at zero stay there, as in `weight_covariance`.
    """
    model = FactorModel.at(data, parts, Unknowns(abundance, weight, log_factor))
    blocks = model.information()
    n_weights = weight.size
    reduced = without_abundances(abundance, blocks.abundance, blocks.cross, blocks.shared)
    of_weight = reduced[:n_weights, :n_weights] + np.eye(n_weights)
    across = reduced[:n_weights, n_weights:]
    curvature = np.diag(blocks.shared)[:n_weights].reshape(weight.shape)
    active = is_present(weight, curvature)
    if constraints is not None:
        of_weight = of_weight + constraints.curvature(weight)
        active = active & constraints.free
    tangent = tangent_of(active)
    followed = -tangent @ np.linalg.solve(tangent.T @ of_weight @ tangent, tangent.T @ across)
    of_factors = reduced[n_weights:, n_weights:] + across.T @ followed
    of_factors = 0.5 * (of_factors + of_factors.T)
    prior = model.precision
    posterior = np.linalg.inv(of_factors + prior)
    response = followed.reshape(*weight.shape, -1)
    # Spectra add up to one also with other factors.
    response = response - weight[:, :, None] * model.changes().sum(axis=-1)[:, None, :]
    return FactorErrors(posterior @ of_factors @ posterior, posterior @ prior @ posterior, response)
