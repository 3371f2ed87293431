# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np

from mlatem.kernels.kmeans import kmeans, nearest
from mlatem.kernels.pooling import project, sum_by_label
from mlatem.model import SparseCounts


def example():
    rng = np.random.default_rng(2)
    dense = rng.poisson(0.3, (50, 30))
    return SparseCounts.from_dense(dense, np.arange(50)), dense, rng


def test_project():
    counts, dense, rng = example()
    axes = rng.standard_normal((30, 4))
    found = project(counts.pointer, counts.channel, counts.count, axes)
    assert np.allclose(found, dense @ axes)


def test_sum_by_label():
    counts, dense, rng = example()
    label = rng.integers(-1, 4, 50)
    summed, n_pixels = sum_by_label(counts.pointer, counts.channel, counts.count, label, 4, 30)
    assert np.array_equal(summed, [dense[label == r].sum(axis=0) for r in range(4)])
    assert np.array_equal(n_pixels, [np.count_nonzero(label == r) for r in range(4)])


def test_nearest():
    rng = np.random.default_rng(4)
    points, centroids = rng.standard_normal((200, 3)), rng.standard_normal((7, 3))
    squared = ((points[:, None] - centroids) ** 2).sum(axis=-1)
    label, distance = nearest(points, centroids)
    assert np.array_equal(label, squared.argmin(axis=1))
    assert np.allclose(distance, squared.min(axis=1))


def test_kmeans_finds_clusters_and_repeats_itself():
    rng = np.random.default_rng(4)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points = np.repeat(centres, 100, axis=0) + 0.3 * rng.standard_normal((300, 2))
    weight = rng.uniform(0.5, 2.0, 300)
    found = kmeans(points, weight, 3, seed=1)
    squared = ((centres[:, None] - found) ** 2).sum(axis=-1)
    assert squared.min(axis=1).max() < 0.1**2
    assert np.array_equal(found, kmeans(points, weight, 3, seed=1))


def test_kmeans_centroids_are_weighted_means():
    points = np.array([[0.0], [1.0], [10.0]])
    found = kmeans(points, np.array([1.0, 3.0, 1.0]), 2, seed=0)
    assert np.allclose(np.sort(found.ravel()), [0.75, 10.0])


def test_kmeans_with_fewer_points_than_centroids():
    found = kmeans(np.array([[1.0], [2.0]]), np.ones(2), 5, seed=0)
    assert set(found.ravel()) == {1.0, 2.0}
