# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse counts: the form in which spectra are computed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.errors import InputError
from mlatem.kernels import sparse
from mlatem.kernels.thinning import kept_counts

_FAULTS = {
    sparse.NOT_FINITE: ("NaN or infinite", "replace missing pixels by zeros and mask them"),
    sparse.NEGATIVE: ("negative", "give raw counts, before any background is subtracted"),
    sparse.NOT_INTEGER: ("not a whole number", "give raw counts, neither scaled nor smoothed"),
    sparse.TOO_LARGE: ("2^32 or more", "check that the file was read with the right data type"),
}
_MAX_CHANNELS = np.iinfo(np.uint16).max + 1
_SEED_BITS = 64


@dataclass(frozen=True)
class SparseCounts:
    """Spectra of `n_pixels` pixels in compressed sparse row form; only channels with counts."""

    pointer: NDArray[np.int64]
    """Shape (n_pixels + 1,); the events of pixel p are `pointer[p]:pointer[p + 1]`."""
    channel: NDArray[np.uint16]
    """Shape (n_events,); increasing within a pixel."""
    count: NDArray[np.unsignedinteger]
    """Shape (n_events,); at least 1."""
    n_energy: int
    pixel: NDArray[np.int64]
    """Shape (n_pixels,); index of each pixel in the whole map (row times width plus column)."""

    @classmethod
    def from_dense(
        cls, block: ArrayLike, pixel: ArrayLike, *, label: str = "counts"
    ) -> SparseCounts:
        """The sparse form of a dense block, which is read twice and never copied.

        Parameters
        ----------
        block : array-like of shape (ny, nx, n_energy) or (n_pixels, n_energy)
            Counts: whole numbers, not negative, below 2^32, of any type; views are welcome.
        pixel : array-like of shape (n_pixels,)
            Index of each pixel in the whole map, for example `Tile.pixel_index(width)`.
        label : str, optional
            What the counts are, for the messages.

        Raises
        ------
        InputError
            If the shapes disagree, or a value is NaN, infinite, negative or not whole; the message
            names the first such pixel and channel.
        """
        values = _as_grid(np.asarray(block), label)
        n_energy = values.shape[2]
        index = np.ascontiguousarray(pixel, dtype=np.int64).ravel()
        if index.size != values.shape[0] * values.shape[1]:
            raise InputError(
                f"{label}: {index.size} pixel indices for {values.shape[0] * values.shape[1]} "
                "spectra; expected one each"
            )
        pointer, largest, code, bad_pixel, bad_channel = sparse.scan(values)
        if code != sparse.VALID:
            row, column = divmod(bad_pixel, values.shape[1])
            fault, mend = _FAULTS[code]
            raise InputError(
                f"{label}: value {values[row, column, bad_channel]} at pixel {index[bad_pixel]}, "
                f"channel {bad_channel} is {fault}: {mend}"
            )
        channel = np.empty(pointer[-1], dtype=np.uint16)
        count = np.empty(pointer[-1], dtype=np.min_scalar_type(largest))
        sparse.fill(values, pointer, channel, count)
        return cls(pointer, channel, count, n_energy, index)

    def to_dense(self) -> NDArray[np.unsignedinteger]:
        """Dense counts of shape (n_pixels, n_energy), of the type of `count`."""
        dense = np.zeros((self.n_pixels, self.n_energy), dtype=self.count.dtype)
        rows = np.repeat(np.arange(self.n_pixels), np.diff(self.pointer))
        dense[rows, self.channel] = self.count
        return dense

    def pixel_totals(self) -> NDArray[np.int64]:
        """Counts of every pixel, shape (n_pixels,)."""
        totals: NDArray[np.int64] = sparse.pixel_totals(self.pointer, self.count)
        return totals

    def sum_spectrum(self) -> NDArray[np.int64]:
        """Counts of every channel, shape (n_energy,)."""
        spectrum: NDArray[np.int64] = sparse.sum_spectrum(self.channel, self.count, self.n_energy)
        return spectrum

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return len(self.pointer) - 1

    @property
    def n_events(self) -> int:
        """Number of pairs of pixel and channel with at least one count."""
        return len(self.channel)

    @property
    def n_bytes(self) -> int:
        """Memory of the arrays."""
        return self.pointer.nbytes + self.channel.nbytes + self.count.nbytes + self.pixel.nbytes

    def validate(self) -> None:
        """Check shapes and invariants.

        Raises
        ------
        InputError
        """
        if self.n_energy > _MAX_CHANNELS:
            raise InputError(
                f"{self.n_energy} channels: expected at most 65536; bin the energy axis"
            )
        if self.pointer[0] != 0 or self.pointer[-1] != self.n_events:
            raise InputError("sparse counts: the pointer does not span the events")
        if np.any(np.diff(self.pointer) < 0):
            raise InputError("sparse counts: the pointer decreases")
        if self.count.shape != self.channel.shape or self.pixel.shape != (self.n_pixels,):
            raise InputError("sparse counts: the arrays disagree in length")
        if self.n_events and int(self.channel.max()) >= self.n_energy:
            raise InputError("sparse counts: a channel lies outside the energy axis")
        if np.any(self.count < 1):
            raise InputError(
                "sparse counts: an event has no counts; keep channels with counts only"
            )
        self._check_order()

    def _check_order(self) -> None:
        pixel_of_event = np.repeat(np.arange(self.n_pixels), np.diff(self.pointer))
        same_pixel = np.diff(pixel_of_event) == 0
        if np.any(same_pixel & (np.diff(self.channel.astype(np.int64)) <= 0)):
            raise InputError("sparse counts: the channels of a pixel do not increase")


