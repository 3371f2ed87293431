# SPDX-License-Identifier: GPL-3.0-or-later
"""The same map with a phase less and a phase more, for a person to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlatem.errors import InputError
from mlatem.factorization.pooled import Array, PooledData

#: Weights and losses of the likeliest phases of so many; an error where there are not so many.
Solve = Callable[[int], tuple[Array, tuple[float, ...]]]


@dataclass(frozen=True)
class Neighbours:
    """Answers with one phase less and one more."""

    fewer: Array
    """Shape (n_phases - 1, n_columns); weights that add up to one; empty for one phase."""
    more: Array
    """Shape (n_phases + 1, n_columns); empty where there is no further vertex."""
    deviance: Array
    """Shape (3,); of the pooled spectra, with a phase less, as many, one more; NaN where none."""


def neighbours(data: PooledData, n_phases: int, least_loss: float, solve: Solve) -> Neighbours:
    """The likeliest phases, one less and one more.

    Parameters
    ----------
    data : PooledData
        Of one thinning.
    n_phases : int
    least_loss : float
        Negative log-likelihood of the likeliest `n_phases`, nats.
    solve : callable

    Notes
    -----
    Twice the loss above that of counts that explain themselves (McCullagh & Nelder 1989, section
    2.4). A phase that is real lowers it by far more than twice the number of values that it brings.
    """
    saturated = data.loss(np.maximum(data.counts, 1e-300))
    empty = np.zeros((0, data.columns.shape[-2]))
    weights, losses = [empty, empty], [np.nan, least_loss, np.nan]
    for place, number in ((0, n_phases - 1), (1, n_phases + 1)):
        if number < 1:
            continue
        try:
            weights[place], found = solve(number)
        except InputError:
            continue
        losses[2 * place] = found[-1]
    return Neighbours(weights[0], weights[1], 2.0 * (np.array(losses) - saturated))
