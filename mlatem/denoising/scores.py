# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of pixels on a basis, and spectra back from scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.errors import InputError
from mlatem.kernels.moments import project
from mlatem.model import Basis, SparseCounts


def scores(counts: SparseCounts, basis: Basis) -> NDArray[np.float32]:
    """Scores of every pixel on the axes of a basis.

    Parameters
    ----------
    counts : SparseCounts
        Raw counts, or one half of thinned counts, on the channels of the basis.
    basis : Basis

    Returns
    -------
    scores : ndarray of shape (n_pixels, rank), float32
        In units of the noise's standard deviation, which is the same for every pixel. The first,
        the mean spectrum, is the square root of the pixel's counts. 0 for a pixel without counts.

    Raises
    ------
    InputError
        If the counts have another number of channels than the basis.

    Notes
    -----
    With y the spectrum of a pixel and g its total, axes @ (y * weights) / sqrt(g).
    """
    if counts.n_energy != basis.energy.size:
        raise InputError(
            f"counts have {counts.n_energy} channels and the basis {basis.energy.size}: "
            "use the window from which the basis was computed"
        )
    table = np.ascontiguousarray((basis.axes * basis.weights).T)
    result: NDArray[np.float32] = project(
        counts.pointer, counts.channel, counts.count, counts.pixel_totals(), table
    )
    return result


def reconstruct(scores: ArrayLike, basis: Basis) -> NDArray[np.float32]:
    """Denoised spectra of pixels from their scores.

    Parameters
    ----------
    scores : array-like of shape (..., rank)
        Of any tile, row or pixel.
    basis : Basis

    Returns
    -------
    counts : ndarray of shape (..., n_energy), float32
        Expected counts. Noise of the scores can make small values negative. 0 in channels in which
        the map has no counts.

    Raises
    ------
    InputError
        If there is not one score for each axis.

    Notes
    -----
    The square root of a pixel's total is the sum over channels of its unscaled spectrum, so that
    the scores alone determine the counts.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape[-1:] != (basis.rank,):
        raise InputError(
            f"scores have shape {values.shape}, expected {basis.rank} in the last dimension"
        )
    root = values @ basis.root_per_score
    counts: NDArray[np.float32] = ((root[..., None] * values) @ basis.spectra).astype(np.float32)
    return counts
