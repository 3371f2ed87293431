# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighted k-means with its own seeded generator: the same answer on every machine."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.lanes import add_scaled, load, pattern, store, times, zeros

#: Centroids that are compared at once.
_CHUNK = 16
_FAR = np.float32(1e15)


def nearest(
    points: NDArray[np.floating], centroids: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Nearest centroid of every point.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_axes)
    centroids : ndarray of shape (n_centroids, n_axes)

    Returns
    -------
    label : ndarray of shape (n_points,), int32
        The first of equally near ones.
    distance : ndarray of shape (n_points,), float32
        Squared distance to it.
    """
    n_axes = points.shape[1]
    n_chunks = -(-len(centroids) // _CHUNK)
    # Places without a centroid are farther than any.
    table = np.full((n_chunks * _CHUNK, n_axes), _FAR, dtype=np.float32)
    table[: len(centroids)] = centroids
    chunks = table.reshape(n_chunks, _CHUNK, n_axes).transpose(0, 2, 1).reshape(-1, _CHUNK)
    label = np.empty(len(points), dtype=np.int32)
    distance = np.empty(len(points), dtype=np.float32)
    _nearest(
        np.ascontiguousarray(points, dtype=np.float32),
        np.ascontiguousarray(chunks),
        pattern(_CHUNK),
        np.ones((1, _CHUNK), dtype=np.float32),
        label,
        distance,
    )
    return label, distance


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _nearest(points, chunks, like, ones, label, distance):  # type: ignore[no-untyped-def]
    n_axes = points.shape[1]
    n_chunks = len(chunks) // n_axes
    to_all = np.empty((n_chunks, _CHUNK), dtype=np.float32)
    flat = to_all.ravel()
    # Floats that are not negative are in the order of their bits, which compare faster.
    bits, n_places = flat.view(np.int32), np.int32(len(flat))
    one = load(like, ones, 0)
    for p in range(len(points)):
        for chunk in range(n_chunks):
            total = zeros(like)
            for axis in range(n_axes):
                row = load(like, chunks, chunk * n_axes + axis)
                difference = add_scaled(row, -points[p, axis], one)
                total = add_scaled(total, np.float32(1.0), times(difference, difference))
            store(total, to_all, chunk)
        least = bits[0]
        for r in range(n_places):
            least = min(least, bits[r])
        first = n_places - np.int32(1)
        for r in range(n_places):
            first = min(first, np.int32(r) if bits[r] == least else first)
        label[p] = first
        distance[p] = flat[first]


@njit(cache=True, nogil=True)
def _sums(points, weight, label, n_centroids):  # type: ignore[no-untyped-def]
    """Weighted sum of the points of every label, and of their weights."""
    sums = np.zeros((n_centroids, points.shape[1]))
    total = np.zeros(n_centroids)
    for p in range(len(points)):
        r, w = label[p], weight[p]
        total[r] += w
        for axis in range(points.shape[1]):
            sums[r, axis] += w * points[p, axis]
    return sums, total


def kmeans(
    points: NDArray[np.float64],
    weight: NDArray[np.float64],
    n_centroids: int,
    *,
    seed: int,
    max_rounds: int = 12,
) -> NDArray[np.float64]:
    """Centroids that minimize the weighted sum of squared distances of points to the nearest one.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_axes)
        Compared in single precision.
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
    places = np.ascontiguousarray(points, dtype=np.float32)
    centroids = _spread_start(places, weight, n_centroids, seed)
    label = np.full(len(places), -1, dtype=np.int32)
    for _ in range(max_rounds):
        new_label, _ = nearest(places, centroids)
        if np.array_equal(new_label, label):
            break
        label = new_label
        sums, total = _sums(places, weight, label, n_centroids)
        held = total > 0
        centroids[held] = sums[held] / total[held, None]
    return centroids


def _spread_start(
    points: NDArray[np.float32], weight: NDArray[np.float64], n_centroids: int, seed: int
) -> NDArray[np.float64]:
    """Points drawn with a probability that grows with the distance to those drawn before."""
    draws = np.random.Generator(np.random.PCG64(seed)).random(n_centroids)
    chosen = np.empty(n_centroids, dtype=np.int64)
    _draw(points, np.asarray(weight, dtype=np.float64), draws, chosen)
    return points[chosen].astype(np.float64)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _draw(points, weight, draws, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen`; once all points have been drawn, with the first again."""
    n_points, n_axes = points.shape
    distance = np.ones(n_points, dtype=np.float32)
    for r in range(len(draws)):
        total = 0.0
        for p in range(n_points):
            total += weight[p] * distance[p]
        if not total > 0:
            chosen[r:] = chosen[0]
            return
        below = draws[r] * total
        place, cumulative = 0, weight[0] * distance[0]
        while place < n_points - 1 and cumulative < below:
            place += 1
            cumulative += weight[place] * distance[place]
        chosen[r] = place
        for p in range(n_points):
            to_chosen = np.float32(0.0)
            for axis in range(n_axes):
                to_chosen += (points[p, axis] - points[place, axis]) ** 2
            distance[p] = to_chosen if r == 0 else min(distance[p], to_chosen)
