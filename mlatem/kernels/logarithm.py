# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of logarithms, many at a time: the library's logarithm takes one number after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

_LN_2 = np.log(2.0)
_EXPONENT_BITS = np.int64(52)
_BIAS = np.int64(1023)
#: From the bits of sqrt(1/2), where the mantissa is counted from, to those of 1.
_TO_ONE = np.int64(0x3FF0000000000000) - np.int64(0x3FE6A09E667F3BCD)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
def weighted_logarithms(value, weight):  # type: ignore[no-untyped-def]
    """Sum of weight * log(value).

    Parameters
    ----------
    value : ndarray of shape (at least n,), float64
        Positive, finite and normal; overwritten.
    weight : ndarray of shape (n,)

    Returns
    -------
    total : float
        Each logarithm is right to 1e-12 and rounding.

    Notes
    -----
    With value = 2^e m and m from sqrt(1/2) to sqrt(2), log m = 2 artanh((m - 1) / (m + 1)), whose
    series is summed to the term of order 13.
    """
    bits = value.view(np.int64)
    exponents = 0.0
    for i in range(len(weight)):
        exponent = ((bits[i] + _TO_ONE) >> _EXPONENT_BITS) - _BIAS
        bits[i] -= exponent << _EXPONENT_BITS
        exponents += np.float64(weight[i]) * np.float64(exponent)
    total = 0.0
    for i in range(len(weight)):
        s = (value[i] - 1.0) / (value[i] + 1.0)
        q = s * s
        tail = 1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13)))
        total += np.float64(weight[i]) * (s + s * (q * (1 / 3 + q * (1 / 5 + q * tail))))
    return _LN_2 * exponents + 2.0 * total
