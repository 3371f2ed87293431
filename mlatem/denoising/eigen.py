# SPDX-License-Identifier: GPL-3.0-or-later
"""Leading eigenpairs of a symmetric matrix that is known by its products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

Product = Callable[[NDArray[np.float64]], NDArray[np.float64]]

#: Vectors of a block, and products with blocks, where every product is a pass over the counts.
_BLOCK, _N_PRODUCTS = 24, 5

#: Below this size the matrix is formed and diagonalised whole.
_SMALL = 256
_TOLERANCE = 1e-5


def leading_eigenpairs(
    times: Product, known: NDArray[np.float64], n_axes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues and their vectors outside a known subspace.

    Parameters
    ----------
    times : callable
        Product of the symmetric matrix, projected off the known subspace, with a vector of shape
        (n,) or columns of shape (n, k).
    known : ndarray of shape (n, n_known)
        Orthonormal columns that are left out.
    n_axes : int
        How many are wanted, at most n - n_known.

    Returns
    -------
    eigenvalue : ndarray of shape (n_axes,)
        Decreasing.
    vectors : ndarray of shape (n, n_axes)
        Orthonormal and orthogonal to the known subspace.

    Notes
    -----
    Implicitly restarted Lanczos (Lehoucq, Sorensen & Yang 1998) from a fixed start, so that the
    answer is the same every time.
    """
    n = len(known)
    if n_axes < 1:
        return np.zeros(0), np.zeros((n, 0))
    if n <= _SMALL or 4 * n_axes >= n:
        return _whole(times, known, n_axes)
    start = np.random.default_rng(0).standard_normal(n)
    start -= known @ (known.T @ start)
    operator = LinearOperator((n, n), matvec=lambda v: times(v.ravel()), dtype=np.float64)
    try:
        values, vectors = eigsh(
            operator, k=n_axes, ncv=min(n - 1, 3 * n_axes), which="LA", v0=start, tol=_TOLERANCE
        )
    except ArpackNoConvergence:
        return _whole(times, known, n_axes)
    return values[::-1], _orthonormal(vectors[:, ::-1], known)


def eigenpairs_of_few_products(
    times: Product, known: NDArray[np.float64], n_axes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `leading_eigenpairs`, with five products of the matrix with columns and no more.

    Returns
    -------
    eigenvalue : ndarray of shape (n_axes,), or fewer
        Decreasing; never above the true ones. Those that stand off from the rest are exact.
    vectors : ndarray of shape (n, n_axes)

    Notes
    -----
    Rayleigh-Ritz on a block Krylov space from a fixed random start (Musco & Musco 2015, NeurIPS,
    algorithm 2).
    """
    n, n_known = known.shape
    block = min(_BLOCK, n - n_known)
    if block < 1 or n_axes < 1:
        return np.zeros(0), np.zeros((n, 0))
    rest = np.random.default_rng(0).standard_normal((n, block))
    space, products = np.zeros((n, 0)), np.zeros((n, 0))
    for _ in range(_N_PRODUCTS):
        for _ in range(2):  # Twice is enough for orthogonality to rounding.
            rest -= known @ (known.T @ rest)
            rest -= space @ (space.T @ rest)
        new, size, _ = np.linalg.svd(rest, full_matrices=False)
        new = new[:, size > 1e-10 * max(float(size.max(initial=0.0)), 1e-300)]
        new = new[:, : n - n_known - space.shape[1]]
        if not new.shape[1]:
            break
        rest = times(new)
        space, products = np.hstack([space, new]), np.hstack([products, rest])
    ritz = space.T @ products
    values, vectors = np.linalg.eigh(0.5 * (ritz + ritz.T))
    kept = min(n_axes, values.size)
    return values[::-1][:kept], _orthonormal(space @ vectors[:, ::-1][:, :kept], known)


def _whole(
    times: Product, known: NDArray[np.float64], n_axes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All eigenpairs, of which the leading are returned."""
    basis, _ = np.linalg.qr(known, mode="complete")
    rest = basis[:, known.shape[1] :]
    values, vectors = np.linalg.eigh(rest.T @ times(rest))
    return values[::-1][:n_axes], rest @ vectors[:, ::-1][:, :n_axes]


def _orthonormal(vectors: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors made orthonormal to rounding, each changed as little as possible."""
    vectors = vectors - known @ (known.T @ vectors)
    left, _, right = np.linalg.svd(vectors, full_matrices=False)
    nearest: NDArray[np.float64] = left @ right
    return nearest
