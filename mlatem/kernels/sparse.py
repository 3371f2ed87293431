# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense blocks of counts to compressed sparse rows, and sums over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: What `scan` found in the counts.
VALID, NOT_FINITE, NEGATIVE, NOT_INTEGER, TOO_LARGE = range(5)

_LIMIT = 2**32


def scan(block: NDArray[Any]) -> tuple[NDArray[np.int64], int, int, int, int]:
    """Count the events of every pixel and check the counts, in one read of the block.

    Parameters
    ----------
    block : ndarray of shape (ny, nx, n_energy)
        Counts of any unsigned, signed or floating type and any strides.

    Returns
    -------
    pointer : ndarray of shape (ny * nx + 1,), int64
        The events of pixel p (row by row) will be `pointer[p]:pointer[p + 1]`.
    largest : int
        Largest count.
    code : int
        `VALID`, or what is wrong with the first value that is not a count: `NOT_FINITE`,
        `NEGATIVE`, `NOT_INTEGER` or `TOO_LARGE` (2^32 and more).
    pixel, channel : int
        Where that value is; 0 where the block is valid.
    """
    if block.dtype.kind == "u" and block.dtype.itemsize <= 4:
        pointer, largest = _scan_unsigned(block)
        return pointer, int(largest), VALID, 0, 0
    pointer, largest, code, pixel, channel = _scan_checked(block)
    return pointer, int(largest), int(code), int(pixel), int(channel)


@njit(cache=True, nogil=True)
def _scan_unsigned(block):  # type: ignore[no-untyped-def]
    ny, nx, n_energy = block.shape
    pointer = np.zeros(ny * nx + 1, dtype=np.int64)
    largest = np.int64(0)
    for y in range(ny):
        for x in range(nx):
            n_events = 0
            top = block.dtype.type(0)
            for channel in range(n_energy):
                value = block[y, x, channel]
                n_events += value != 0
                top = max(top, value)
            pixel = y * nx + x
            pointer[pixel + 1] = pointer[pixel] + n_events
            largest = max(largest, np.int64(top))
    return pointer, largest


@njit(cache=True, nogil=True)
def _scan_checked(block):  # type: ignore[no-untyped-def]
    ny, nx, n_energy = block.shape
    pointer = np.zeros(ny * nx + 1, dtype=np.int64)
    largest = np.int64(0)
    for y in range(ny):
        for x in range(nx):
            pixel = y * nx + x
            n_events = 0
            for channel in range(n_energy):
                value = block[y, x, channel]
                if value != 0:
                    code = _fault(value)
                    if code != VALID:
                        return pointer, largest, code, pixel, channel
                    n_events += 1
                    largest = max(largest, np.int64(value))
            pointer[pixel + 1] = pointer[pixel] + n_events
    return pointer, largest, VALID, 0, 0


@njit(cache=True, nogil=True, inline="always")
def _fault(value):  # type: ignore[no-untyped-def]
    if not np.isfinite(value):
        return NOT_FINITE
    if value < 0:
        return NEGATIVE
    if value >= _LIMIT:
        return TOO_LARGE
    if value != np.floor(value):
        return NOT_INTEGER
    return VALID


@njit(cache=True, nogil=True)
def fill(block, pointer, channel, count):  # type: ignore[no-untyped-def]
    """Write channel and count of every event of a valid block.

    Parameters
    ----------
    block : ndarray of shape (ny, nx, n_energy)
    pointer : ndarray of shape (ny * nx + 1,), int64
        From `scan` of the same block.
    channel : ndarray of shape (n_events,), uint16
        Overwritten.
    count : ndarray of shape (n_events,), unsigned
        Overwritten.
    """
    ny, nx, n_energy = block.shape
    for y in range(ny):
        for x in range(nx):
            event = pointer[y * nx + x]
            for i in range(n_energy):
                value = block[y, x, i]
                if value != 0:
                    channel[event] = i
                    count[event] = value
                    event += 1


@njit(cache=True, nogil=True)
def pixel_totals(pointer, count):  # type: ignore[no-untyped-def]
    """Sum of the counts of every pixel.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    count : ndarray of shape (n_events,), unsigned

    Returns
    -------
    totals : ndarray of shape (n_pixels,), int64
    """
    totals = np.zeros(len(pointer) - 1, dtype=np.int64)
    for pixel in range(len(totals)):
        for event in range(pointer[pixel], pointer[pixel + 1]):
            totals[pixel] += np.int64(count[event])
    return totals


@njit(cache=True, nogil=True)
def sum_spectrum(channel, count, n_energy):  # type: ignore[no-untyped-def]
    """Sum of the counts of every channel.

    Parameters
    ----------
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    n_energy : int

    Returns
    -------
    spectrum : ndarray of shape (n_energy,), int64
    """
    spectrum = np.zeros(n_energy, dtype=np.int64)
    for event in range(len(channel)):
        spectrum[channel[event]] += np.int64(count[event])
    return spectrum


@njit(cache=True, nogil=True)
def without_zeros(pointer, channel, count):  # type: ignore[no-untyped-def]
    """The same spectra with the events of count zero left out.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned

    Returns
    -------
    pointer, channel, count : ndarray
        In the same form.
    """
    n_kept = 0
    for value in count:
        n_kept += value != 0
    new_pointer = np.zeros_like(pointer)
    new_channel = np.empty(n_kept, dtype=channel.dtype)
    new_count = np.empty(n_kept, dtype=count.dtype)
    kept = 0
    for pixel in range(len(pointer) - 1):
        for event in range(pointer[pixel], pointer[pixel + 1]):
            if count[event] != 0:
                new_channel[kept] = channel[event]
                new_count[kept] = count[event]
                kept += 1
        new_pointer[pixel + 1] = kept
    return new_pointer, new_channel, new_count


@njit(cache=True, nogil=True)
def copy_pixels(  # type: ignore[no-untyped-def]
    pointer, channel, count, source, to_pointer, to_channel, to_count, target
):
    """Copy the events of some pixels into other sparse spectra.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    source : ndarray of shape (n_copied,), int64
        Pixels that are copied.
    to_pointer, to_channel, to_count : ndarray
        In the same form; the last two are overwritten.
    target : ndarray of shape (n_copied,), int64
        Pixels that they become; `to_pointer` must leave the room that they need.
    """
    for i in range(len(source)):
        first, place = pointer[source[i]], to_pointer[target[i]]
        for event in range(pointer[source[i] + 1] - first):
            to_channel[place + event] = channel[first + event]
            to_count[place + event] = count[first + event]
