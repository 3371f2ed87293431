# SPDX-License-Identifier: GPL-3.0-or-later
"""Abundances of every pixel at full resolution, compositions fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.kernels import information, poisson
from mlatem.kernels.newton import newton_abundances
from mlatem.kernels.pooling import sum_by_label
from mlatem.model import SparseCounts

_MAX_STEPS = 100
#: Decrease of a pixel's loss, in nats, that is not worth another step.
_TOLERANCE = 1e-6
_START_SWEEPS = 2
#: The information is evaluated with so many counts of every phase above the most probable ones.
#: Of n counts this is the variance of their mean given a flat prior, n + 1; with none at all, a
#: line without background would make the uncertainty of an absent phase zero.
_COUNTS_MORE = 1.0


@dataclass(frozen=True)
class OtherAbundances:
    """Abundances of the pixels of a tile by the other answer, where two are left open."""

    abundance: NDArray[np.float32]
    """Shape (n_pixels, n_phases); expected counts."""
    deviance: NDArray[np.float32]
    """Shape (n_pixels,); Poisson deviance."""


@dataclass(frozen=True)
class PixelAbundances:
    """Abundances of the pixels of a tile."""

    abundance: NDArray[np.float32]
    """Shape (n_pixels, n_phases); expected counts; 0 in pixels without counts."""
    covariance: NDArray[np.float32]
    """Shape (n_pixels, n_phases, n_phases); of all phases, present or not, compositions fixed.
    NaN in pixels without counts and where the spectra cannot be told apart."""
    deviance: NDArray[np.float32]
    """Shape (n_pixels,); Poisson deviance."""
    converged: NDArray[np.bool_]
    """Shape (n_pixels,)."""
    unbounded: NDArray[np.float32]
    """Shape (n_pixels, n_phases); a scoring step from the abundances without the bound at zero.
    Unlike those, it can be averaged: noise does not raise the mean of a phase that is absent."""
    other: OtherAbundances | None = None
    """By the other answer; None where there is only one."""


@dataclass(frozen=True)
class DominantSums:
    """Counts and abundances summed over the pixels that each phase dominates. Merge: addition."""

    counts: NDArray[np.float64]
    """Shape (n_phases, n_energy); measured counts."""
    abundance: NDArray[np.float64]
    """Shape (n_phases, n_phases); [dominating phase, phase], counts."""

    @classmethod
    def zero(cls, n_phases: int, n_energy: int) -> DominantSums:
        """The identity of the merge."""
        return cls(np.zeros((n_phases, n_energy)), np.zeros((n_phases, n_phases)))

    def __add__(self, other: DominantSums) -> DominantSums:
        if self.counts.shape != other.counts.shape:
            raise InputError(
                f"sums of shapes {self.counts.shape} and {other.counts.shape} cannot be merged"
            )
        return DominantSums(self.counts + other.counts, self.abundance + other.abundance)


def fit_abundances(counts: SparseCounts, spectrum: NDArray[np.float64]) -> PixelAbundances:
    """Abundances of maximum likelihood of every pixel.

    Parameters
    ----------
    counts : SparseCounts
    spectrum : ndarray of shape (n_phases, n_energy)
        Phase spectra that add up to one.

    Raises
    ------
    InputError
        If the numbers of channels differ, or a spectrum is negative, zero or not finite.

    Notes
    -----
    The covariance is the inverse of the expected information on the abundances of *all* phases,
    not only of those that are present, evaluated with one count more of each. So is the scoring
    step to the unbounded abundances: reference + covariance @ gradient of the log-likelihood.
    """
    _check(counts, spectrum)
    abundance, converged = most_likely(counts, spectrum)
    by_channel = np.ascontiguousarray(spectrum.T, dtype=np.float32)
    events = (counts.pointer, counts.channel, counts.count)
    totals = counts.pixel_totals()
    deviance = poisson.deviance(*events, by_channel, abundance)
    filled = totals > 0
    reference = (abundance + _COUNTS_MORE).astype(np.float32)
    covariance = np.full((counts.n_pixels, len(spectrum), len(spectrum)), np.nan, np.float32)
    covariance[filled] = information.covariance(
        information.fisher_information(information.alike_channels(spectrum), reference[filled])
    )
    swept = poisson.multiplicative_sweep(*events, by_channel, reference)
    step = (covariance @ (swept / reference - 1.0)[..., None])[..., 0]
    return PixelAbundances(
        abundance.astype(np.float32),
        covariance,
        np.maximum(deviance, 0.0).astype(np.float32),
        converged,
        np.where(np.isfinite(step), reference + step, abundance).astype(np.float32),
    )


def fit_where_allowed(
    counts: SparseCounts, spectrum: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> PixelAbundances:
    """Abundances of maximum likelihood of the phases that may be in a pixel.

    Parameters
    ----------
    counts : SparseCounts
    spectrum : ndarray of shape (n_phases, n_energy)
        Phase spectra that add up to one.
    allowed : ndarray of shape (n_pixels, n_phases), bool
        At least one phase in each pixel. Others have no abundance there, and no uncertainty.

    Raises
    ------
    InputError
        As `fit_abundances`.
    """
    _check(counts, spectrum)
    n_pixels, n_phases = allowed.shape
    abundance = np.zeros((n_pixels, n_phases), np.float32)
    covariance = np.zeros((n_pixels, n_phases, n_phases), np.float32)
    covariance[counts.pixel_totals() == 0] = np.nan
    deviance, converged = np.zeros(n_pixels, np.float32), np.ones(n_pixels, bool)
    unbounded = np.zeros_like(abundance)
    rows, group = np.unique(allowed, axis=0, return_inverse=True)
    for number, phases in enumerate(rows):
        pixels = np.flatnonzero(group.ravel() == number)
        part = fit_abundances(_some_pixels(counts, pixels), spectrum[phases])
        here = np.flatnonzero(phases)
        abundance[np.ix_(pixels, here)] = part.abundance
        unbounded[np.ix_(pixels, here)] = part.unbounded
        covariance[np.ix_(pixels, here, here)] = part.covariance
        deviance[pixels], converged[pixels] = part.deviance, part.converged
    return PixelAbundances(abundance, covariance, deviance, converged, unbounded)


def fit_other(
    counts: SparseCounts,
    spectrum: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None = None,
) -> OtherAbundances:
    """Abundances of maximum likelihood by the other answer, to be seen beside the first.

    Parameters
    ----------
    counts : SparseCounts
    spectrum : ndarray of shape (n_phases, n_energy)
        Phase spectra of the other answer that add up to one.
    allowed : ndarray of shape (n_pixels, n_phases), bool, optional
        Phases that may be in a pixel.

    Raises
    ------
    InputError
        As `fit_abundances`.
    """
    if allowed is not None:
        found = fit_where_allowed(counts, spectrum, allowed)
        return OtherAbundances(found.abundance, found.deviance)
    _check(counts, spectrum)
    abundance, _ = most_likely(counts, spectrum)
    by_channel = np.ascontiguousarray(spectrum.T, dtype=np.float32)
    events = (counts.pointer, counts.channel, counts.count)
    deviance = poisson.deviance(*events, by_channel, abundance)
    return OtherAbundances(
        abundance.astype(np.float32), np.maximum(deviance, 0.0).astype(np.float32)
    )


def _some_pixels(counts: SparseCounts, pixels: NDArray[np.int64]) -> SparseCounts:
    """The counts of some pixels."""
    kept = np.zeros(counts.n_pixels, dtype=bool)
    kept[pixels] = True
    lengths = np.diff(counts.pointer)
    events = np.repeat(kept, lengths)
    pointer = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(counts.pointer.dtype)
    return replace(
        counts,
        pointer=pointer,
        channel=counts.channel[events],
        count=counts.count[events],
        pixel=counts.pixel[kept],
    )


def most_likely(
    counts: SparseCounts, spectrum: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Abundances alone of maximum likelihood, and in which pixels they converged.

    Parameters
    ----------
    counts : SparseCounts
    spectrum : ndarray of shape (n_phases, n_energy)

    Returns
    -------
    abundance : ndarray of shape (n_pixels, n_phases)
    converged : ndarray of shape (n_pixels,), bool
    """
    by_channel = np.ascontiguousarray(spectrum.T, dtype=np.float32)
    totals = counts.pixel_totals()
    start = np.repeat(totals[:, None] / len(spectrum), len(spectrum), axis=1).astype(np.float32)
    events = (counts.pointer, counts.channel, counts.count)
    for _ in range(_START_SWEEPS):
        start = poisson.multiplicative_sweep(*events, by_channel, start)
    return newton_abundances(*events, by_channel, start, _MAX_STEPS, _TOLERANCE)


