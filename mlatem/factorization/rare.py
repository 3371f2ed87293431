# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for phases so rare that no region of the factorisation is theirs.

What the phases leave of every pixel is tested for an excess in the dictionary's span, alone and
summed over small windows. How high chance takes the test is learnt from maps that are simulated
from the very fit, so that the number of false alarms is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from mlatem.factorization.abundances import most_likely
from mlatem.kernels import excess, information
from mlatem.model import SparseCounts

Array = NDArray[np.float64]
T = TypeVar("T", np.float32, np.bool_)

#: Sides of the windows over which what is left is summed, pixels.
WINDOWS = (1, 3, 5, 9)
#: Pixels that are read around a tile, so that its windows do not depend on it.
HALO_PX = max(WINDOWS) // 2
#: Rows and columns of the tiles that are searched, always from the map's corner: results do not
#: depend on how the counts are stored.
TILE_SHAPE = (64, 64)
#: Side of the blocks whose largest values are compared with those of simulated maps, pixels.
BLOCK_PX = 16
#: Shares of a phase over the tile that a trend must rest on, in units of the tile's pixels.
_TREND_PRIOR = 0.03
_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Expected:
    """What is known of the map, and the directions in which more is looked for."""

    spectrum: Array
    """Shape (n_phases, n_energy); spectra of the phases, each adding up to one."""
    columns: Array
    """Shape (n_columns, n_energy); of the elements, each adding up to one."""


@dataclass(frozen=True)
class TileTests:
    """Tests of the pixels of a tile."""

    value: NDArray[np.float32]
    """Shape (n_windows, ny, nx); excess of the element that exceeds most, standard deviations."""
    block_maxima: NDArray[np.float32]
    """Shape (n_windows, n_blocks); largest value of every block of the tile."""


@dataclass(frozen=True)
class PixelScores:
    """What the spectra of pixels say of more counts of each element."""

    abundance: Array
    """Shape (n_pixels, n_phases); counts of the known phases, of maximum likelihood."""
    score: Array
    """Shape (n_pixels, n_columns); derivative of the log-likelihood, less its trend."""
    information: Array
    """Shape (n_pixels, n_columns); its variance."""


def tile_scores(
    counts: SparseCounts, expected: Expected, *, masked: NDArray[np.bool_] | None = None
) -> PixelScores:
    """Scores of the pixels of a tile and its halo; see `tile_tests`."""
    abundance, _ = most_likely(counts, expected.spectrum)
    score = excess.excess_scores(
        counts.pointer,
        counts.channel,
        counts.count,
        np.ascontiguousarray(expected.spectrum.T),
        abundance,
        np.ascontiguousarray(expected.columns.T),
    )
    n_phases = len(expected.spectrum)
    grouped = information.alike_channels(np.vstack([expected.spectrum, expected.columns]))
    known = excess.excess_information(grouped[:n_phases], grouped[n_phases:], abundance)
    n_pixels = len(score) - (0 if masked is None else int(np.count_nonzero(masked)))
    return PixelScores(abundance, score - _trend(abundance, score, n_pixels), known)


def tile_tests(
    counts: SparseCounts,
    expected: Expected,
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice],
    masked: NDArray[np.bool_] | None = None,
) -> TileTests:
    """Tests of every pixel of a tile for counts beyond the known phases.

    Parameters
    ----------
    counts : SparseCounts
        Of the tile and its halo (`HALO_PX` pixels, less at the border of the map).
    expected : Expected
    shape : tuple of int
        Rows and columns of `counts`.
    core : tuple of slice
        The tile within `counts`; its blocks start at its first row and column.
    masked : ndarray of shape (n_pixels,), bool, optional
        Pixels of `counts` that are left out: they hold no counts, and have the value 0.

    Notes
    -----
    Score test of one element at a time (Rao 1948): the derivative of the log-likelihood with
    respect to its counts, over the root of the expected information with the abundances of the
    phases free, both summed over the window. One element at a time suffices: what phases leave of a
    mixture of elements, none negative, exceeds in at least one of them. What a wrong composition
    leaves in every pixel of a phase is not rare: scores are taken relative to their trend with the
    shares of the phases over the tile.
    """
    scores = tile_scores(counts, expected, masked=masked)
    excesses = [
        _best_element(
            _window_sum(scores.score.reshape(*shape, -1), side)[core],
            _window_sum(scores.information.reshape(*shape, -1), side)[core],
        )
        for side in WINDOWS
    ]
    value = np.stack(excesses).astype(np.float32)
    if masked is None:
        return TileTests(value, _block_maxima(value))
    used = ~masked.reshape(shape)[core]
    value *= used
    return TileTests(value, _block_maxima(value)[:, _block_maxima(used[None])[0]])


