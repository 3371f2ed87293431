# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes of phases that show in what neighbouring pixels have in common, not in any single one.

Phases are contiguous and noise is not: products of the scores of two *different* pixels have mean
zero if noise alone made them, whatever its size. Summed over all pairs of neighbours they hold the
same signal as the second moment of single pixels, with the noise of some tens of pixels averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from scipy.optimize import minimize_scalar

from mlatem.errors import InputError
from mlatem.factorization.pooled import Array, no_column
from mlatem.factorization.vertices import orthonormal_columns
from mlatem.kernels.pooling import project
from mlatem.kernels.smoothing import gaussian, smooth
from mlatem.model import Basis, Dictionary, SparseCounts

#: Standard deviation of the Gaussian by which neighbours weigh, pixels.
SIGMA_PX = 2.5
#: Pixels that are read around a tile.
HALO_PX = len(gaussian(SIGMA_PX)) // 2
#: An axis counts from so many times the edge of noise. The largest of noise scatters around the
#: edge: on 300 specimens that chose this value it reached 1.11.
_MARGIN = 1.2

_BALANCING_ROUNDS = 50
_LEAST_VARIANCE = 1e-12
#: Longest side of the map for which the spectrum of the Gaussian is computed; longer ones repeat.
_MOST_MODES = 128
#: With fewer pixels there are no neighbourhoods to speak of.
_LEAST_PIXELS = 16
#: Pixels whose scores are multiplied at once, in double precision.
_CHUNK = 4096


@dataclass(frozen=True)
class Coherence:
    """Sums over pairs of neighbouring pixels. Merges by addition."""

    signal: Array
    """Shape (n_axes, n_axes); products of scores of two pixels times the weight of the pair."""
    noise: Array
    """Shape (n_axes, n_axes); variance of `signal` where pixels have nothing in common."""
    n_pixels: int
    """Pixels with counts."""

    @classmethod
    def zero(cls, n_axes: int) -> Coherence:
        """The identity of the merge."""
        return cls(np.zeros((n_axes, n_axes)), np.zeros((n_axes, n_axes)), 0)

    def __add__(self, other: Coherence) -> Coherence:
        if self.signal.shape != other.signal.shape:
            raise InputError(
                f"coherence on {len(self.signal)} and {len(other.signal)} axes cannot be merged"
            )
        return Coherence(
            self.signal + other.signal, self.noise + other.noise, self.n_pixels + other.n_pixels
        )


@dataclass(frozen=True)
class CoherentAxes:
    """What stands out of the noise of pairs of pixels."""

    axes: Array
    """Shape (n_phases, n_energy); whitened, of length one, by decreasing strength."""
    strength: Array
    """Shape (n_span,); all eigenvalues over the edge of noise, decreasing."""

    @property
    def n_phases(self) -> int:
        """Number of axes, the mean spectrum one of them: a rank, as that of the regions."""
        return len(self.axes)


def span_axes(basis: Basis, dictionary: Dictionary) -> Array:
    """Orthonormal axes of the dictionary's span in whitened channels, (n_span, n_energy).

    Raises
    ------
    InputError
        If no column is above zero where the map has counts.
    """
    columns = dictionary.columns * basis.weights
    if not columns.any():
        raise no_column()
    span: Array = orthonormal_columns(columns.T).T
    return span


def tile_coherence(
    counts: SparseCounts,
    axes: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice] | None = None,
) -> Coherence:
    """Sums over the pairs of pixels of which the first lies in a tile.

    Parameters
    ----------
    counts : SparseCounts
        Of the tile and its halo (`HALO_PX`, less at the border of the map); masked pixels hold no
        counts and so take no part.
    axes : ndarray of shape (n_axes, n_energy)
        Scores are `axes @ y / sqrt(total)`: `span_axes(...) * basis.weights`.
    shape : tuple of int
        Rows and columns of `counts`.
    core : tuple of slice, optional
        The tile within `counts`; all of it if there is no halo.

    Notes
    -----
    With z the scores and k the Gaussian, the sum over p and q != p of k(p - q) z_p z_q^T. Without
    the pairs of a pixel with itself its mean is free of noise. Photons are independent, so that
    the variance of an entry ij is the sum of k^2 v_pi v_qj with v the variance of a score, which
    is the sum of axes^2 y / total.
    """
    table = np.ascontiguousarray(axes.T)
    events = (counts.pointer, counts.channel, counts.count)
    total = counts.pixel_totals().astype(np.float32)[:, None]
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    scores = project(*events, table) * np.sqrt(inverse)
    variance = project(*events, table**2) * inverse
    around, variance_around = smooth(scores, variance, shape, SIGMA_PX)
    own = np.float32(_own_weight())
    places = np.arange(counts.n_pixels).reshape(shape)
    inner = places.ravel() if core is None else places[core].ravel()
    return Coherence(
        _products(scores, around, own, inner),
        _products(variance, variance_around, own**2, inner),
        int(np.count_nonzero(total[inner])),
    )


