# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights and densities of the elements."""

from __future__ import annotations

import math
from collections.abc import Mapping

import xraylib

from mlatem.elements import atomic_number
from mlatem.errors import InputError

#: Molar volumes (cm3/mol) of anions in crystals: typical of oxides, nitrides and halides.
_ANION_CM3_MOL = {"N": 10.0, "O": 10.0, "F": 11.0, "Cl": 20.0, "Br": 25.0}

#: Hydrogen takes little room in solids (water ice: 18 cm3/mol with one O).
_HYDROGEN_CM3_MOL = 4.0

#: Share of its metallic volume that an atom keeps as a cation.
_CATION_SHARE = 0.2


def atomic_weight(element: str) -> float:
    """Standard atomic weight, g/mol.

    Raises
    ------
    InputError
        If the element is unknown.
    """
    return float(xraylib.AtomicWeight(atomic_number(element)))


def density_g_cm3(composition: Mapping[str, float]) -> float:
    """Density of a material, estimated from its composition.

    Parameters
    ----------
    composition : mapping of str to float
        Atomic fractions (any scale).

    Returns
    -------
    float
        In g/cm3. An estimate for want of a measured value: within 30 % for common oxides, nitrides,
        halides and alloys.

    Raises
    ------
    InputError
        If the composition is empty, all zero, negative or not finite.

    Notes
    -----
    Additive volumes: mass over the sum of atomic volumes. Volumes are those of the elements
    (densities of xraylib) and, for N, O, F, Cl and Br, of the anions in crystals. Each anion turns
    one other atom into a cation, which keeps a fifth of its volume.
    """
    _check(composition)
    mass = sum(x * atomic_weight(element) for element, x in composition.items())
    anions = {e: x for e, x in composition.items() if e in _ANION_CM3_MOL}
    others = {e: x for e, x in composition.items() if e not in _ANION_CM3_MOL}
    volume = sum(x * _ANION_CM3_MOL[e] for e, x in anions.items())
    if sum(others.values()) > 0:
        ionized = min(1.0, sum(anions.values()) / sum(others.values()))
        kept = 1.0 - ionized * (1.0 - _CATION_SHARE)
        volume += kept * sum(x * _elemental_volume_cm3_mol(e) for e, x in others.items())
    return mass / volume


def _elemental_volume_cm3_mol(element: str) -> float:
    if element == "H":
        return _HYDROGEN_CM3_MOL
    return atomic_weight(element) / float(xraylib.ElementDensity(atomic_number(element)))


def weight_fractions(composition: Mapping[str, float]) -> dict[str, float]:
    """Weight fractions from atomic fractions.

    Parameters
    ----------
    composition : mapping of str to float
        Atomic fractions (any scale).

    Returns
    -------
    dict
        Adding up to one, in the same order.

    Raises
    ------
    InputError
        If the composition is empty, all zero, negative or not finite.
    """
    _check(composition)
    mass = {element: x * atomic_weight(element) for element, x in composition.items()}
    total = sum(mass.values())
    return {element: m / total for element, m in mass.items()}


def atomic_fractions(weights: Mapping[str, float]) -> dict[str, float]:
    """Atomic fractions from weight fractions; the inverse of `weight_fractions`.

    Raises
    ------
    InputError
        If the composition is empty, all zero, negative or not finite.
    """
    _check(weights)
    amount = {element: w / atomic_weight(element) for element, w in weights.items()}
    total = sum(amount.values())
    return {element: n / total for element, n in amount.items()}


def _check(composition: Mapping[str, float]) -> None:
    for element, fraction in composition.items():
        if not 0 <= fraction < math.inf:
            raise InputError(
                f"composition has {fraction} for {element}: fractions must be finite and not "
                "negative"
            )
    if not sum(composition.values()) > 0:
        raise InputError("composition is empty: name at least one element with a fraction above 0")
