# SPDX-License-Identifier: GPL-3.0-or-later
"""Two answers that the counts leave open, side by side: maps, and what they differ in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Factorization
from mlatem.reporting.colors import abundance_colormap, phase_color
from mlatem.reporting.drawing import Extent, draw_map, finish
from mlatem.reporting.inputs import Picture
from mlatem.reporting.numbers import fixed, whole

_SIDE_IN = 2.9
_TOP_PERCENTILE = 99.8
#: Elements whose at% differ by less are not told, and not more than so many of a phase.
_LEAST_PERCENT, _MAX_ELEMENTS = 0.5, 4


@dataclass(frozen=True)
class DifferenceRow:
    """What is one phase in two answers."""

    phase: int
    color: str
    share: tuple[str, str]
    """Of all counts, percent."""
    elements: str
    """at% that differ most, those of this answer first; empty where none does."""


@dataclass(frozen=True)
class Differences:
    """What the two answers differ in."""

    rows: tuple[DifferenceRow, ...]
    deviance: tuple[str, str]
    """Of all pixels."""
    fit: str
    """Which deviance is lower and by how much, in words."""


def differences(
    factorization: Factorization,
    elements: tuple[str, ...],
    here: NDArray[np.float64],
    there: NDArray[np.float64],
) -> Differences | None:
    """What the answers differ in; None where only one was taken to its end.

    Parameters
    ----------
    factorization : Factorization
    elements : tuple of str
    here, there : ndarray of shape (n_phases, n_elements)
        at% of the answer that is given and of the other one.
    """
    other, other_deviance = (
        factorization.alternative_abundance,
        factorization.alternative_deviance,
    )
    if other is None or other_deviance is None:
        return None
    shares = [_shares(abundance) for abundance in (factorization.abundance, other)]
    rows = tuple(
        DifferenceRow(
            phase + 1,
            phase_color(phase),
            (fixed(float(shares[0][phase]), 1), fixed(float(shares[1][phase]), 1)),
            _elements(elements, here[phase], there[phase]),
        )
        for phase in range(factorization.n_phases)
    )
    sums = [
        float(np.sum(deviance, dtype=np.float64))
        for deviance in (factorization.deviance, other_deviance)
    ]
    lower = "the other answer's" if sums[1] < sums[0] else "this answer's"
    apart = whole(abs(sums[1] - sums[0]))
    return Differences(
        rows, (whole(sums[0]), whole(sums[1])), f"{lower} deviance is lower by {apart}"
    )


def abundance_pictures(factorization: Factorization, *, dpi: int) -> dict[str, Picture]:
    """Maps of every phase in both answers, on the same scale, by name."""
    other = factorization.alternative_abundance
    if other is None:
        return {}
    extent = Extent.of_axes(factorization.y_nm, factorization.x_nm)
    pictures = {}
    for phase in range(factorization.n_phases):
        both = {"this": factorization.abundance[..., phase], "other": other[..., phase]}
        tops = [float(np.percentile(values, _TOP_PERCENTILE)) for values in both.values()]
        top = max(tops)
        for name, values in both.items():
            title = f"phase {phase + 1}, {'this answer' if name == 'this' else 'the other answer'}"
            figure, _ = draw_map(
                values,
                extent,
                title=title,
                unit="counts",
                limits=(0.0, top if top > 0 else 1.0),
                colormap=abundance_colormap(phase),
                side_in=_SIDE_IN,
                mask=factorization.mask,
            )
            text = f"abundance map of {title}, in counts"
            pictures[f"{name}_answer_{phase + 1}"] = finish(figure, dpi=dpi, text=text)
    return pictures


def _shares(abundance: NDArray[np.float32]) -> NDArray[np.float64]:
    """Percent of all counts, by phase."""
    total = abundance.sum(axis=(0, 1), dtype=np.float64)
    return np.asarray(100.0 * total / max(float(total.sum()), 1e-300))


def _elements(names: tuple[str, ...], here: NDArray[np.float64], there: NDArray[np.float64]) -> str:
    apart = np.abs(there - here)
    order = np.argsort(-apart, kind="stable")[:_MAX_ELEMENTS]
    return ", ".join(
        f"{names[e]} {fixed(float(here[e]), 1)} or {fixed(float(there[e]), 1)}"
        for e in order
        if apart[e] >= _LEAST_PERCENT
    )
