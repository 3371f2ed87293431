# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer for phases that occur alone somewhere: grains, layers, particles through the foil."""

from __future__ import annotations

import numpy as np

from mlatem import settings
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import Array, PooledData, information, spectral_angle
from mlatem.factorization.scoring import Penalty, fit
from mlatem.factorization.sparsity import SparseResult, abundances_at

_MAX_STEPS = 30
#: The linearized penalty is renewed until the answer turns by less than this, radian.
_STEADY = 1e-3
_LEAST_STEPS = 3
_START_FLOOR = 1e-4


def fit_contiguous(
    data: PooledData,
    weight: Array,
    options: settings.Factorize,
    constraints: Constraints | None = None,
) -> SparseResult:
    """Fit in which every phase is absent from as many regions as can be, and lacks no element.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
        Start: the vertices of the fitted region spectra; rows add up to one.
    options : settings.Factorize
    constraints : Constraints, optional
        What is known of the phases.

    Notes
    -----
    The scale-free penalty log(1 + value / se) of `fit_sparse`, but on the abundances of all phases
    alike and on no composition. Regions that hold one phase alone then lie at the vertices, which
    is the answer of successive projection without its noise: there a vertex is one region. Where no
    region is pure, phases are drawn towards their mixtures: an answer for one geometry only.
    """
    weight = np.maximum(weight, _START_FLOOR / weight.shape[1])
    weight = weight / weight.sum(axis=1, keepdims=True)
    if constraints is not None:
        weight = constraints.start(weight, exact_only=True)
    abundance = abundances_at(data, weight, options, constraints).abundance
    losses: list[float] = []
    steady = False
    for step in range(_MAX_STEPS):
        result = fit(
            data,
            abundance,
            weight,
            penalty=Penalty(1.0 / (abundance + _errors(data, abundance, weight)), 0.0 * weight),
            constraints=constraints,
            max_rounds=options.max_rounds,
            tolerance=options.tolerance if steady else max(options.tolerance, 0.1 * _STEADY),
        )
        turned = spectral_angle(data.spectrum(weight), data.spectrum(result.weight)).max()
        abundance, weight = result.abundance, result.weight
        losses.extend(result.loss[1:])
        if steady:
            break
        steady = step + 1 >= _LEAST_STEPS and turned < _STEADY
    penalty = np.log1p(abundance / _errors(data, abundance, weight)).sum()
    score = data.loss(data.model(abundance, weight)) + float(penalty)
    if constraints is not None:
        score += constraints.cost(weight)
    return SparseResult(abundance, weight, tuple(losses), score, steady and result.converged)


def _errors(data: PooledData, abundance: Array, weight: Array) -> Array:
    """Standard error of each abundance, all other values known."""
    blocks = information(data, abundance, weight, data.model(abundance, weight))
    diagonal = np.diagonal(blocks.abundance, axis1=1, axis2=2)
    return np.asarray(1.0 / np.sqrt(np.maximum(diagonal, np.finfo(float).tiny)))
