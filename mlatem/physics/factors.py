# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the absolute intensity of a family of lines is known without a standard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem.elements import atomic_number

#: What is left between neighbours of one family, relative: two of them differ by 2 to 3 %.
INDIVIDUAL_SIGMA = 0.02

#: Distance in atomic number over which errors of a family are much the same.
CORRELATION_LENGTH = 10.0


def factor_sigma(element: str, family: str) -> float:
    """Relative standard uncertainty of a computed line intensity.

    Parameters
    ----------
    element : str
    family : {"K", "L", "M"}

    Returns
    -------
    float
        Relative to the K lines of the elements from Ca upwards.

    Notes
    -----
    Mostly the uncertainty of fluorescence yields; from the spread between libraries of atomic data
    and against standards: K from Ca 4 %, Na to K 10 %, lighter 25 %; L 20 % (Sr to Ag 10 %, up to
    Ga 40 %); M 50 %. A standard of the same family brings all of these to 2 to 3 %.
    """
    number = atomic_number(element)
    if family == "K":
        return 0.04 if number >= 20 else 0.10 if number >= 11 else 0.25
    if family == "L":
        return 0.10 if 38 <= number <= 47 else 0.40 if number < 32 else 0.20
    return 0.50


def factor_covariance(families: Sequence[str]) -> NDArray[np.float64]:
    """Covariance of the relative errors of computed intensities.

    Parameters
    ----------
    families : sequence of str
        Element and family, "Fe K".

    Returns
    -------
    covariance : ndarray of shape (n_families, n_families)
        Of the logarithms; the diagonal is `factor_sigma` squared.

    Notes
    -----
    Tables of yields and cross-sections err smoothly with the atomic number, so that neighbours of a
    family err together: with s from `factor_sigma` and i from `INDIVIDUAL_SIGMA`, the covariance
    of two elements in the same family is
    ``sqrt((s_1^2 - i^2) (s_2^2 - i^2)) exp(-(Z_1 - Z_2)^2 / (2 L^2))`` with the length L from
    `CORRELATION_LENGTH`. Errors of different families are independent. A prior set by judgement:
    it makes the ratio of neighbours 3 % uncertain, and that of distant elements as
    `factor_sigma` says.
    """
    element, family = zip(*(name.split() for name in families), strict=True)
    number = np.array([atomic_number(e) for e in element], dtype=np.float64)
    sigma = np.array([factor_sigma(*pair) for pair in zip(element, family, strict=True)])
    shared = np.sqrt(sigma**2 - INDIVIDUAL_SIGMA**2)
    distance = (number[:, None] - number) / CORRELATION_LENGTH
    same = np.array(family)[:, None] == np.array(family)
    covariance: NDArray[np.float64] = same * np.outer(shared, shared) * np.exp(-(distance**2) / 2)
    named = np.array(families)
    covariance += INDIVIDUAL_SIGMA**2 * (named[:, None] == named)
    return covariance
