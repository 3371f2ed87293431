# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.optimize import nnls

from mlatem.kernels.adaptive import average_alike, bounded


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    value = rng.standard_normal((6, 5, 3))
    root = rng.standard_normal((2, 6, 5, 3, 3))
    information, reached = root @ root.swapaxes(-1, -2) + np.eye(3)
    return value, reached, (information @ value[..., None])[..., 0], information


def test_average_is_the_weighted_least_squares_of_the_neighbours(example):
    value, reached, score, information = example
    found, gathered = average_alike(*example, 2.5, 20.0)
    y, x = np.indices(value.shape[:2])
    for place in np.ndindex(value.shape[:2]):
        near = 1 - ((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2.5**2
        difference = value - value[place]
        alike = 1 - np.einsum("yxi,ij,yxj->yx", difference, reached[place], difference) / 20.0
        weight = np.clip(near, 0, None) * np.clip(alike / 0.75, 0, 1)
        matrix = np.einsum("yx,yxij->ij", weight, information)
        right = np.einsum("yx,yxi->i", weight, score)
        assert np.allclose(gathered[place], matrix)
        assert np.allclose(found[place], np.linalg.solve(matrix, right))


def test_a_pixel_without_alike_neighbours_stays(example):
    found, gathered = average_alike(*example, 2.5, 1e-9)
    assert np.allclose(found, example[0])
    assert np.allclose(gathered, example[3])


def test_bounded_is_nonnegative_least_squares(example):
    value, _, _, information = example
    found = bounded(value, information)
    for place in np.ndindex(value.shape[:2]):
        root = np.linalg.cholesky(information[place]).T
        assert np.allclose(found[place], nnls(root, root @ value[place])[0], atol=1e-3)
