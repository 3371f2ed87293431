# SPDX-License-Identifier: GPL-3.0-or-later
"""What is summed over tiles. Merges are sums: associative, commutative, with an identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError


@dataclass(frozen=True)
class TileStatistics:
    """Poisson-weighted second moment of the spectra of a tile.

    With y the spectrum of a pixel and g its total, the sums over pixels with counts of y y^T / g,
    of y / g and of y. The Poisson part of the moment is the diagonal `weighted_total`.
    """

    n_pixels: int
    """Pixels with at least one count."""
    total: NDArray[np.float64]
    """Shape (n_energy,); sum spectrum in counts."""
    weighted_total: NDArray[np.float64]
    """Shape (n_energy,); sum of y / g."""
    moment: NDArray[np.float64]
    """Shape (n_energy, n_energy); sum of y y^T / g."""
    signal: NDArray[np.float64] | None = None
    """Shape (n_energy,); sum spectrum, where it is not the noise variance. `total` is then the sum
    of variances, and g that of a pixel. None for counts, whose variance is their mean."""

    @classmethod
    def zero(cls, n_energy: int) -> TileStatistics:
        """The identity of the merge."""
        return cls(0, np.zeros(n_energy), np.zeros(n_energy), np.zeros((n_energy, n_energy)))

    def __add__(self, other: TileStatistics) -> TileStatistics:
        if self.total.shape != other.total.shape:
            raise InputError(
                f"tiles with {self.total.size} and {other.total.size} channels cannot be merged"
            )
        return TileStatistics(
            self.n_pixels + other.n_pixels,
            self.total + other.total,
            self.weighted_total + other.weighted_total,
            self.moment + other.moment,
            _sum(self.signal, other.signal),
        )

    def __iadd__(self, other: TileStatistics) -> TileStatistics:
        """The sum in the arrays of the first, which is not to be used any more."""
        if self.total.shape != other.total.shape:
            return self + other
        np.add(self.total, other.total, out=self.total)
        np.add(self.weighted_total, other.weighted_total, out=self.weighted_total)
        np.add(self.moment, other.moment, out=self.moment)
        signal = _sum(self.signal, other.signal)
        return replace(self, n_pixels=self.n_pixels + other.n_pixels, signal=signal)

    def validate(self) -> None:
        """Check shapes and signs.

        Raises
        ------
        InputError
        """
        n_energy = self.total.size
        if self.weighted_total.shape != (n_energy,) or self.moment.shape != (n_energy, n_energy):
            raise InputError("tile statistics: the arrays disagree in the number of channels")
        if self.n_pixels < 0 or np.any(self.total < 0) or not np.all(np.isfinite(self.moment)):
            raise InputError("tile statistics: negative counts or values that are not finite")


def _sum(
    first: NDArray[np.float64] | None, second: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """The sum; the identity, which has no pixels, has no signal either."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


@dataclass(frozen=True)
class StreamedMoment:
    """What `TileStatistics` holds, of a whole map, with its moment known by products only.

    For so many channels that a matrix of them would not fit: each product is a pass over the
    counts and needs the memory of the columns alone.
    """

    n_pixels: int
    """Pixels with at least one count."""
    total: NDArray[np.float64]
    """Shape (n_energy,); sum spectrum in counts."""
    weighted_total: NDArray[np.float64]
    """Shape (n_energy,); sum of y / g."""
    times: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Product of the moment with columns of shape (n_energy, n_columns)."""

    def validate(self) -> None:
        """Check shapes and signs.

        Raises
        ------
        InputError
        """
        if self.weighted_total.shape != self.total.shape:
            raise InputError("streamed moment: the arrays disagree in the number of channels")
        if self.n_pixels < 0 or np.any(self.total < 0):
            raise InputError("streamed moment: negative counts")


@dataclass(frozen=True)
class RegionStatistics:
    """Summed spectra of the regions into which pixels were clustered.

    Sums of counts, hence exact: tiling and order change nothing.
    """

    counts: NDArray[np.float64]
    """Shape (n_regions, n_energy); summed counts."""
    n_pixels: NDArray[np.int64]
    """Shape (n_regions,); pixels that were summed."""

    @classmethod
    def zero(cls, n_regions: int, n_energy: int) -> RegionStatistics:
        """The identity of the merge."""
        return cls(np.zeros((n_regions, n_energy)), np.zeros(n_regions, dtype=np.int64))

    def __add__(self, other: RegionStatistics) -> RegionStatistics:
        if self.counts.shape != other.counts.shape:
            raise InputError(
                f"region sums of shapes {self.counts.shape} and {other.counts.shape} "
                "cannot be merged"
            )
        return RegionStatistics(self.counts + other.counts, self.n_pixels + other.n_pixels)

    def validate(self) -> None:
        """Check shapes and signs.

        Raises
        ------
        InputError
        """
        if self.counts.ndim != 2 or self.n_pixels.shape != (len(self.counts),):
            raise InputError("region sums: counts and pixels disagree in the number of regions")
        if np.any(self.counts < 0) or np.any(self.n_pixels < 0):
            raise InputError("region sums: negative counts")


@dataclass(frozen=True)
class RefinementStatistics:
    """The likelihood of a tile at given weights of the phases, abundances free, to second order."""

    loss: float
    """Negative log-likelihood without log(count!), nats."""
    gradient: NDArray[np.float64]
    """Shape (n_phases, n_columns); derivatives by the weights."""
    hessian: NDArray[np.float64]
    """Shape (n_phases * n_columns, n_phases * n_columns); Schur complement."""
    n_unconverged: int
    """Pixels whose abundances did not converge."""

    @classmethod
    def zero(cls, n_phases: int, n_columns: int) -> RefinementStatistics:
        """The identity of the merge."""
        size = n_phases * n_columns
        return cls(0.0, np.zeros((n_phases, n_columns)), np.zeros((size, size)), 0)

    def __add__(self, other: RefinementStatistics) -> RefinementStatistics:
        if self.gradient.shape != other.gradient.shape:
            raise InputError(
                f"refinement sums of shapes {self.gradient.shape} and {other.gradient.shape} "
                "cannot be merged"
            )
        return RefinementStatistics(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
            self.n_unconverged + other.n_unconverged,
        )
