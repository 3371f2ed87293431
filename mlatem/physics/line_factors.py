# SPDX-License-Identifier: GPL-3.0-or-later
"""Corrections of tabulated line intensities, by family or sub-shell of an element."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.physics.lines import Lines


def subshells(lines: Lines) -> tuple[str, ...]:
    """The shell of the vacancy that each line fills: "K", "L3", "M5"."""
    return _subshells(lines.names)


@lru_cache(maxsize=512)
def _subshells(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.split("-")[0] for name in names)


def line_factors_of(lines: Lines, line_factors: Mapping[str, float]) -> NDArray[np.float64]:
    """Factor on each line of an element.

    Parameters
    ----------
    lines : Lines
    line_factors : mapping of str to float
        By element and sub-shell ("Pt M5") or element and family ("Pt M"). The sub-shell takes
        precedence; lines of which neither is named have the factor one.

    Returns
    -------
    ndarray of shape (n_lines,)
    """
    return np.array(
        [
            line_factors.get(
                f"{lines.element} {shell}", line_factors.get(f"{lines.element} {family}", 1.0)
            )
            for shell, family in zip(subshells(lines), lines.families, strict=True)
        ],
        dtype=np.float64,
    )


def check_line_factors(line_factors: Mapping[str, float], lines: Iterable[Lines]) -> None:
    """Check the names and values of line factors.

    Parameters
    ----------
    line_factors : mapping of str to float
    lines : iterable of Lines
        Of all elements of the dictionary.

    Raises
    ------
    InputError
        If a name stands for no line of these elements, or a value is negative or not finite.
    """
    known = {
        f"{of_element.element} {group}": None
        for of_element in lines
        for group in (*of_element.families, *subshells(of_element))
    }
    for name, factor in line_factors.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"line factor {name!r} stands for no line of the dictionary: {hint}"
                f"known: {', '.join(known)}"
            )
        if not 0 <= factor < math.inf:
            raise InputError(
                f"line factor of {name} is {factor}: expected a finite number that is not "
                "negative, 1 for the tabulated intensity"
            )
