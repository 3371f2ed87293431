# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the chemical elements."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlatem.errors import InputError

_ROWS = (
    "H He",
    "Li Be B C N O F Ne",
    "Na Mg Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
    "Fr Ra Ac Th Pa U Np Pu",
)

#: Chemical symbols in the order of the atomic number, from H to Pu.
SYMBOLS = tuple(symbol for row in _ROWS for symbol in row.split())

_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


def atomic_number(symbol: str) -> int:
    """Atomic number of an element.

    Parameters
    ----------
    symbol : str
        Chemical symbol, for example "Fe".

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the symbol is not an element up to Pu.
    """
    try:
        return _NUMBER[symbol]
    except KeyError:
        raise InputError(
            f"unknown element {symbol!r}: expected a chemical symbol such as Fe or O "
            "(first letter large, second small)"
        ) from None


def check_symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    """The symbols as a tuple, each a known element and named once.

    Raises
    ------
    InputError
        If a symbol is unknown or appears twice, or they are one text.
    """
    if isinstance(symbols, str):
        raise InputError(f"elements are the text {symbols!r}: give a list, such as ['O', 'Fe']")
    checked = tuple(symbols)
    for symbol in checked:
        atomic_number(symbol)
    twice = sorted({s for s in checked if checked.count(s) > 1})
    if twice:
        raise InputError(f"element {', '.join(twice)} is listed twice: name each element once")
    return checked


def parse_formula(formula: str) -> dict[str, float]:
    """Atoms of a formula without brackets, "Si3N4" or "C22H10N2O5".

    Raises
    ------
    InputError
        If it is not a row of symbols and numbers, or an element is unknown.
    """
    if not re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*)+", formula):
        raise InputError("not a formula of symbols and numbers")
    atoms: dict[str, float] = {}
    for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula):
        atomic_number(symbol)
        if number == ".":
            raise InputError("not a formula of symbols and numbers")
        atoms[symbol] = atoms.get(symbol, 0.0) + (float(number) if number else 1.0)
    if not sum(atoms.values()) > 0:
        raise InputError("it has no atoms")
    return atoms
