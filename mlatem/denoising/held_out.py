# SPDX-License-Identifier: GPL-3.0-or-later
"""How far denoised counts are from the expected ones, told by photons that were held back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.kernels.moments import project
from mlatem.model import Basis, SparseCounts


@dataclass(frozen=True)
class HeldOutSums:
    """Sums over pixels of an estimate of their error. Merges are sums."""

    n_pixels: int
    error: NDArray[np.float64]
    """Shape (n_methods,); summed error of each."""
    squared: NDArray[np.float64]
    """Shape (n_methods,); summed squares of the pixels' errors."""
    noise: float
    """Summed noise of the counts that were held back, in the same unit."""

    @classmethod
    def zero(cls, n_methods: int) -> HeldOutSums:
        """The identity of the merge."""
        return cls(0, np.zeros(n_methods), np.zeros(n_methods), 0.0)

    def __add__(self, other: HeldOutSums) -> HeldOutSums:
        return HeldOutSums(
            self.n_pixels + other.n_pixels,
            self.error + other.error,
            self.squared + other.squared,
            self.noise + other.noise,
        )

    @property
    def relative(self) -> NDArray[np.float64]:
        """Shape (n_methods,); error over that of raw counts, 1 for these on average."""
        return self.error / self.noise

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard deviations of `relative`."""
        n = max(self.n_pixels, 2)
        variance = np.maximum(self.squared - self.error**2 / n, 0.0) * n / (n - 1)
        return np.sqrt(variance) / self.noise


def compare(
    estimates: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    held_out: SparseCounts,
    weights: NDArray[np.float64],
    measured: NDArray[np.bool_],
) -> HeldOutSums:
    """Errors of estimates of the expected counts of a tile.

    Parameters
    ----------
    estimates : list of (square, product), each of shape (n_pixels,)
        Of every method the sum over channels of w^2 x^2 and of w^2 x y, with x its estimate and y
        the held-out counts.
    held_out : SparseCounts
        Counts that no estimate has seen, of the same expectation.
    weights : ndarray of shape (n_energy,)
        w; of the basis.
    measured : ndarray of shape (n_pixels,), bool
        Pixels that are compared.

    Notes
    -----
    With y a Poisson variable of mean m that is independent of the estimate x, the mean of
    (x - y)^2 - y is (x - m)^2: the error, without knowing m. For raw counts, half of the photons
    each, it is their variance m.
    """
    squared = weights**2
    pixel = np.repeat(np.arange(held_out.n_pixels), np.diff(held_out.pointer))
    count = held_out.count.astype(np.float64)
    own = count * (count - 1.0) * squared[held_out.channel]
    own_of_pixel = _sums(pixel, own, held_out.n_pixels)[measured]
    errors = np.array([x2[measured] - 2.0 * xy[measured] + own_of_pixel for x2, xy in estimates])
    return HeldOutSums(
        int(np.count_nonzero(measured)),
        errors.sum(axis=1),
        (errors**2).sum(axis=1),
        float(np.sum(count * squared[held_out.channel] * measured[pixel])),
    )


def raw_products(
    counts: SparseCounts, held_out: SparseCounts, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums for the counts as they are. Both halves have the same events, zeros included."""
    squared = weights[counts.channel] ** 2
    pixel = np.repeat(np.arange(counts.n_pixels), np.diff(counts.pointer))
    own, other = counts.count.astype(np.float64), held_out.count.astype(np.float64)
    return (
        _sums(pixel, own * own * squared, counts.n_pixels),
        _sums(pixel, own * other * squared, counts.n_pixels),
    )


def low_rank_products(
    scores: NDArray[np.floating], basis: Basis, held_out: SparseCounts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums for scores of shape (n_pixels, rank) of the other half."""
    values = scores.astype(np.float64)
    root = values @ basis.root_per_score
    # The spectra times the weights are the axes, which are orthonormal.
    square = root**2 * np.sum(values**2, axis=1)
    table = np.ascontiguousarray((basis.axes * basis.weights).T)
    totals = np.ones(held_out.n_pixels, dtype=np.int64)
    of_held_out = project(held_out.pointer, held_out.channel, held_out.count, totals, table)
    return square, root * np.sum(values * of_held_out, axis=1)


def binned_products(
    counts: SparseCounts,
    held_out: SparseCounts,
    weights: NDArray[np.float64],
    shape: tuple[int, int],
    measured: NDArray[np.bool_],
    *,
    bin_px: int,
    bin_channels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums for means over blocks of pixels and channels, spread evenly over each block.

    Parameters
    ----------
    counts, held_out : SparseCounts
        Whole blocks, but at the ends of the map; both halves have the same events.
    weights : ndarray of shape (n_energy,)
    shape : tuple of int
        Rows and columns of the tile.
    measured : ndarray of shape (n_pixels,), bool
        Pixels that the means are taken over; the others hold no counts.
    bin_px, bin_channels : int
    """
    ny, nx = shape
    n_columns = -(-nx // bin_px)
    y, x = np.divmod(np.arange(ny * nx), nx)
    block = y // bin_px * n_columns + x // bin_px
    n_blocks, n_bins = int(block[-1]) + 1, -(-counts.n_energy // bin_channels)
    n_pixels = np.maximum(np.bincount(block, measured, n_blocks), 1.0)
    channels = np.arange(counts.n_energy) // bin_channels
    n_channels = np.bincount(channels)
    squared = np.bincount(channels, weights**2)
    pixel = np.repeat(np.arange(counts.n_pixels), np.diff(counts.pointer))
    place = block[pixel] * n_bins + channels[counts.channel]
    mean = _sums(place, counts.count.astype(np.float64), n_blocks * n_bins)
    mean = mean.reshape(n_blocks, n_bins)
    # In place: of all arrays here the largest.
    mean /= n_pixels[:, None]
    mean /= n_channels
    of_block = np.einsum("ij,ij,j->i", mean, mean, squared)
    product = mean.ravel()[place] * held_out.count * weights[counts.channel] ** 2
    return of_block[block], _sums(pixel, product, counts.n_pixels)


def _sums(
    place: NDArray[np.integer], values: NDArray[np.float64], n_places: int
) -> NDArray[np.float64]:
    """Sums of the values that have the same place."""
    return np.bincount(place, values, n_places).astype(np.float64, copy=False)