def coherent_axes(found: Coherence, span: Array, shape: tuple[int, int]) -> CoherentAxes:
    """Axes along which neighbouring pixels are alike beyond what noise does.

    Parameters
    ----------
    found : Coherence
        Of all tiles of the map.
    span : ndarray of shape (n_axes, n_energy)
        From `span_axes`.
    shape : tuple of int
        Rows and columns of the map.

    Notes
    -----
    Rows and columns are scaled together until the variance of the entries is one on average in
    each (as in `vertices.n_carried`; Landa, Zhang & Kluger 2022). Eigenvectors are scaled back.
    """
    if found.n_pixels < _LEAST_PIXELS:
        return CoherentAxes(np.zeros((0, span.shape[1])), np.zeros(len(span)))
    variance = (found.noise + found.noise.T) / 2.0
    scale = _balanced(variance)
    balanced = (found.signal + found.signal.T) / 2.0 * scale * scale[:, None]
    value, vector = np.linalg.eigh(balanced)
    strength = value[::-1] / noise_edge(shape, found.n_pixels, len(span))
    n_phases = int(np.count_nonzero(strength > _MARGIN))
    axes = (vector[:, ::-1][:, :n_phases] / scale[:, None]).T @ span
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return CoherentAxes(axes, strength)


def noise_edge(shape: tuple[int, int], n_pixels: int, n_axes: int) -> float:
    """Largest eigenvalue of the coherence of unit noise, whose entries have the variance one.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the map.
    n_pixels : int
        Pixels with counts.
    n_axes : int

    Notes
    -----
    With l the eigenvalues of the weights of pairs, their sum zero and that of their squares one,
    the coherence of m axes is the sum of l z z^T with z normal of m dimensions. Its largest
    eigenvalue is near the least value of 1/G + sum l / (1 - m l G) for 0 < G < 1 / (m max l)
    (Marchenko & Pastur 1967; Silverstein & Choi 1995): 2 sqrt(m) on a map of very many pixels, and
    more on one that holds few independent neighbourhoods.
    """
    weight = gaussian(SIGMA_PX)
    along = [_spectrum(weight, min(n, _MOST_MODES)) for n in shape]
    mode = (along[0][:, None] * along[1] - _own_weight()).ravel()
    share = n_pixels / mode.size
    mode = mode / np.sqrt(share * np.sum(mode**2))
    largest = 1.0 / (n_axes * float(mode.max()))

    def outside(part: float) -> float:
        resolvent = part * largest
        return 1.0 / resolvent + share * float(np.sum(mode / (1.0 - n_axes * mode * resolvent)))

    least = minimize_scalar(outside, bounds=(1e-4, 1.0 - 1e-4), method="bounded")
    return float(least.fun)


def region_axes(basis: Basis, found: CoherentAxes) -> tuple[Array, int]:
    """Axes of a map for the placing of regions.

    Parameters
    ----------
    basis : Basis
        Of single pixels, without rare axes.
    found : CoherentAxes

    Returns
    -------
    axes : ndarray of shape (n_axes, n_energy)
        Whitened and orthonormal. Those of the basis, unless neighbours share more than single
        pixels show in the dictionary's span: then the mean spectrum, as many of the coherent axes
        as single pixels show, the basis's axes outside of the span, last the other coherent axes.
    n_hidden : int
        How many only neighbours show.
    """
    n_shown = int(np.count_nonzero(basis.in_span))
    if found.n_phases <= n_shown:
        return basis.axes, 0
    mean, outside = basis.axes[:1], basis.axes[~basis.in_span]
    nearest_mean = int(np.argmax(np.abs(found.axes @ mean[0])))
    coherent = _orthonormal(np.delete(found.axes, nearest_mean, axis=0), mean)
    shown, hidden = np.split(coherent, [n_shown - 1])
    return np.vstack([mean, shown, outside, hidden]), len(hidden)


def _orthonormal(axes: Array, off: Array) -> Array:
    """Axes made orthonormal one after the other, off some that are so already."""
    chosen = np.array(off)
    for axis in axes:
        rest = axis
        for _ in range(2):  # Twice is enough for orthogonality to rounding.
            rest = rest - (rest @ chosen.T) @ chosen
        chosen = np.vstack([chosen, rest / np.linalg.norm(rest)])
    return chosen[len(off) :]


def _own_weight() -> float:
    """Weight of a pixel in the Gaussian around it."""
    weight = gaussian(SIGMA_PX)
    return float(weight[len(weight) // 2] ** 2)


def _spectrum(weight: Array, n: int) -> Array:
    """Eigenvalues of a Gaussian along a line of n pixels, nothing beyond its ends."""
    right = np.zeros(n)
    reach = min(n, len(weight) // 2 + 1)
    right[:reach] = weight[len(weight) // 2 :][:reach]
    values: Array = np.linalg.eigvalsh(toeplitz(right))
    return values


def _products(
    values: NDArray[np.float32],
    around: NDArray[np.float32],
    own: np.float32,
    inner: NDArray[np.int64],
) -> Array:
    """Sum over some pixels of the outer products of their values with those around them."""
    total = np.zeros((values.shape[1], values.shape[1]))
    for start in range(0, len(inner), _CHUNK):
        part = inner[start : start + _CHUNK]
        mine = values[part].astype(np.float64)
        total += mine.T @ (around[part].astype(np.float64) - own * mine)
    return total


def _balanced(variance: Array) -> Array:
    """Scales, shape (n_axes,), by whose products entries have the variance one on average."""
    scale = np.ones(len(variance))
    for _ in range(_BALANCING_ROUNDS):
        squared = scale**2
        mean = (squared[:, None] * squared * variance).mean(axis=1)
        scale = scale / np.maximum(mean, _LEAST_VARIANCE) ** 0.25
    return scale