def dominant(counts: SparseCounts, abundance: NDArray[np.float32]) -> DominantSums:
    """Measured counts and abundances summed over the pixels that each phase dominates.

    Parameters
    ----------
    counts : SparseCounts
    abundance : ndarray of shape (n_pixels, n_phases)
        A pixel belongs to its most abundant phase; empty pixels to none.
    """
    n_phases = abundance.shape[1]
    label = np.where(abundance.sum(axis=1) > 0, abundance.argmax(axis=1), -1)
    summed, _ = sum_by_label(
        counts.pointer, counts.channel, counts.count, label, n_phases, counts.n_energy
    )
    by_phase = np.zeros((n_phases, n_phases))
    for phase in range(n_phases):
        by_phase[phase] = abundance[label == phase].sum(axis=0, dtype=np.float64)
    return DominantSums(summed.astype(np.float64), by_phase)


def _check(counts: SparseCounts, spectrum: NDArray[np.float64]) -> None:
    if spectrum.ndim != 2 or spectrum.shape[1] != counts.n_energy:
        raise InputError(
            f"phase spectra have shape {spectrum.shape}, expected (n_phases, {counts.n_energy}): "
            "use the window on which the compositions were solved"
        )
    if not np.all(np.isfinite(spectrum)) or np.any(spectrum < 0):
        raise InputError("phase spectra must be finite and not negative")
    if np.any(spectrum.sum(axis=1) <= 0):
        raise InputError("a phase spectrum is zero: ask for fewer phases")
