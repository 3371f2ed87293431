# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the absolute intensity of a family of lines is known without a standard."""

from __future__ import annotations

from mlatem.elements import atomic_number


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