def simulated(counts: SparseCounts, expected: Expected, *, seed: int) -> SparseCounts:
    """Counts that the known phases alone would have given, with the abundances of the measured.

    Parameters
    ----------
    counts : SparseCounts
        Measured.
    expected : Expected
    seed : int
        A pixel's counts depend on it and on the pixel's index in the map alone.
    """
    abundance, _ = most_likely(counts, expected.spectrum)
    distribution = np.cumsum(expected.spectrum, axis=1)
    pointer, channel, count = excess.simulate(abundance, distribution, counts.pixel, seed)
    return SparseCounts(pointer, channel, count, counts.n_energy, counts.pixel)


def thresholds(measured: Array, by_chance: Array, *, false_alarm: float) -> Array:
    """Values that chance exceeds anywhere in the map with a probability of `false_alarm`.

    Parameters
    ----------
    measured : ndarray of shape (n_windows, n_blocks)
        Largest values of the blocks of the map.
    by_chance : ndarray of shape (n_windows, n_simulated)
        The same of simulated blocks.
    false_alarm : float
        Of all windows together.

    Returns
    -------
    ndarray of shape (n_windows,)

    Notes
    -----
    Largest values of blocks follow a Gumbel distribution (Gumbel 1958), fitted by its moments; that
    of the map, the largest of its blocks, is the same shifted by scale * log(n_blocks). Where the
    model is not exact, most blocks of the map stand higher than simulated ones: the distribution is
    stretched until the medians agree.
    """
    scale = by_chance.std(axis=1) * np.sqrt(6.0) / np.pi
    location = by_chance.mean(axis=1) - _EULER * scale
    chance = false_alarm / len(measured)
    limit = location + scale * (np.log(measured.shape[1]) - np.log(-np.log1p(-chance)))
    usual = np.median(by_chance, axis=1)
    stretch = np.median(measured, axis=1) / np.where(usual > 0, usual, np.inf)
    result: Array = np.where(scale > 0, limit * np.maximum(stretch, 1.0), np.inf)
    return result


def _trend(abundance: Array, score: Array, n_pixels: int) -> Array:
    """Scores that the shares of the phases explain, by ridge regression over the tile."""
    total = abundance.sum(axis=1, keepdims=True)
    share = abundance / np.maximum(total, 1e-300)
    moment = share.T @ share + _TREND_PRIOR * n_pixels * np.eye(share.shape[1])
    trend: Array = share @ np.linalg.solve(moment, share.T @ score)
    return trend


def _window_sum(maps: Array, side: int) -> Array:
    if side == 1:
        return maps
    size = (side, side) + (1,) * (maps.ndim - 2)
    summed: Array = uniform_filter(maps, size, mode="constant") * side**2
    return summed


def _best_element(score: Array, known: Array) -> Array:
    """The highest score of a single element, standard deviations; at least 0."""
    ratio = np.where(known > 0, score / np.sqrt(np.where(known > 0, known, 1.0)), 0.0)
    best: Array = np.maximum(ratio.max(axis=-1), 0.0)
    return best


def _block_maxima(value: NDArray[T]) -> NDArray[T]:
    _, ny, nx = value.shape
    starts = np.arange(0, ny, BLOCK_PX), np.arange(0, nx, BLOCK_PX)
    rows = np.maximum.reduceat(value, starts[0], axis=1)
    blocks: NDArray[T] = np.maximum.reduceat(rows, starts[1], axis=2)
    return blocks.reshape(len(value), -1)
