# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates for rare phases on the page of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.patheffects import withStroke
from scipy.ndimage import center_of_mass, label

from mlatem.model import RareSearch
from mlatem.reporting.colors import phase_color
from mlatem.reporting.drawing import FONT_PT, INK, Extent, draw_map, finish, new_figure
from mlatem.reporting.inputs import Picture
from mlatem.reporting.numbers import fixed, short, whole
from mlatem.reporting.spectra import dress

#: The map of the excess reaches at least to the threshold, so that noise alone stays dark.
_THRESHOLD = 1.0
#: Elements of a candidate's composition are told from here, at%.
_LEAST_PERCENT = 0.5
_MOST_PICTURES = 6


@dataclass(frozen=True)
class CandidateRow:
    """One candidate of the table."""

    number: int
    n_pixels: str
    score: str
    """Highest excess over the threshold."""
    elements: str
    """That exceed, with their standard deviations."""
    composition: str
    """Ranges of at%."""


def candidate_rows(search: RareSearch) -> tuple[CandidateRow, ...]:
    """The candidates, the surest first."""
    return tuple(
        CandidateRow(
            number=i + 1,
            n_pixels=whole(float(search.n_pixels[i])),
            score=short(float(search.score[i]), 2),
            elements=", ".join(
                f"{e} ({search.element_score[i, search.elements.index(e)]:.0f} "
                "\N{GREEK SMALL LETTER SIGMA})"
                for e in search.excess_elements(i)
            ),
            composition=_composition(search, i),
        )
        for i in range(search.n_candidates)
    )


def rare_pictures(search: RareSearch, *, dpi: int) -> dict[str, Picture]:
    """The map of the excess with the candidates' numbers, and what exceeds in their spectra."""
    pictures = {"rare_excess": _excess_picture(search, dpi=dpi)}
    for i in range(min(search.n_candidates, _MOST_PICTURES)):
        pictures[f"rare_spectrum_{i + 1}"] = _spectrum_picture(search, i, dpi=dpi)
    return pictures


def _composition(search: RareSearch, candidate: int) -> str:
    ends = search.atomic_percent_region[candidate], search.atomic_percent_excess[candidate]
    low, high = np.minimum(*ends), np.maximum(*ends)
    dash = "\N{EN DASH}"
    return ", ".join(
        f"{element} {fixed(low[j], 0)}{dash}{fixed(high[j], 0)}"
        for j, element in enumerate(search.elements)
        if high[j] >= _LEAST_PERCENT
    )


def _excess_picture(search: RareSearch, *, dpi: int) -> Picture:
    top = max(float(np.nanmax(search.excess, initial=0.0)), _THRESHOLD)
    figure, axes = draw_map(
        search.excess,
        Extent.of_axes(search.y_nm, search.x_nm),
        title="excess over the phases, in thresholds",
        unit="\N{MULTIPLICATION SIGN}",
        limits=(0.0, min(top, 4 * _THRESHOLD)),
        side_in=3.6,
        mask=np.isnan(search.excess),
    )
    outline = [withStroke(linewidth=2.0, foreground="#101214")]
    for number in range(1, search.n_candidates + 1):
        places, n_places = label(search.candidate == number, np.ones((3, 3)))
        for y, x in center_of_mass(places > 0, places, range(1, n_places + 1)):
            text = axes.annotate(str(number), (x, y), (8, 8), textcoords="offset points")
            text.set(color="white", fontsize=9, fontweight="bold", path_effects=outline)
    return finish(figure, dpi=dpi, text="map of what pixels hold beyond their phases")


def _spectrum_picture(search: RareSearch, candidate: int, *, dpi: int) -> Picture:
    figure = new_figure(5.6, 2.0)
    axes = figure.add_axes((0.11, 0.22, 0.87, 0.72))
    counts, expected = search.counts[candidate], search.expected[candidate]
    axes.step(search.energy, counts, where="mid", color="#5B626B", linewidth=0.6, label="counts")
    axes.plot(search.energy, expected, color=phase_color(5), linewidth=1.2, label="known phases")
    axes.set_xlim(search.energy[0], search.energy[-1])
    axes.set_ylim(0, 1.1 * max(float(counts.max()), 1.0))
    dress(axes, "counts")
    axes.yaxis.set_label_coords(-0.085, 0.5)
    axes.set_xlabel("energy / keV", fontsize=FONT_PT, color=INK)
    axes.legend(fontsize=FONT_PT, frameon=False, loc="upper right")
    text = f"counts of candidate {candidate + 1} and what the known phases explain of them"
    return finish(figure, dpi=dpi, text=text)
