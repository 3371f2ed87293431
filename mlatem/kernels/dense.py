# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson likelihood of pixels in most of whose channels there are counts, channel by channel.

The sparse kernels of `mlatem.kernels.poisson` hold the phases of one event in a register; these
hold neighbouring channels of one phase, and look no channel up. Models are made for some hundred
channels at a time and never for more than one pixel. Which form a pixel takes follows from its own
counts alone: neither tiles nor other pixels change it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlatem.kernels.lanes import padded

#: Share of channels with counts above which a pixel is worked on channel by channel. Newton steps
#: then take 1.1 to 1.4 times less time for 2 to 8 phases, and second derivatives 1.4 to 1.9 times
#: where all channels have counts; sweeps and losses are as fast in sparse form.
DENSE_SHARE = 0.6
#: Counts added to every model value, so that an event outside all spectra costs a finite amount.
FLOOR = 1e-12
_FLOOR, _ONE = np.float32(FLOOR), np.float32(1.0)
#: Channels worked on at a time: what they need stays in the fastest cache.
_CHUNK = 512
_FAST = {"reassoc", "contract", "arcp", "nsz"}


def rows_of(by_channel: NDArray[np.floating]) -> NDArray[np.float32]:
    """Spectra with their channels side by side, from (n_energy, n_phases).

    Returns
    -------
    rows : ndarray of shape (n_rows, n_energy), float32
        Zeros follow the phases up to a multiple of four rows.
    """
    return np.ascontiguousarray(padded(by_channel).T)


@njit(cache=True, nogil=True)
def expand(channel, count, row):  # type: ignore[no-untyped-def]
    """The events of a pixel as a spectrum.

    Parameters
    ----------
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    row : ndarray of shape (n_energy,), float32
        Overwritten.
    """
    row[:] = 0.0
    for event in range(len(channel)):
        row[channel[event]] = count[event]


@njit(cache=True, nogil=True)
def expand_pixels(pointer, channel, count, pixels, rows):  # type: ignore[no-untyped-def]
    """The events of some pixels as spectra.

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    pixels : ndarray of shape (n_rows,), int64
    rows : ndarray of shape (n_rows, n_energy), float32
        Overwritten.
    """
    for i in range(len(pixels)):
        first, stop = pointer[pixels[i]], pointer[pixels[i] + 1]
        expand(channel[first:stop], count[first:stop], rows[i])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def models(rows, amount, model):  # type: ignore[no-untyped-def]
    """Fill the model values of one pixel.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_energy), float32
        From `rows_of`.
    amount : ndarray of shape (n_rows,), float32
        Abundances, zeros beyond the phases.
    model : ndarray of shape (n_energy,), float32
        Overwritten.
    """
    for first in range(0, len(model), _CHUNK):
        _chunk_models(rows, amount, first, model[first : first + _CHUNK])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _chunk_models(rows, amount, first, model):  # type: ignore[no-untyped-def]
    n = len(model)
    model[:] = _FLOOR
    for k in range(0, len(rows), 4):
        a, b, c, d = amount[k], amount[k + 1], amount[k + 2], amount[k + 3]
        s, t = rows[k, first : first + n], rows[k + 1, first : first + n]
        u, v = rows[k + 2, first : first + n], rows[k + 3, first : first + n]
        for i in range(n):
            model[i] += a * s[i] + b * t[i] + c * u[i] + d * v[i]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def derivatives(row, rows, amount, model, result, curvature):  # type: ignore[no-untyped-def]
    """Sums over channels of y spectrum / mu and of y spectrum spectrum / mu^2.

    Parameters
    ----------
    row : ndarray of shape (n_energy,), float32
        Counts of the pixel.
    rows, amount, model : ndarray
        As in `models`; the model values are filled.
    result : ndarray of shape (n_phases,), float64
        Overwritten.
    curvature : ndarray of shape (n_phases, n_phases), float64
        Its lower triangle is overwritten.
    """
    ratio, bend = np.empty(_CHUNK, dtype=np.float32), np.empty(_CHUNK, dtype=np.float32)
    scaled = np.empty(_CHUNK, dtype=np.float32)
    result[:] = 0.0
    curvature[:] = 0.0
    for first in range(0, len(row), _CHUNK):
        counts, of_chunk = row[first : first + _CHUNK], model[first : first + _CHUNK]
        _chunk_models(rows, amount, first, of_chunk)
        n = len(counts)
        for i in range(n):
            inverse = _ONE / of_chunk[i]
            ratio[i] = counts[i] * inverse
            bend[i] = ratio[i] * inverse
        for k in range(len(result)):
            spectrum = rows[k, first : first + n]
            result[k] += _dot(ratio[:n], spectrum)
            for i in range(n):
                scaled[i] = bend[i] * spectrum[i]
            for j in range(k + 1):
                curvature[k, j] += _dot(scaled[:n], rows[j, first : first + n])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _dot(first, second):  # type: ignore[no-untyped-def]
    value = np.float32(0.0)
    for i in range(len(first)):
        value += first[i] * second[i]
    return value
