# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.sparse.linalg import ArpackNoConvergence

from mlatem.denoising import eigen


def problem(n, n_known=3):
    rng = np.random.default_rng(n)
    values = np.concatenate([[90.0, 60.0, 40.0, 25.0], rng.uniform(-1, 10, n - 4)])
    vectors = np.linalg.qr(rng.standard_normal((n, n)))[0]
    known = np.linalg.qr(rng.standard_normal((n, n_known)))[0]
    project = np.eye(n) - known @ known.T
    matrix = project @ (vectors * values) @ vectors.T @ project
    return matrix, known


@pytest.mark.parametrize("n", [20, 400])
def test_equal_to_the_whole_decomposition(n):
    matrix, known = problem(n)
    values, vectors = eigen.leading_eigenpairs(lambda v: matrix @ v, known, 5)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1][:5], rtol=1e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(known.T @ vectors, 0, atol=1e-10)
    np.testing.assert_allclose(matrix @ vectors[:, :4], vectors[:, :4] * values[:4], atol=1e-2)


def test_the_same_every_time():
    matrix, known = problem(400)
    one, other = (eigen.leading_eigenpairs(lambda v: matrix @ v, known, 5) for _ in range(2))
    assert np.array_equal(one[1], other[1])


def test_whole_decomposition_where_lanczos_does_not_converge(monkeypatch):
    def give_up(*args, **kwargs):
        raise ArpackNoConvergence("none", np.zeros(0), np.zeros((400, 0)))

    matrix, known = problem(400)
    expected, _ = eigen.leading_eigenpairs(lambda v: matrix @ v, known, 5)
    monkeypatch.setattr(eigen, "eigsh", give_up)
    values, _ = eigen.leading_eigenpairs(lambda v: matrix @ v, known, 5)
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_no_axes_wanted():
    values, vectors = eigen.leading_eigenpairs(lambda v: v, np.eye(3), 0)
    assert values.shape == (0,) and vectors.shape == (3, 0)
