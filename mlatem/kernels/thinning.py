# SPDX-License-Identifier: GPL-3.0-or-later
"""Binomial thinning of counts by a counter-based generator.

Every photon has its own random number, a hash of seed, pixel, channel and its place among the
photons of that voxel; very many of a voxel are drawn together. Order, tiling and threads therefore
change nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE = np.uint64(1)
_BITS = 64
#: More photons than this in one voxel are not drawn one by one: binomial numbers are then normal
#: but for a skewness and a rounding of less than a hundredth of their standard deviation.
_MANY = 1 << 14
_UNIT = 2.0**-64


@njit(cache=True, nogil=True, inline="always")
def _mix(word):  # type: ignore[no-untyped-def]
    """Finalizer of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, figure 16)."""
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@njit(cache=True, nogil=True, inline="always")
def _ones(word):  # type: ignore[no-untyped-def]
    """Number of bits that are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True, inline="always")
def _half_of(stream, n_photons):  # type: ignore[no-untyped-def]
    """Photons kept with probability one half: one bit each, 64 bits a word."""
    kept = np.uint64(0)
    n_words = (n_photons + _BITS - 1) // _BITS
    for i in range(n_words):
        word = _mix(stream + np.uint64(i + 1) * _GAMMA)
        rest = n_photons - i * _BITS
        if rest < _BITS:
            word &= (_ONE << np.uint64(rest)) - _ONE
        kept += _ones(word)
    return kept


@njit(cache=True, nogil=True, inline="always")
def _part_of(stream, n_photons, threshold):  # type: ignore[no-untyped-def]
    """Photons whose random number lies below the threshold: one word each."""
    kept = np.uint64(0)
    for i in range(n_photons):
        if _mix(stream + np.uint64(i + 1) * _GAMMA) < threshold:
            kept += _ONE
    return kept


@njit(cache=True, nogil=True, inline="always")
def _many_of(stream, n_photons, probability):  # type: ignore[no-untyped-def]
    """A binomial number of many photons, by the normal distribution (Box & Muller 1958)."""
    first = (np.float64(_mix(stream + _GAMMA)) + 0.5) * _UNIT
    second = np.float64(_mix(stream + np.uint64(2) * _GAMMA)) * _UNIT
    normal = np.sqrt(-2.0 * np.log(min(first, 1.0))) * np.cos(2.0 * np.pi * second)
    mean = n_photons * probability
    drawn = np.rint(mean + np.sqrt(mean * (1.0 - probability)) * normal)
    return np.uint64(min(max(drawn, 0.0), np.float64(n_photons)))


@njit(cache=True, nogil=True)
def kept_counts(pointer, channel, count, pixel, seed, threshold):  # type: ignore[no-untyped-def]
    """Counts that go into the first part when every photon is drawn by itself.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    pixel : ndarray of shape (n_pixels,), int64
        Index of each pixel in the whole map.
    seed : uint64
    threshold : uint64
        2^64 times the probability that a photon is kept.

    Returns
    -------
    kept : ndarray of shape (n_events,)
        Of the type of `count`; binomially distributed, independent between events.

    Notes
    -----
    The thinned parts of a Poisson variable are independent Poisson variables.
    """
    half = threshold == np.uint64(1) << np.uint64(63)
    probability = np.float64(threshold) * _UNIT
    kept = np.empty_like(count)
    start = _mix(seed + _GAMMA)
    for p in range(len(pointer) - 1):
        # Mixed twice, so that neighbouring pixels and seeds have unrelated streams.
        key = _mix(_mix(start ^ np.uint64(pixel[p])) + _GAMMA)
        for event in range(pointer[p], pointer[p + 1]):
            stream = key + (np.uint64(channel[event]) << _S32) * _GAMMA
            n_photons = np.int64(count[event])
            if n_photons > _MANY:
                kept[event] = _many_of(stream, n_photons, probability)
            elif half:
                kept[event] = _half_of(stream, n_photons)
            else:
                kept[event] = _part_of(stream, n_photons, threshold)
    return kept
