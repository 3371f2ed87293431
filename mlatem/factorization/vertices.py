# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertices of the cloud of region spectra, and how many phases it carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.pooled import Array, PooledData

#: Margin above the largest singular value of pure noise.
_EDGE_MARGIN = 1.05
_RELATIVE_RANK = 1e-8
_BALANCING_ROUNDS = 50
_LEAST_VARIANCE = 1e-12
#: A vertex nearer to the others' span than this share of the first one is no vertex.
_FLAT = 1e-6


def whitening(data: PooledData) -> Array:
    """One over the root of the mean spectrum, shape (n_energy,); 0 for channels without counts."""
    mean = data.counts.sum(axis=0) / data.totals.sum()
    seen = mean > 0
    return np.where(seen, 1.0 / np.sqrt(np.where(seen, mean, 1.0)), 0.0)


def span_of_columns(data: PooledData) -> Array:
    """Orthonormal basis of the whitened columns, shape (n_energy, rank)."""
    return orthonormal_columns((data.columns * whitening(data)).T)


def orthonormal_columns(columns: Array) -> Array:
    """Orthonormal basis of the span of columns, as near to the columns themselves as can be.

    Parameters
    ----------
    columns : ndarray of shape (n_energy, n_columns)
        Of any length; columns of zeros are left out.

    Returns
    -------
    span : ndarray of shape (n_energy, rank)

    Notes
    -----
    Symmetric orthogonalization (Loewdin 1950) keeps each axis with its element, so that the noise
    differs from axis to axis and not from one rotation of them to another.
    """
    norm = np.linalg.norm(columns, axis=0)
    left, singular, right = np.linalg.svd(columns[:, norm > 0] / norm[norm > 0], False)
    kept = singular > _RELATIVE_RANK * singular[0]
    return left @ right if kept.all() else left[:, kept]


def region_scores(data: PooledData) -> Array:
    """Region spectra in the dictionary's span, shape (n_regions, rank), noise near one."""
    scores: Array = (data.counts * whitening(data) / np.sqrt(data.totals)[:, None]) @ (
        span_of_columns(data)
    )
    return scores


def n_carried(data: PooledData) -> int:
    """Number of phases that stand out of the noise of the region spectra.

    Notes
    -----
    Scores are scaled by rows and columns until their Poisson variance, estimated from the counts
    themselves, is one on average in each row and column (biwhitening: Landa, Zhang & Kluger 2022,
    SIAM J. Math. Data Sci. 4, 1420): the lines of an element that few regions hold would otherwise
    pass for phases. Singular values of unit noise of shape (R, m) stay below sqrt(R) + sqrt(m)
    (Davidson & Szarek 2001, Handbook of the Geometry of Banach Spaces 1, theorem II.13).
    """
    span, weights = span_of_columns(data), whitening(data)
    variance = (data.counts * weights**2 / data.totals[:, None]) @ span**2
    by_row, by_axis = np.ones(variance.shape[0]), np.ones(variance.shape[1])
    for _ in range(_BALANCING_ROUNDS):
        by_row = 1.0 / np.maximum((variance * by_axis).mean(axis=1), _LEAST_VARIANCE)
        by_axis = 1.0 / np.maximum((variance * by_row[:, None]).mean(axis=0), _LEAST_VARIANCE)
    scores = region_scores(data) * np.sqrt(by_row[:, None] * by_axis)
    singular = np.linalg.svd(scores, compute_uv=False)
    edge = _EDGE_MARGIN * (np.sqrt(scores.shape[0]) + np.sqrt(scores.shape[1]))
    return int(np.count_nonzero(singular > edge))


def successive_projection(points: Array, n_vertices: int) -> NDArray[np.int64]:
    """Points that span the cloud: the longest, then each time the farthest from those chosen.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_axes)
    n_vertices : int

    Returns
    -------
    chosen : ndarray of shape (at most n_vertices,)
        Fewer where the points lie in the span of fewer.

    Notes
    -----
    Araujo et al. (2001), Chemometr. Intell. Lab. Syst. 57, 65.
    """
    rest = np.array(points, dtype=np.float64)
    chosen: list[int] = []
    first = float(np.max(np.sum(rest**2, axis=1)))
    for _ in range(n_vertices):
        length = np.sum(rest**2, axis=1)
        farthest = int(np.argmax(length))
        if not length[farthest] > _FLAT**2 * first:
            break
        chosen.append(farthest)
        axis = rest[farthest] / np.sqrt(length[farthest])
        rest = rest - np.outer(rest @ axis, axis)
    return np.array(chosen, dtype=np.int64)


def vertices_of_scores(data: PooledData, n_phases: int) -> NDArray[np.int64]:
    """Regions at the vertices of the rank-`n_phases` approximation of the region spectra."""
    scores = region_scores(data)
    left, singular, _ = np.linalg.svd(scores, full_matrices=False)
    low_rank = left[:, :n_phases] * singular[:n_phases]
    return successive_projection(low_rank / np.sqrt(data.totals)[:, None], n_phases)


def vertices_of_fit(data: PooledData, abundance: Array, weight: Array) -> Array:
    """Weights of the purest regions of a fit.

    Parameters
    ----------
    data : PooledData
    abundance : ndarray of shape (n_regions, n_phases)
    weight : ndarray of shape (n_phases, n_columns)

    Returns
    -------
    vertices : ndarray of shape (at most n_phases, n_columns)
        Rows add up to one.
    """
    mixed = abundance @ weight
    mixed = mixed / mixed.sum(axis=1, keepdims=True)
    chosen = successive_projection(mixed @ (data.columns * whitening(data)), len(weight))
    vertices: Array = mixed[chosen]
    return vertices
