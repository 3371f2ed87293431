# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighted k-means with its own seeded generator: the same answer on every machine."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def nearest(points, centroids):  # type: ignore[no-untyped-def]
    """Nearest centroid of every point.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_axes), float64
    centroids : ndarray of shape (n_centroids, n_axes), float64

    Returns
    -------
    label : ndarray of shape (n_points,), int32
        The first of equally near ones.
    distance : ndarray of shape (n_points,), float64
        Squared distance to it.
    """
    label = np.zeros(len(points), dtype=np.int32)
    distance = np.empty(len(points))
    for p in range(len(points)):
        best = np.inf
        for r in range(len(centroids)):
            d = 0.0
            for i in range(points.shape[1]):
                d += (points[p, i] - centroids[r, i]) ** 2
            if d < best:
                best = d
                label[p] = r
        distance[p] = best
    return label, distance


def kmeans(
    points: NDArray[np.float64],
    weight: NDArray[np.float64],
    n_centroids: int,
    *,
    seed: int,
    max_rounds: int = 30,
) -> NDArray[np.float64]:
    """Centroids that minimize the weighted sum of squared distances of points to the nearest one.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_axes)
    weight : ndarray of shape (n_points,)
        Not negative, not all zero.
    n_centroids : int
    seed : int
    max_rounds : int, optional
        Rounds of Lloyd's algorithm; it stops before when no label changes.

    Returns
    -------
    centroids : ndarray of shape (n_centroids, n_axes)
        Repeated where there are fewer distinct points than centroids.

    Notes
    -----
    Start: k-means++ (Arthur & Vassilvitskii 2007). A centroid that loses its points stays.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    centroids = _spread_start(points, weight, n_centroids, seed)
    label = np.full(len(points), -1, dtype=np.int32)
    for _ in range(max_rounds):
        new_label, _ = nearest(points, centroids)
        if np.array_equal(new_label, label):
            break
        label = new_label
        total = np.bincount(label, weight, n_centroids)
        held = total > 0
        for axis in range(points.shape[1]):
            sums = np.bincount(label, weight * points[:, axis], n_centroids)
            centroids[held, axis] = sums[held] / total[held]
    return centroids


def _spread_start(
    points: NDArray[np.float64], weight: NDArray[np.float64], n_centroids: int, seed: int
) -> NDArray[np.float64]:
    """Points drawn with a probability that grows with the distance to those drawn before."""
    draws = np.random.Generator(np.random.PCG64(seed)).random(n_centroids)
    centroids = np.empty((n_centroids, points.shape[1]))
    distance = np.ones(len(points))
    for r, draw in enumerate(draws):
        cumulative = np.cumsum(weight * distance)
        if not cumulative[-1] > 0:
            centroids[r:] = centroids[0]
            break
        chosen = min(int(np.searchsorted(cumulative, draw * cumulative[-1])), len(points) - 1)
        centroids[r] = points[chosen]
        to_chosen = nearest(points, centroids[r : r + 1])[1]
        distance = to_chosen if r == 0 else np.minimum(distance, to_chosen)
    return centroids
