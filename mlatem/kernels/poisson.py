# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson likelihood of sparse spectra: loss, deviance and multiplicative sweeps.

The model of pixel p in channel c is `mu = sum_k abundance[p, k] * spectrum[c, k]`. It is needed
only where there are counts, because elsewhere only its sum over channels enters: the cost is that
of the events, never of the dense cube. Models are in single precision, sums over a pixel's events
too (some thousand at most); whatever is summed over pixels is in double precision.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.dense import FLOOR
from mlatem.kernels.lanes import (
    add_scaled,
    dot,
    four_dots,
    four_numbers,
    lane,
    load,
    padded,
    pattern,
    quotient,
    store,
    store_four,
    times,
    zeros,
)
from mlatem.kernels.logarithm import weighted_logarithms

_FLOOR = np.float32(FLOOR)
_FAST = {"contract", "arcp", "nsz"}
#: Pixels whose contributions to a spectrum are summed in single precision.
_BLOCK = 4096
#: Model values that are held until their logarithms are taken.
_BUFFER = 4096

Pointer = NDArray[np.int64]
Channel = NDArray[np.uint16]
Count = NDArray[np.unsignedinteger]


def longest_pixel(pointer: Pointer) -> int:
    """Most events of a pixel."""
    return int(np.diff(pointer).max(initial=0))


