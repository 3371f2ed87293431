# SPDX-License-Identifier: GPL-3.0-or-later
"""What to mind about an element that was found: parts that hold it, strong neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from mlatem.elements import atomic_number

#: Materials of which parts of microscopes, holders and preparations are made.
_PARTS = {
    "Cu": "grids and holders",
    "Ni": "grids",
    "Mo": "grids and apertures",
    "Au": "grids and coatings",
    "Zr": "collimators",
    "Fe": "the pole piece",
    "Co": "the pole piece",
    "Cr": "the pole piece and holders",
    "Ga": "ion milling",
    "Pt": "protective layers",
    "Ta": "collimators",
    "Si": "detectors, windows and supporting films",
    "Al": "holders",
}
#: An element below this share of the lines' counts that parts of the instrument are made of gets
#: a hint.
_HINT_SHARE = 0.1
#: Lines of elements as near as this in the periodic table overlap, in every family. An element that
#: explains less than this part of what the other explains may be an error of the other's lines: it
#: goes with the square of the counts, so a tenth of them.
_NEAR, _EXPLAINED = 2, 0.01


def part_hint(element: str, share: float) -> str:
    """A word of caution about a weak element that instruments and preparations hold; else empty.

    Parameters
    ----------
    element : str
    share : float
        Of the counts of all lines.
    """
    if element not in _PARTS or share >= _HINT_SHARE:
        return ""
    return f"{_PARTS[element]} can hold it: name it in system_elements if it is not in the specimen"


def neighbour_hint(element: str, ratios: Mapping[str, float]) -> str:
    """A word of caution about an element beside a much surer neighbour; else empty.

    Parameters
    ----------
    element : str
    ratios : mapping
        Likelihood ratio of every element that was found.
    """
    number = atomic_number(element)
    near = [e for e in ratios if e != element and abs(atomic_number(e) - number) <= _NEAR]
    surest = max(near, key=lambda e: ratios[e], default="")
    if not surest or ratios[element] > _EXPLAINED * ratios[surest]:
        return ""
    return (
        f"a small error of the lines of {surest} looks like this: list the elements to leave it out"
    )
