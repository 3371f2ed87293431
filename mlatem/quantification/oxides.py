# SPDX-License-Identifier: GPL-3.0-or-later
"""Oxygen by stoichiometry, and compositions in weight percent of oxides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem.elements import atomic_number
from mlatem.errors import InputError
from mlatem.physics.atomic import atomic_weight

#: Usual valences in oxides (minerals and ceramics); what is not named binds no oxygen.
VALENCES: dict[str, float] = {
    **dict.fromkeys(("H", "Li", "Na", "K", "Rb", "Cs", "Ag"), 1),
    **dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Pb"), 2),
    **dict.fromkeys(("Mn", "Fe", "Co", "Ni", "Cu", "Hg", "Sn"), 2),
    **dict.fromkeys(("B", "Al", "Ga", "In", "Sc", "Y", "Cr", "Bi", "Sb", "As"), 3),
    **dict.fromkeys(("La", "Pr", "Nd", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er"), 3),
    **dict.fromkeys(("Tm", "Yb", "Lu"), 3),
    **dict.fromkeys(("C", "Si", "Ge", "Ti", "Zr", "Hf", "Ce", "Th", "U", "Ru", "Ir"), 4),
    **dict.fromkeys(("N", "P", "V", "Nb", "Ta"), 5),
    **dict.fromkeys(("S", "Mo", "W", "Re"), 6),
}


def valences_of(elements: Sequence[str], given: Mapping[str, float]) -> NDArray[np.float64]:
    """Valence of every element: as given, else the usual one, else 0.

    Parameters
    ----------
    elements : sequence of str
    given : mapping of str to float
        Takes precedence, for example {"Fe": 3}.

    Returns
    -------
    valence : ndarray of shape (n_elements,)
        0 for O itself.

    Raises
    ------
    InputError
        If an element that is given is unknown, or its valence is negative or not finite.
    """
    for element, valence in given.items():
        atomic_number(element)
        if not 0 <= valence < math.inf:
            raise InputError(
                f"valence of {element} is {valence}: expected 0 (binds no oxygen) or more"
            )
    known = {**VALENCES, **given, "O": 0.0}
    return np.array([known.get(element, 0.0) for element in elements], dtype=np.float64)


def with_oxygen(
    elements: Sequence[str], matrix: NDArray[np.float64], given: Mapping[str, float]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The rows of `composition.element_matrix` with oxygen from the cations.

    Parameters
    ----------
    elements : sequence of str
    matrix : ndarray of shape (n_elements, n_columns)
    given : mapping of str to float
        Valences, see `valences_of`.

    Returns
    -------
    elements : tuple of str
        With O at the end if it was not there.
    matrix : ndarray of shape (n_elements, n_columns)
        The row of O is half the valence of every cation times its row; what was measured of O is
        left out.

    Raises
    ------
    InputError
        If no element binds oxygen.
    """
    valence = valences_of(elements, given)
    if not np.any(valence > 0):
        raise InputError(
            f"oxygen by stoichiometry: none of {', '.join(elements)} binds oxygen; give a valence "
            "in quantify.valences, or set quantify.oxygen to measured"
        )
    row = 0.5 * valence @ matrix
    if "O" not in elements:
        return (*elements, "O"), np.vstack([matrix, row])
    new = matrix.copy()
    new[list(elements).index("O")] = row
    return tuple(elements), new


def oxide_name(element: str, valence: float) -> str:
    """Formula of the oxide of an element, "Al2O3"; the element's symbol for valence 0.

    Notes
    -----
    Valences that are no whole numbers give a formula with one cation, "FeO1.33".
    """
    if valence == 0:
        return element
    cations, oxygens = 2.0, valence
    if valence % 2 == 0:
        cations, oxygens = 1.0, valence / 2
    if not float(oxygens).is_integer():
        cations, oxygens = 1.0, valence / 2

    def count(number: float) -> str:
        return "" if number == 1 else f"{number:.3g}"

    return f"{element}{count(cations)}O{count(oxygens)}"


def oxide_weight_percent(
    fractions: NDArray[np.float64], elements: Sequence[str], given: Mapping[str, float]
) -> NDArray[np.float64]:
    """Weight percent of the oxides of the elements.

    Parameters
    ----------
    fractions : ndarray of shape (n_elements,)
        Atomic fractions with oxygen by stoichiometry.
    elements : sequence of str
    given : mapping of str to float
        Valences, see `valences_of`.

    Returns
    -------
    percent : ndarray of shape (n_elements,)
        Adding up to 100; NaN for O, which is shared out among the others.
    """
    valence = valences_of(elements, given)
    weight = np.array([atomic_weight(element) for element in elements])
    weight += 0.5 * valence * atomic_weight("O")
    mass = fractions * weight
    mass[np.array(elements) == "O"] = np.nan
    total = np.nansum(mass)
    return 100 * mass / total if total > 0 else np.full(len(elements), np.nan)
