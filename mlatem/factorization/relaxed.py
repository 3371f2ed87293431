# SPDX-License-Identifier: GPL-3.0-or-later
"""What sparsity has pulled against the counts, taken back with the zeros it found kept.

The penalty on abundances grows with the amount of a phase, and so it pulls each phase towards a
purer spectrum, of which there is less, in proportion to the number of regions. Where nothing else
decides, this is the sparse corner that is wanted. Where elements that a phase lacks decide already,
it goes past the place that they show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.mixing import fitted_abundances
from mlatem.factorization.pooled import Array, PooledData, spectral_angle
from mlatem.factorization.scoring import Penalty, fit
from mlatem.factorization.sparsity import SparseResult, penalty_at

#: Nats by which a step must be likelier to be taken: what one more free value would give by chance
#: alone (Akaike 1974).
_LEAST_GAIN_NATS = 1.0
_MAX_STEPS = 6
_STEADY = 1e-3
_TOLERANCE = 1e-4
#: Weights below this are zero, and cost so many nats that they stay there.
_ZERO, _HOLD = 1e-7, 1e8


def pull_taken_back(
    thinnings: Sequence[PooledData],
    answers: Sequence[SparseResult],
    pulled: NDArray[np.bool_],
    options: settings.Factorize,
    priors: Sequence[Constraints | None],
) -> Array:
    """Steps from the sparse answers to where the counts would have them, with the same zeros.

    Parameters
    ----------
    thinnings : sequence of PooledData
    answers : sequence of SparseResult
        Of every thinning, phases in the same order.
    pulled : ndarray of shape (n_phases, n_columns), bool
        Weights that sparsity may have set to zero.
    options : settings.Factorize
    priors : sequence of Constraints or None
        What is known of the phases, for every thinning.

    Returns
    -------
    step : ndarray of shape (n_thinnings, n_phases, n_columns)
        Zero where the counts do not object, that is where the step makes them likelier by less
        than one nat in half of the thinnings: there the purer phase is kept, unless all zeros are
        told, so that no purer one is looked for.

    Notes
    -----
    The second stage of the relaxed lasso (Meinshausen 2007, Comput. Stat. Data Anal. 52, 374): the
    penalty selects the zeros, the likelihood places the rest. The relative abundances stay sparse,
    since free ones would over-fit: only the part of their penalty that acts on the amount of the
    whole phase is left out.
    """
    steps, gains, is_open = [], [], False
    for data, answer, prior in zip(thinnings, answers, priors, strict=True):
        free = pulled if prior is None else pulled & ~prior.told
        is_open = is_open or bool(free.any())
        relaxed = _relaxed(data, answer, free & (answer.weight < _ZERO), options, prior)
        before, after = (
            fitted_abundances(data, data.spectrum(one.weight), one.abundance)[1]
            for one in (answer, relaxed)
        )
        if prior is not None:
            before, after = before + prior.cost(answer.weight), after + prior.cost(relaxed.weight)
        gains.append(before - after)
        steps.append(relaxed.weight - answer.weight)
    if is_open and np.median(gains) < _LEAST_GAIN_NATS:
        return np.zeros((len(steps), *steps[0].shape))
    return np.stack(steps)


def moved(weight: Array, step: Array) -> Array:
    """Weights after a step, not negative, rows adding up to one."""
    after = np.maximum(weight + step, 0.0)
    unit: Array = after / after.sum(axis=-1, keepdims=True)
    return unit


def _relaxed(
    data: PooledData,
    answer: SparseResult,
    held: NDArray[np.bool_],
    options: settings.Factorize,
    prior: Constraints | None,
) -> SparseResult:
    """The fit with some weights held at zero and no pull on the amounts of the phases."""
    abundance, weight = answer.abundance, np.where(held, 0.0, answer.weight)
    nothing = np.zeros(weight.shape, dtype=bool)
    for _ in range(_MAX_STEPS):
        slope = penalty_at(data, abundance, weight, nothing).abundance
        amount = np.maximum(abundance.sum(axis=0), np.finfo(float).tiny)
        relative = slope - (slope * abundance).sum(axis=0) / amount
        result = fit(
            data,
            abundance,
            weight,
            penalty=Penalty(relative, np.where(held, _HOLD, 0.0)),
            constraints=prior,
            max_rounds=options.max_rounds,
            tolerance=_TOLERANCE,
        )
        turned = spectral_angle(data.spectrum(weight), data.spectrum(result.weight)).max()
        abundance, weight = result.abundance, result.weight
        if turned < _STEADY:
            break
    return SparseResult(abundance, weight, answer.loss, answer.score, answer.converged)
