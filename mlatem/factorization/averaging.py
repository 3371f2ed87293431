# SPDX-License-Identifier: GPL-3.0-or-later
"""The mean of the compositions that the pooled spectra and sparsity leave open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.covariance import reduced_information
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    gradients,
    spectral_angle,
)
from mlatem.factorization.prior_fit import Known
from mlatem.factorization.relaxed import moved, pull_taken_back
from mlatem.factorization.sparsity import SparseResult
from mlatem.factorization.thinnings import combined
from mlatem.kernels.spike_and_slab import posterior_mean

#: Abundances of fewer conditional standard errors are held: the sparse answer calls them absent.
_ABSENT = 2.5
_N_SWEEPS = 500
_N_DISCARDED = 50
#: Weights below this are zero.
_ZERO = 1e-7
#: Weight of the sum of a phase's weights, relative to the mean curvature: holds it at one.
_HOLD = 10.0
#: No error is larger than this weight: a column that the counts do not tell from none.
_LARGEST_ERROR = 0.5
#: The quadratic expansion is not trusted so far from where it was made.
_TOO_FAR_DEG = 6.0


def averaged(
    thinnings: Sequence[PooledData],
    answers: Sequence[SparseResult],
    known: Sequence[Known],
    columns: Array,
    penalized: NDArray[np.bool_],
    pulled: NDArray[np.bool_],
    options: settings.Factorize,
) -> Array:
    """One answer from the means of all thinnings, which agrees with what is known.

    What sparsity has pulled against the counts is taken back, unless limits speak against it.

    Parameters
    ----------
    thinnings : sequence of PooledData
    answers : sequence of SparseResult
        Of every thinning, phases in the same order.
    known : sequence of Known
    columns : ndarray of shape (n_columns, n_energy) or (n_phases, n_columns, n_energy)
        Of the dictionary, on its scale.
    penalized : ndarray of shape (n_columns,), bool
        As in `averaged_weight`.
    pulled : ndarray of shape (n_phases, n_columns), bool
        As in `mlatem.factorization.relaxed.pull_taken_back`.
    options : settings.Factorize

    Returns
    -------
    weight : ndarray of shape (n_phases, n_columns)
    """
    priors = [prior.constraints(columns) for prior in known]
    means = [
        averaged_weight(
            data,
            answer.abundance,
            answer.weight,
            penalized,
            seed=options.seed + i,
            constraints=constraints,
        )
        for i, (data, answer, constraints) in enumerate(
            zip(thinnings, answers, priors, strict=True)
        )
    ]
    steps = pull_taken_back(thinnings, answers, pulled, options, priors)
    means = [_within(*of_one) for of_one in zip(means, steps, priors, strict=True)]
    weight = combined(np.stack(means), thinnings[0], known[0].n_named)
    return weight if priors[0] is None else priors[0].start(weight, exact_only=True)


def _within(mean: Array, step: Array, prior: Constraints | None) -> Array:
    """The mean after a step; without it where it would leave the limits of what is known."""
    after = moved(mean, step)
    if prior is not None and np.any(prior.limits() @ after.ravel() < -_ZERO):
        return mean
    return after


def averaged_weight(
    data: PooledData,
    abundance: Array,
    weight: Array,
    penalized: NDArray[np.bool_],
    *,
    seed: int,
    constraints: Constraints | None = None,
) -> Array:
    """Mean weights over the mixtures that are about as likely as the sparse answer.

    Parameters
    ----------
    data : PooledData
    abundance : ndarray of shape (n_regions, n_phases)
        Of the sparse answer.
    weight : ndarray of shape (n_phases, n_columns)
        Of the sparse answer; rows add up to one.
    penalized : ndarray of shape (n_columns,) or (n_phases, n_columns), bool
        Columns that a phase may lack: elements, not the continuum.
    seed : int
    constraints : Constraints, optional
        What is known of the phases.

    Returns
    -------
    weight : ndarray of shape (n_phases, n_columns)
        Rows add up to one. That of the sparse answer if the mean lies far from it.

    Notes
    -----
    The sparse answer is the most probable one. Where the likelihood is flat, an element that it
    sets to zero may be there, and with it a part of all others: the mean has a smaller expected
    error than the extreme. The likelihood is expanded to second order at the sparse answer, with
    the abundances that are present eliminated; the prior is that of
    `mlatem.kernels.spike_and_slab.posterior_mean`, with a probability of zeros for each phase.
    What is known of phases joins it: statements with their curvature, intervals as bounds, and no
    zeros for weights of which a prior speaks. Those that are said to be there may have any order of
    magnitude; the prior of those whose amount is told is flat.
    """
    n_phases, n_columns = weight.shape
    model = data.model(abundance, weight)
    reduced, curvature = reduced_information(data, abundance, weight, zero=_ABSENT)
    slope = gradients(data, abundance, weight, model)[1].ravel()
    error = 1.0 / np.sqrt(np.maximum(curvature, np.finfo(float).tiny))
    matrix = reduced + np.eye(len(reduced))
    hold = _HOLD * np.trace(matrix) / len(matrix)
    for k in range(n_phases):
        rows = slice(k * n_columns, (k + 1) * n_columns)
        matrix[rows, rows] += hold
    free, bounds = np.ones(weight.size, dtype=bool), np.zeros((0, weight.size))
    there = np.zeros(weight.shape, dtype=bool)
    if constraints is not None:
        free, bounds = constraints.free.ravel(), constraints.limits()
        there = penalized & constraints.there()
        penalized = penalized & ~constraints.told
        matrix += constraints.curvature(weight)
        slope += constraints.gradient(weight).ravel()
    # Phases are sampled in an order that does not depend on that of their names.
    order = np.argsort(-abundance.sum(axis=0), kind="stable")
    place = np.argsort(order)[:, None]
    group = np.where(there, n_phases + place, np.where(penalized, place, -1)).ravel()
    places = (order[:, None] * n_columns + np.arange(n_columns)).ravel()
    places = places[free[places]]
    mean = np.where(weight < _ZERO, 0.0, weight).ravel()
    mean[places] = posterior_mean(
        mean[places],
        matrix[np.ix_(places, places)],
        slope[places],
        np.minimum(error, _LARGEST_ERROR).ravel()[places],
        group[places].astype(np.int64),
        n_sweeps=_N_SWEEPS,
        n_discarded=_N_DISCARDED,
        seed=seed,
        bounds=bounds[:, places],
        n_with_zeros=n_phases,
    )
    found = mean.reshape(weight.shape)
    found /= found.sum(axis=1, keepdims=True)
    turned = np.degrees(spectral_angle(data.spectrum(weight), data.spectrum(found)).max())
    return found if turned <= _TOO_FAR_DEG else weight
