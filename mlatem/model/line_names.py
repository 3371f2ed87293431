# SPDX-License-Identifier: GPL-3.0-or-later
"""What a factor means by "the line": names of lines and families in one notation."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError

#: Members of the groups that vendors measure together, by the transitions in IUPAC notation:
#: a line belongs to a group if its name starts with one of these.
GROUPS = {
    "Ka": ("K-L",),
    "Kb": ("K-M", "K-N", "K-O", "K-P"),
    "La": ("L3-M4", "L3-M5"),
    "Lb": ("L2-M4", "L1-M2", "L1-M3", "L3-N4", "L3-N5", "L3-N1", "L3-O"),
    "Ma": ("M5-N6", "M5-N7"),
    "Mb": ("M4-N6",),
}

#: Single lines that are known by a name of Siegbahn's (R. Jenkins, R. Manne, R. Robin, C. Senemaud,
#: X-Ray Spectrometry 20 (1991) 149, table VIII).
SIEGBAHN = {
    "Ka1": "K-L3",
    "Ka2": "K-L2",
    "Kb1": "K-M3",
    "Kb3": "K-M2",
    "La1": "L3-M5",
    "La2": "L3-M4",
    "Lb1": "L2-M4",
    "Lb3": "L1-M3",
    "Lb4": "L1-M2",
    "Lg1": "L2-N4",
    "Ll": "L3-M1",
    "Ln": "L2-M1",
    "Ma1": "M5-N7",
    "Ma2": "M5-N6",
    "Mb1": "M4-N6",
    "Mz": "M5-N3",
}

_FAMILIES = ("K", "L", "M")
_SHELLS = ("L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")
_IUPAC = re.compile(r"(K|L[1-3]|M[1-5])-[LMNOP][1-7]{0,2}")
_GREEK = str.maketrans("\u03b1\u03b2\u03b3\u03b6\u03b7", "abgzn")


def line_name(text: str, element: str = "") -> str:
    """The canonical name of a line, a group of lines, a sub-shell or a family.

    Parameters
    ----------
    text : str
        For example "K", "Ka", "K-L3", "Ka1", "Fe_Ka", "L3".
    element : str, optional
        Its symbol may stand before the name, as "Fe Ka" or "Fe_Ka".

    Returns
    -------
    name : str
        A family ("K", all its lines), a sub-shell ("L3"), a group of `GROUPS` ("Ka") or a single
        line in IUPAC notation ("K-L3").

    Raises
    ------
    InputError
        If there is no such line.
    """
    name = text.strip().translate(_GREEK)
    for separator in (" ", "_"):
        name = name.removeprefix(element + separator) if element else name
    name = SIEGBAHN.get(name, name)
    if name in (*_FAMILIES, *_SHELLS, *GROUPS) or _IUPAC.fullmatch(name):
        return name
    raise InputError(
        f"unknown line {text!r}: expected a family (K, L, M), a group ({', '.join(GROUPS)}), a "
        "sub-shell (L3) or a single line (K-L3, Ka1)"
    )


def family_of(name: str) -> str:
    """The family, "K", "L" or "M", of a canonical name."""
    return name[0]


def subshell_covariance(
    keys: Sequence[str], sigma: NDArray[np.float64], common: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariance of errors of sub-shells that are the same in part for all of a family.

    Parameters
    ----------
    keys : sequence of str
        Element and sub-shell, "Pt M5".
    sigma : ndarray of shape (n_keys,)
        Standard deviations.
    common : ndarray of shape (n_keys,)
        The part of them that is common to the sub-shells of a family.

    Returns
    -------
    covariance : ndarray of shape (n_keys, n_keys)
    """
    families = np.array([key.rstrip("12345") for key in keys], dtype=str)
    shared = np.where(families[:, None] == families, np.outer(common, common), 0.0)
    return shared + np.diag(sigma**2 - common**2)


def is_member(line: str, name: str) -> bool:
    """Whether a single line in IUPAC notation, "K-L3", belongs to what `name` stands for.

    Parameters
    ----------
    line : str
    name : str
        As from `line_name`.
    """
    if name in GROUPS:
        return line.startswith(GROUPS[name])
    if name in _FAMILIES:
        return line.startswith(name)
    return line == name or line.split("-", maxsplit=1)[0] == name
