# SPDX-License-Identifier: GPL-3.0-or-later
"""What the priors of phases cost against the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from mlatem import settings
from mlatem.factorization.constraints import NamedPhases
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.scoring import ScoringResult, fit

_TOLERANCE = 1e-3
#: A prior that is true costs more than its limit once in so many.
_FALSE_ALARMS = 1e-3


@dataclass(frozen=True)
class PriorCosts:
    """Deviance that is paid for each phase's prior, phases in the order of the fit."""

    deviance: NDArray[np.float64]
    """Shape (n_phases,); NaN for phases without a name."""
    limit: NDArray[np.float64]
    """Shape (n_phases,); NaN for phases without a name."""


def no_costs(n_phases: int) -> PriorCosts:
    """Of phases without priors."""
    return PriorCosts(np.full(n_phases, np.nan), np.full(n_phases, np.nan))


def prior_costs(
    data: PooledData,
    abundance: Array,
    weight: Array,
    named: NamedPhases,
    scale: Array,
    pattern: NDArray[np.int64],
    options: settings.Factorize,
) -> PriorCosts:
    """Deviance with the priors of all phases minus that without the prior of one.

    Parameters
    ----------
    data : PooledData
        Every photon once.
    abundance : ndarray of shape (n_regions, n_phases)
    weight : ndarray of shape (n_phases, n_columns)
        The answer; named phases first.
    named : NamedPhases
    scale, pattern
        As in `NamedPhases.constraints`.
    options : settings.Factorize

    Notes
    -----
    Both are maxima of the likelihood near the answer, without sparsity. Twice the difference of
    log-likelihoods follows chi-squared with as many degrees of freedom as the prior takes away,
    or less where bounds are met (Wilks 1938; Self & Liang 1987). Where the model does not explain
    the counts to within their noise, the limit grows with the deviance per channel of their sum.
    """
    n_phases = len(weight)

    def likeliest(priors: NamedPhases, abundance: Array, weight: Array) -> ScoringResult:
        return fit(
            data,
            abundance,
            weight,
            constraints=priors.constraints(n_phases, scale, pattern),
            max_rounds=options.max_rounds,
            tolerance=_TOLERANCE,
        )

    with_all = likeliest(named, abundance, weight)
    excess = max(1.0, _deviance_per_channel(data, with_all))
    present = named.constraints(n_phases, scale, pattern).present
    deviance, limit = np.full(n_phases, np.nan), np.full(n_phases, np.nan)
    for i in range(named.n_named):
        without = likeliest(named.without(i), with_all.abundance, with_all.weight)
        deviance[i] = max(0.0, 2.0 * (with_all.loss[-1] - without.loss[-1]))
        n_taken = named.n_statements(i) + np.count_nonzero(~present[:, i])
        limit[i] = excess * chdtri(max(n_taken, 1), _FALSE_ALARMS)
    return PriorCosts(deviance, limit)


def _deviance_per_channel(data: PooledData, result: ScoringResult) -> float:
    """Poisson deviance of the sum of all regions, which has the most counts to show a misfit."""
    counts = data.counts.sum(axis=0)
    model = data.model(result.abundance, result.weight).sum(axis=0)
    ratio = np.where(counts > 0, counts, 1.0) / model
    terms = np.where(counts > 0, counts * np.log(ratio), 0.0) - (counts - model)
    return float(2.0 * terms.sum() / counts.size)
