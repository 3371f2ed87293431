# SPDX-License-Identifier: GPL-3.0-or-later
"""The mean of the compositions that the pooled spectra and sparsity leave open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.covariance import reduced_information
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    gradients,
    spectral_angle,
)
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


def averaged_weight(
    data: PooledData,
    abundance: Array,
    weight: Array,
    penalized: NDArray[np.bool_],
    *,
    seed: int,
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
    """
    n_phases, n_columns = weight.shape
    model = data.model(abundance, weight)
    reduced, curvature = reduced_information(data, abundance, weight, zero=_ABSENT)
    error = 1.0 / np.sqrt(np.maximum(curvature, np.finfo(float).tiny))
    matrix = reduced + np.eye(len(reduced))
    hold = _HOLD * np.trace(matrix) / len(matrix)
    for k in range(n_phases):
        rows = slice(k * n_columns, (k + 1) * n_columns)
        matrix[rows, rows] += hold
    group = np.where(penalized, np.arange(n_phases)[:, None], -1)
    mean = posterior_mean(
        np.where(weight < _ZERO, 0.0, weight).ravel(),
        matrix,
        gradients(data, abundance, weight, model)[1].ravel(),
        np.minimum(error, _LARGEST_ERROR).ravel(),
        group.ravel().astype(np.int64),
        n_sweeps=_N_SWEEPS,
        n_discarded=_N_DISCARDED,
        seed=seed,
    ).reshape(weight.shape)
    mean /= mean.sum(axis=1, keepdims=True)
    turned = np.degrees(spectral_angle(data.spectrum(weight), data.spectrum(mean)).max())
    return mean if turned <= _TOO_FAR_DEG else weight