def thin(
    counts: SparseCounts, seed: int, fraction: float = 0.5
) -> tuple[SparseCounts, SparseCounts]:
    """Split the photons at random into two independent parts that add up to the input.

    Parameters
    ----------
    counts : SparseCounts
    seed : int
        Not negative. The same seed, pixel and channel give the same split whatever the tiling.
    fraction : float, optional
        Probability that a photon goes into the first part; between 0 and 1.

    Returns
    -------
    first, second : SparseCounts
        Independent Poisson counts with `fraction` and `1 - fraction` of the expectation, if the
        input is Poisson.

    Raises
    ------
    InputError
        If `fraction` does not lie between 0 and 1, or the seed is negative.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"thinning fraction is {fraction}: expected a number between 0 and 1")
    if not 0 <= seed < 2**_SEED_BITS:
        raise InputError(f"seed is {seed}: expected a whole number from 0 to 2^{_SEED_BITS} - 1")
    first, second = split_counts(counts, seed, fraction)
    return with_counts(counts, first), with_counts(counts, second)


def split_counts(
    counts: SparseCounts, seed: int, fraction: float = 0.5
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """The counts of both parts of `thin` at every event of the input, zeros included.

    Returns
    -------
    first, second : ndarray of shape (n_events,)
        They add up to `counts.count`.
    """
    threshold = np.uint64(fraction * 2.0**_SEED_BITS)
    kept = kept_counts(
        counts.pointer, counts.channel, counts.count, counts.pixel, np.uint64(seed), threshold
    )
    return kept, counts.count - kept


def with_counts(counts: SparseCounts, count: NDArray[np.unsignedinteger]) -> SparseCounts:
    """The same pixels with other counts; events of no count are left out."""
    pointer, channel, kept = sparse.without_zeros(counts.pointer, counts.channel, count)
    return SparseCounts(pointer, channel, kept, counts.n_energy, counts.pixel)


def _as_grid(values: NDArray[Any], label: str) -> NDArray[Any]:
    """The block as (ny, nx, n_energy), of a type that the kernels know."""
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3:
        raise InputError(
            f"{label}: {values.ndim} dimensions, expected (y, x, energy) or (pixel, energy)"
        )
    if values.shape[2] > _MAX_CHANNELS:
        raise InputError(
            f"{label}: {values.shape[2]} channels, expected at most {_MAX_CHANNELS}; "
            "bin the energy axis"
        )
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype.kind not in "uif":
        raise InputError(f"{label}: type {values.dtype}, expected whole numbers (raw counts)")
    if not values.dtype.isnative:
        return values.astype(values.dtype.newbyteorder("="))
    return values
