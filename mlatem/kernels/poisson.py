# SPDX-License-Identifier: GPL-3.0-or-later
"""Poisson likelihood of sparse spectra: loss, deviance and multiplicative sweep of abundances.

The model of pixel p in channel c is `mu = sum_k abundance[p, k] * spectrum[c, k]`. It is needed
only where there are counts, because elsewhere only its sum over channels enters: the cost is that
of the events, never of the dense cube.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Counts added to every model value, so that an event outside all spectra costs a finite amount.
FLOOR = 1e-12


@njit(cache=True, nogil=True, inline="always")
def model_value(abundance, spectrum, channel):  # type: ignore[no-untyped-def]
    """Expected counts of one pixel in one channel."""
    value = FLOOR
    for k in range(len(abundance)):
        value += abundance[k] * spectrum[channel, k]
    return value


@njit(cache=True, nogil=True)
def spectrum_sums(spectrum):  # type: ignore[no-untyped-def]
    """Sum over channels of every phase spectrum.

    Parameters
    ----------
    spectrum : ndarray of shape (n_energy, n_phases), float32

    Returns
    -------
    sums : ndarray of shape (n_phases,), float64
    """
    sums = np.zeros(spectrum.shape[1])
    for channel in range(spectrum.shape[0]):
        for k in range(spectrum.shape[1]):
            sums[k] += spectrum[channel, k]
    return sums


@njit(cache=True, nogil=True)
def loss(pointer, channel, count, spectrum, abundance):  # type: ignore[no-untyped-def]
    """Negative log-likelihood of every pixel, without the term log(count!).

    Parameters
    ----------
    pointer : ndarray of shape (n_pixels + 1,), int64
    channel : ndarray of shape (n_events,), uint16
    count : ndarray of shape (n_events,), unsigned
    spectrum : ndarray of shape (n_energy, n_phases), float32
        Expected counts for an abundance of one; channels first, so that an event reads one line
        of memory.
    abundance : ndarray of shape (n_pixels, n_phases), float64

    Returns
    -------
    loss : ndarray of shape (n_pixels,), float64
        sum_c mu - y log(mu), in nats.
    """
    sums = spectrum_sums(spectrum)
    result = np.empty(len(abundance))
    for p in range(len(abundance)):
        value = 0.0
        for k in range(len(sums)):
            value += abundance[p, k] * sums[k]
        for event in range(pointer[p], pointer[p + 1]):
            mu = model_value(abundance[p], spectrum, channel[event])
            value -= count[event] * np.log(mu)
        result[p] = value
    return result


@njit(cache=True, nogil=True)
def deviance(pointer, channel, count, spectrum, abundance):  # type: ignore[no-untyped-def]
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
    sums = spectrum_sums(spectrum)
    result = np.empty(len(abundance))
    for p in range(len(abundance)):
        value = 0.0
        for k in range(len(sums)):
            value += abundance[p, k] * sums[k]
        for event in range(pointer[p], pointer[p + 1]):
            y = np.float64(count[event])
            mu = model_value(abundance[p], spectrum, channel[event])
            value += y * np.log(y / mu) - y
        result[p] = 2.0 * value
    return result


@njit(cache=True, nogil=True)
def multiplicative_sweep(pointer, channel, count, spectrum, abundance):  # type: ignore[no-untyped-def]
    """One multiplicative update of the abundances at fixed spectra; the loss never rises.

    Parameters
    ----------
    pointer, channel, count, spectrum, abundance : ndarray
        As in `loss`.

    Returns
    -------
    updated : ndarray of shape (n_pixels, n_phases), float64

    Notes
    -----
    Richardson (1972), Lucy (1974); Lee & Seung (2001), equation 5. An abundance of zero stays
    zero: start above it.
    """
    n_phases = spectrum.shape[1]
    sums = spectrum_sums(spectrum)
    updated = np.empty((len(abundance), n_phases))
    gain = np.empty(n_phases)
    for p in range(len(abundance)):
        gain[:] = 0.0
        for event in range(pointer[p], pointer[p + 1]):
            c = channel[event]
            ratio = count[event] / model_value(abundance[p], spectrum, c)
            for k in range(n_phases):
                gain[k] += ratio * spectrum[c, k]
        for k in range(n_phases):
            updated[p, k] = abundance[p, k] * gain[k] / sums[k] if sums[k] > 0 else 0.0
    return updated
