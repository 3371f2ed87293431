# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of logarithms, many at a time: the library's logarithm takes one number after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

_LN_2 = np.log(2.0)
_EXPONENT_BITS, _BIAS = np.int32(23), np.int32(127)
#: From the bits of sqrt(1/2), where the mantissa is counted from, to those of 1.
_TO_ONE = np.int32(0x3F800000 - 0x3F3504F3)
_ONE = np.float32(1.0)
#: Of the series of artanh(s) / s in s^2, from the second term on.
_THIRD, _FIFTH, _SEVENTH, _NINTH = (np.float32(1.0 / n) for n in (3, 5, 7, 9))
#: Values whose logarithms are summed in single precision.
_BLOCK = 256


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
def weighted_logarithms(value, weight):  # type: ignore[no-untyped-def]
    """Sum of weight * log(value).

    Parameters
    ----------
    value : ndarray of shape (at least n,), float32
        Positive, finite and normal; overwritten.
    weight : ndarray of shape (n,)

    Returns
    -------
    total : float
        Of logarithms in single precision, summed by blocks in double precision.

    Notes
    -----
    With value = 2^e m and m from sqrt(1/2) to sqrt(2), log m = 2 artanh((m - 1) / (m + 1)), whose
    series is summed to the term of order 9.
    """
    bits = value.view(np.int32)
    total = 0.0
    for first in range(0, len(weight), _BLOCK):
        stop = first + _BLOCK
        total += _block(value[first:stop], bits[first:stop], weight[first:stop])
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
def _block(value, bits, weight):  # type: ignore[no-untyped-def]
    exponents, mantissas = np.float32(0.0), np.float32(0.0)
    for i in range(len(weight)):
        exponent = ((bits[i] + _TO_ONE) >> _EXPONENT_BITS) - _BIAS
        bits[i] -= exponent << _EXPONENT_BITS
        exponents += np.float32(weight[i]) * np.float32(exponent)
    for i in range(len(weight)):
        s = (value[i] - _ONE) / (value[i] + _ONE)
        q = s * s
        series = q * (_THIRD + q * (_FIFTH + q * (_SEVENTH + q * _NINTH)))
        mantissas += np.float32(weight[i]) * (s + s * series)
    return _LN_2 * np.float64(exponents) + 2.0 * np.float64(mantissas)