def loss(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    abundance: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Negative log-likelihood of every pixel, without the term log(count!).

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    spectrum : ndarray of shape (n_energy, n_phases), float32
        Expected counts for an abundance of one; channels first, so that an event reads one line
        of memory.
    abundance : ndarray of shape (n_pixels, n_phases)

    Returns
    -------
    loss : ndarray of shape (n_pixels,), float64
        sum_c mu - y log(mu), in nats.
    """
    sums = spectrum.sum(axis=0, dtype=np.float64)
    logarithms = np.empty(len(pointer) - 1)
    _logarithms(
        pointer,
        channel,
        count,
        padded(spectrum),
        padded(abundance),
        pattern(len(sums)),
        longest_pixel(pointer),
        logarithms,
    )
    result: NDArray[np.float64] = abundance @ sums - logarithms
    return result


def deviance(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    abundance: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Poisson deviance of every pixel.

    Parameters
    ----------
    pointer, channel, count, spectrum, abundance : ndarray
        As in `loss`.

    Returns
    -------
    deviance : ndarray of shape (n_pixels,), float64
        2 sum_c (y log(y / mu) - y + mu); 0 for an empty pixel without abundance.
    """
    saturated = np.empty(len(pointer) - 1)
    _saturated(pointer, count, saturated)
    unsaturated = loss(pointer, channel, count, spectrum, abundance)
    return 2.0 * (unsaturated - saturated)


def multiplicative_sweep(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    abundance: NDArray[np.floating],
) -> NDArray[np.float32]:
    """One multiplicative update of the abundances at fixed spectra; the loss never rises.

    Parameters
    ----------
    pointer, channel, count, spectrum, abundance : ndarray
        As in `loss`.

    Returns
    -------
    updated : ndarray of shape (n_pixels, n_phases), float32

    Notes
    -----
    Richardson (1972), Lucy (1974); Lee & Seung (2001), equation 5. An abundance of zero stays
    zero: start above it.
    """
    n_phases = spectrum.shape[1]
    updated = padded(abundance)
    sweep(pointer, channel, count, padded(spectrum), updated, pattern(n_phases))
    return updated[:, :n_phases] * _inverse(spectrum.sum(axis=0, dtype=np.float64))


def sweep_with_loss(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    abundance: NDArray[np.floating],
) -> tuple[NDArray[np.float32], float]:
    """As `multiplicative_sweep`, with the summed loss before it, of the same models.

    Parameters
    ----------
    pointer, channel, count, spectrum, abundance : ndarray
        As in `loss`.

    Returns
    -------
    updated : ndarray of shape (n_pixels, n_phases), float32
    loss : float
        Of all pixels, at the abundances that were given.
    """
    n_phases = spectrum.shape[1]
    updated = padded(abundance)
    sums = spectrum.sum(axis=0, dtype=np.float64)
    expected = float(updated[:, :n_phases].sum(axis=0, dtype=np.float64) @ sums)
    table, longest = padded(spectrum), longest_pixel(pointer)
    logarithms = _sweep_with_loss(
        pointer, channel, count, table, updated, pattern(n_phases), longest
    )
    return updated[:, :n_phases] * _inverse(sums), expected - logarithms


def _inverse(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """One over the sums; 0 for spectra of zero."""
    return np.where(sums > 0, 1.0 / np.where(sums > 0, sums, 1.0), 0.0).astype(np.float32)


def spectrum_gain(
    pointer: Pointer,
    channel: Channel,
    count: Count,
    spectrum: NDArray[np.float32],
    abundance: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Sum over pixels of y / mu times the abundances: what an update of the spectra needs.

    Parameters
    ----------
    pointer, channel, count, spectrum, abundance : ndarray
        As in `loss`.

    Returns
    -------
    gain : ndarray of shape (n_energy, n_phases), float64
        The multiplicative update of free spectra is `spectrum * gain / abundance.sum(axis=0)`; of
        the weights of columns, `weight * (gain.T @ columns.T)`, normalized.
    """
    n_phases = spectrum.shape[1]
    total = np.zeros((len(spectrum), len(pattern(n_phases))))
    _gain(pointer, channel, count, padded(spectrum), padded(abundance), pattern(n_phases), total)
    return total[:, :n_phases]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def sweep(pointer, channel, count, spectrum, abundance, like):  # type: ignore[no-untyped-def]
    """Multiply the abundances of every pixel by the sum over channels of y spectrum / mu.

    Parameters
    ----------
    pointer, channel, count : ndarray
        As in `loss`.
    spectrum : ndarray of shape (n_energy, n_lanes), float32
    abundance : ndarray of shape (n_pixels, n_lanes), float32
        Changed in place.
    like : tuple
        See `mlatem.kernels.lanes.pattern`.
    """
    longest = 0
    for p in range(len(pointer) - 1):
        longest = max(longest, pointer[p + 1] - pointer[p])
    model = np.empty(longest, dtype=np.float32)
    for p in range(len(pointer) - 1):
        first, stop = pointer[p], pointer[p + 1]
        of_pixel = load(like, abundance, p)
        gain = _pixel_gain(channel[first:stop], count[first:stop], spectrum, of_pixel, like, model)
        store(times(of_pixel, gain), abundance, p)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _pixel_gain(channel, count, spectrum, of_pixel, like, model):  # type: ignore[no-untyped-def]
    """Sum over the events of a pixel of y spectrum / mu; fills the model values.

    Four events at a time, so that they share the divisions, which are the slowest part.
    """
    # Two sums, since each addition waits for the one before it.
    gain, other, n_events = zeros(like), zeros(like), len(channel)
    in_fours = n_events - n_events % 4
    for event in range(0, in_fours, 4):
        row_0 = load(like, spectrum, channel[event])
        row_1 = load(like, spectrum, channel[event + 1])
        row_2 = load(like, spectrum, channel[event + 2])
        row_3 = load(like, spectrum, channel[event + 3])
        mu = four_dots(_FLOOR, of_pixel, row_0, row_1, row_2, row_3)
        store_four(mu, model, event)
        ratio = quotient(four_numbers(count, event), mu)
        gain = add_scaled(gain, lane(ratio, 0), row_0)
        other = add_scaled(other, lane(ratio, 1), row_1)
        gain = add_scaled(gain, lane(ratio, 2), row_2)
        other = add_scaled(other, lane(ratio, 3), row_3)
    for event in range(in_fours, n_events):
        row = load(like, spectrum, channel[event])
        model[event] = _FLOOR + dot(of_pixel, row)
        gain = add_scaled(gain, np.float32(count[event]) / model[event], row)
    return add_scaled(gain, np.float32(1.0), other)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _gain(pointer, channel, count, spectrum, abundance, like, total):  # type: ignore[no-untyped-def]
    n_pixels = len(pointer) - 1
    part = np.empty(spectrum.shape, dtype=np.float32)
    for first in range(0, n_pixels, _BLOCK):
        part[:] = 0.0
        for p in range(first, min(first + _BLOCK, n_pixels)):
            of_pixel = load(like, abundance, p)
            begin, stop = pointer[p], pointer[p + 1]
            last = stop - (stop - begin) % 4
            for event in range(begin, last, 4):
                c_0, c_1 = channel[event], channel[event + 1]
                c_2, c_3 = channel[event + 2], channel[event + 3]
                mu = four_dots(
                    _FLOOR,
                    of_pixel,
                    load(like, spectrum, c_0),
                    load(like, spectrum, c_1),
                    load(like, spectrum, c_2),
                    load(like, spectrum, c_3),
                )
                ratio = quotient(four_numbers(count, event), mu)
                store(add_scaled(load(like, part, c_0), lane(ratio, 0), of_pixel), part, c_0)
                store(add_scaled(load(like, part, c_1), lane(ratio, 1), of_pixel), part, c_1)
                store(add_scaled(load(like, part, c_2), lane(ratio, 2), of_pixel), part, c_2)
                store(add_scaled(load(like, part, c_3), lane(ratio, 3), of_pixel), part, c_3)
            for event in range(last, stop):
                c = channel[event]
                value = _FLOOR + dot(of_pixel, load(like, spectrum, c))
                amount = np.float32(count[event]) / value
                store(add_scaled(load(like, part, c), amount, of_pixel), part, c)
        for c in range(total.shape[0]):
            for k in range(total.shape[1]):
                total[c, k] += part[c, k]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _sweep_with_loss(  # type: ignore[no-untyped-def]
    pointer, channel, count, spectrum, abundance, like, longest
):
    """As `sweep`; returns the sum over all events of y log(mu), taken of many pixels at a time."""
    model = np.empty(max(longest, _BUFFER), dtype=np.float32)
    logarithms, begin = 0.0, np.int64(0)
    for p in range(len(pointer) - 1):
        first, stop = pointer[p], pointer[p + 1]
        if stop - begin > len(model):
            logarithms += weighted_logarithms(model, count[begin:first])
            begin = first
        of_pixel = load(like, abundance, p)
        gain = _pixel_gain(
            channel[first:stop],
            count[first:stop],
            spectrum,
            of_pixel,
            like,
            model[first - begin :],
        )
        store(times(of_pixel, gain), abundance, p)
    return logarithms + weighted_logarithms(model, count[begin : pointer[-1]])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _logarithms(  # type: ignore[no-untyped-def]
    pointer, channel, count, spectrum, abundance, like, longest, result
):
    """Sum over the events of every pixel of y log(mu)."""
    model = np.empty(longest, dtype=np.float32)
    for p in range(len(pointer) - 1):
        first, stop = pointer[p], pointer[p + 1]
        models(channel[first:stop], spectrum, load(like, abundance, p), like, model)
        result[p] = weighted_logarithms(model, count[first:stop])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def models(channel, spectrum, of_pixel, like, model):  # type: ignore[no-untyped-def]
    """Fill the model values at the events of one pixel."""
    for event in range(len(channel)):
        model[event] = _FLOOR + dot(of_pixel, load(like, spectrum, channel[event]))


@njit(cache=True, nogil=True, error_model="numpy")
def _saturated(pointer, count, result):  # type: ignore[no-untyped-def]
    """Loss of every pixel whose model is its counts: sum of y - y log(y)."""
    for p in range(len(pointer) - 1):
        value = 0.0
        for event in range(pointer[p], pointer[p + 1]):
            y = np.float64(count[event])
            value += y if y == 1.0 else y - y * np.log(y)
        result[p] = value
