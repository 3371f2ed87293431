# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistical covariance of the compositions, with the abundances of the regions free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import Array, PooledData, information

#: Values below this many conditional standard errors count as zero.
_ZERO = 0.3


def weight_covariance(
    data: PooledData, abundance: Array, weight: Array, constraints: Constraints | None = None
) -> Array:
    """Covariance of the weights of every phase, abundances eliminated, weights adding up to one.

    Parameters
    ----------
    data : PooledData
    abundance : ndarray of shape (n_regions, n_phases)
        Of maximum likelihood at these weights.
    weight : ndarray of shape (n_phases, n_columns)
    constraints : Constraints, optional
        What is known beforehand counts as known: no variance for it.

    Returns
    -------
    covariance : ndarray of shape (n_phases, n_columns, n_columns)

    Notes
    -----
    Inverse of the Schur complement of the Fisher information on the values that are not zero:
    conditional on this pattern of zeros. A weight of zero gets, on the diagonal alone, the
    variance that it has when it alone is freed: the curvature on the allowed side. Since weights
    lie between 0 and 1, a prior of standard deviation one bounds what the counts leave open.
    """
    n_phases, n_columns = weight.shape
    reduced, curvature = reduced_information(data, abundance, weight)
    reduced = reduced + np.eye(len(reduced))
    active = is_present(weight, curvature)
    if constraints is not None:
        reduced = reduced + constraints.curvature(weight)
        active = active & constraints.free
    tangent = tangent_of(active)
    full = tangent @ np.linalg.solve(tangent.T @ reduced @ tangent, tangent.T)
    freed = _freed_variance(reduced, full, active.ravel())
    if constraints is not None:
        freed = np.where(constraints.free.ravel(), freed, 0.0)
    full = full + np.diag(freed)
    blocks_of_phases = full.reshape(n_phases, n_columns, n_phases, n_columns)
    return np.stack([blocks_of_phases[k, :, k, :] for k in range(n_phases)])


def reduced_information(
    data: PooledData, abundance: Array, weight: Array, *, zero: float = _ZERO
) -> tuple[Array, Array]:
    """Information on the weights with the abundances that are not zero eliminated.

    Returns
    -------
    reduced : ndarray of shape (n_phases * n_columns, n_phases * n_columns)
    curvature : ndarray of shape (n_phases, n_columns)
        Of each weight with all else known.
    """
    blocks = information(data, abundance, weight, data.model(abundance, weight))
    reduced = without_abundances(
        abundance, blocks.abundance, blocks.cross, blocks.weight, zero=zero
    )
    return reduced, np.diag(blocks.weight).reshape(weight.shape)


def without_abundances(
    abundance: Array, own: Array, cross: Array, shared: Array, *, zero: float = _ZERO
) -> Array:
    """Information on what all regions share, abundances of every region free.

    Parameters
    ----------
    abundance : ndarray of shape (n_regions, n_phases)
        Those that are zero stay there.
    own : ndarray of shape (n_regions, n_phases, n_phases)
        Information on the abundances.
    cross : ndarray of shape (n_regions, n_phases, n_shared)
    shared : ndarray of shape (n_shared, n_shared)
    zero : float, optional
        Abundances below this many conditional standard errors are held where they are.

    Returns
    -------
    ndarray of shape (n_shared, n_shared)
    """
    present = is_present(abundance, np.diagonal(own, axis1=1, axis2=2), zero)
    matrix = np.where(present[:, :, None] & present[:, None, :], own, 0.0)
    index = np.arange(abundance.shape[1])
    matrix[:, index, index] = np.where(present, matrix[:, index, index] * (1 + 1e-12), 1.0)
    cross = np.where(present[:, :, None], cross, 0.0)
    carried = np.linalg.inv(matrix) @ cross
    reduced = shared - np.einsum("rks,rkt->st", cross, carried, optimize=True)
    symmetric: Array = 0.5 * (reduced + reduced.T)
    return symmetric


def is_present(value: Array, curvature: Array, zero: float = _ZERO) -> NDArray[np.bool_]:
    """Which values are not zero, by their conditional standard errors."""
    return value * np.sqrt(np.maximum(curvature, 0.0)) > zero


def tangent_of(active: NDArray[np.bool_]) -> Array:
    """Orthonormal directions in which the active weights move and each phase's sum stays.

    Shape (n_phases * n_columns, n_directions).
    """
    n_phases, n_columns = active.shape
    parts = []
    for k in range(n_phases):
        places = np.flatnonzero(active[k])
        if places.size < 2:
            continue
        ones = np.ones((places.size, 1))
        directions = np.linalg.qr(ones, mode="complete")[0][:, 1:]
        part = np.zeros((n_phases * n_columns, places.size - 1))
        part[k * n_columns + places] = directions
        parts.append(part)
    return np.hstack(parts) if parts else np.zeros((active.size, 0))


def _freed_variance(reduced: Array, covariance: Array, active: NDArray[np.bool_]) -> Array:
    """Variance of each weight at zero when it alone is freed; 0 for the others."""
    explained = np.einsum("ij,jk,ki->i", reduced, covariance, reduced, optimize=True)
    left = np.maximum(np.diag(reduced) - explained, 1.0)
    return np.where(active, 0.0, 1.0 / left)
