# SPDX-License-Identifier: GPL-3.0-or-later
"""The Poisson-weighted second moment of the spectra of a tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from mlatem.kernels import moments as kernel
from mlatem.model import SparseCounts, TileStatistics

#: Part of the voxels with counts above which a dense product is cheaper than the sparse one.
DENSE_OCCUPANCY = 0.2

_DENSE_BLOCK_BYTES = 16 * 2**20


def tile_statistics(counts: SparseCounts) -> TileStatistics:
    """Sums over the pixels of a tile that basis and rank are computed from.

    Parameters
    ----------
    counts : SparseCounts

    Returns
    -------
    statistics : TileStatistics
        Statistics of tiles add up to those of the map. Pixels without counts contribute nothing.

    Notes
    -----
    With y the spectrum of a pixel and g its total, the sum of y y^T / g is the second moment in
    which each pixel has the weight of its Poisson noise (Keenan & Kotula 2004, Surf. Interface
    Anal. 36, 203); the weight of the channels follows from the sum spectrum once all tiles are in.
    Memory is that of the moment, 8 n_energy^2 bytes, beside the counts.
    """
    return add_tile(TileStatistics.zero(counts.n_energy), counts)


def add_tile(total: TileStatistics, counts: SparseCounts) -> TileStatistics:
    """The statistics of a tile and what others add up to, in the arrays of `total`.

    The same, to the last bit, as `total += tile_statistics(counts)`, but for sparse counts without
    a second matrix.
    """
    totals = counts.pixel_totals()
    if counts.n_events > DENSE_OCCUPANCY * counts.n_pixels * counts.n_energy:
        total += TileStatistics(*tile_totals(counts), moment=_dense(counts, totals))
        return total
    kernel.add_sparse_moment(counts.pointer, counts.channel, counts.count, totals, total.moment)
    n_pixels, spectrum, weighted = tile_totals(counts)
    return replace(
        total,
        n_pixels=total.n_pixels + n_pixels,
        total=total.total + spectrum,
        weighted_total=total.weighted_total + weighted,
    )


def moment_times(counts: SparseCounts, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of the moment of a tile with columns of shape (n_energy, n_columns).

    Products of tiles add up to that of the map. Memory is that of the columns.
    """
    product: NDArray[np.float64] = kernel.moment_times(
        counts.pointer,
        counts.channel,
        counts.count,
        counts.pixel_totals(),
        np.ascontiguousarray(vectors),
    )
    return product


def tile_totals(counts: SparseCounts) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Pixels with counts, summed spectrum and sum of y / g of a tile."""
    totals = counts.pixel_totals()
    return (
        int(np.count_nonzero(totals)),
        counts.sum_spectrum().astype(np.float64),
        kernel.weighted_total(
            counts.pointer, counts.channel, counts.count, totals, counts.n_energy
        ),
    )


def _dense(counts: SparseCounts, totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """The moment by symmetric rank-k updates of blocks of pixels."""
    n_energy = counts.n_energy
    # The lower triangle in the column order of BLAS is the upper one in the row order of numpy.
    moment = np.zeros((n_energy, n_energy), order="F")
    n_rows = max(1, _DENSE_BLOCK_BYTES // (8 * n_energy))
    scale = 1.0 / np.sqrt(np.maximum(totals, 1))
    for start in range(0, counts.n_pixels, n_rows):
        pixels = slice(start, min(start + n_rows, counts.n_pixels))
        spectra = _dense_rows(counts, pixels) * scale[pixels, None]
        moment = dsyrk(1.0, spectra.T, beta=1.0, c=moment, lower=1, overwrite_c=1)
    symmetric = moment.T
    kernel.mirror(symmetric)
    return symmetric


def _dense_rows(counts: SparseCounts, pixels: slice) -> NDArray[np.float64]:
    """Dense spectra of consecutive pixels, shape (pixels, n_energy)."""
    pointer = counts.pointer[pixels.start : pixels.stop + 1]
    events = slice(pointer[0], pointer[-1])
    dense = np.zeros((len(pointer) - 1, counts.n_energy))
    dense[np.repeat(np.arange(len(dense)), np.diff(pointer)), counts.channel[events]] = (
        counts.count[events]
    )
    return dense
