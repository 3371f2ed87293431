# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product on the page of a dataset: axes, score maps, what is left outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.model import Basis
from mlatem.reporting.drawing import FONT_PT, INK, Extent, draw_map, finish, new_figure
from mlatem.reporting.inputs import Picture
from mlatem.reporting.numbers import short, whole
from mlatem.reporting.spectra import dress

_DIVERGING = "RdBu_r"
_MOST_MAPS = 12
_MOST_SPECTRA = 6
#: Score maps reach at least to here, standard deviations, so that noise alone stays pale.
_LEAST_SCORE = 4.0


@dataclass(frozen=True)
class AxisRow:
    """One axis of the table."""

    number: int
    strength: str
    """Eigenvalue over the noise edge."""
    where: str
    remark: str


def axis_rows(lowrank: xr.Dataset) -> tuple[AxisRow, ...]:
    """The axes of the basis, and what is known of each."""
    basis, remarks = Basis.from_dataset(lowrank), _remarks(lowrank)
    return tuple(
        AxisRow(
            number=k + 1,
            strength=short(float(basis.eigenvalue[k] / basis.edge[k]), 3),
            where=_place(basis, k),
            remark="; ".join(remarks.get(k, ())),
        )
        for k in range(basis.rank)
    )


def lowrank_pictures(
    lowrank: xr.Dataset, y_nm: NDArray[np.float64], x_nm: NDArray[np.float64], *, dpi: int
) -> dict[str, Picture]:
    """Score maps, spectra of the axes outside of the dictionary's span, and the guard map.

    Parameters
    ----------
    lowrank : Dataset
        From `denoise`.
    y_nm, x_nm : ndarray
        Positions of rows and columns.
    dpi : int
    """
    basis, extent = Basis.from_dataset(lowrank), Extent.of_axes(y_nm, x_nm)
    is_smoothed = "smoothed_scores" in lowrank
    scores = lowrank["smoothed_scores" if is_smoothed else "scores"].values
    pictures = {
        f"score_{k + 1}": _score_picture(scores[..., k], basis, k, extent, dpi=dpi)
        for k in range(min(basis.rank, _MOST_MAPS))
    }
    remarks = _remarks(lowrank)
    for k in np.flatnonzero(~basis.in_span)[:_MOST_SPECTRA]:
        if np.isfinite(basis.edge_in_span):
            text = "; ".join(remarks.get(int(k), ()))
            pictures[f"residual_axis_{k + 1}"] = _spectrum_picture(basis, int(k), text, dpi=dpi)
    if is_smoothed:
        pictures["guard"] = _guard_picture(lowrank["guard"].values > 0, extent, dpi=dpi)
    return pictures


def _remarks(lowrank: xr.Dataset) -> dict[int, list[str]]:
    """What is said of each axis, by its number from 0."""
    basis = Basis.from_dataset(lowrank)
    remarks: dict[int, list[str]] = {0: ["mean spectrum"]}
    for suggestion in lowrank.attrs["suggestions"]:
        remarks.setdefault(int(suggestion["axis"]), []).append(str(suggestion["words"]))
    rare: list[dict[str, Any]] = lowrank.attrs["rare_axes"]
    for k, axis in enumerate(rare, start=basis.rank - len(rare)):
        new = "" if axis["is_listed"] else "candidate missing element: "
        pixels = whole(float(axis["n_pixels"]))
        remarks.setdefault(k, []).append(f"{new}{axis['element']} in about {pixels} pixels")
    for uncertain in np.flatnonzero(basis.is_uncertain):
        remarks.setdefault(int(uncertain), []).append("uncertain: below twice the edge")
    return remarks


def _place(basis: Basis, axis: int) -> str:
    if axis >= basis.rank - basis.n_rare:
        return "in few pixels"
    if not np.isfinite(basis.edge_in_span):
        return "all channels"
    return "in the dictionary's span" if basis.in_span[axis] else "outside of it"


def _score_picture(
    values: NDArray[np.floating], basis: Basis, axis: int, extent: Extent, *, dpi: int
) -> Picture:
    finite = values[np.isfinite(values)]
    if axis == 0:
        title, unit, colormap = "axis 1: root of the counts", "\N{SQUARE ROOT}counts", "viridis"
        limits = tuple(np.percentile(finite, [0.2, 99.8])) if finite.size else (0.0, 1.0)
    else:
        title = f"axis {axis + 1}, {_place(basis, axis)}"
        unit, colormap = "\N{GREEK SMALL LETTER SIGMA}", _DIVERGING
        top = float(np.percentile(np.abs(finite), 99.8)) if finite.size else 0.0
        limits = (-max(top, _LEAST_SCORE), max(top, _LEAST_SCORE))
    low, high = float(limits[0]), float(limits[1])
    figure, _ = draw_map(
        values,
        extent,
        title=title,
        unit=unit,
        limits=(low, high if high > low else low + 1.0),
        colormap=colormap,
    )
    return finish(figure, dpi=dpi, text=f"score map of {title}")


def _spectrum_picture(basis: Basis, axis: int, remark: str, *, dpi: int) -> Picture:
    figure = new_figure(5.6, 2.0)
    axes = figure.add_axes((0.11, 0.22, 0.87, 0.64))
    axes.plot(basis.energy, basis.axes[axis], color="#D55E00", linewidth=0.8)
    axes.axhline(0.0, color=INK, linewidth=0.5)
    axes.set_xlim(basis.energy[0], basis.energy[-1])
    dress(axes, "whitened")
    axes.set_xlabel("energy / keV", fontsize=FONT_PT, color=INK)
    axes.yaxis.set_label_coords(-0.085, 0.5)
    # Numbers are in the table.
    title = f"axis {axis + 1}: {remark.split(' (', maxsplit=1)[0]}"
    axes.set_title(title, fontsize=FONT_PT, color=INK, loc="left")
    text = f"spectrum of axis {axis + 1}, outside of the dictionary's span: {remark}"
    return finish(figure, dpi=dpi, text=text)


def _guard_picture(guard: NDArray[np.bool_], extent: Extent, *, dpi: int) -> Picture:
    title = f"{whole(float(np.count_nonzero(guard)))} pixels kept as measured"
    figure, _ = draw_map(guard.astype(float), extent, title=title, limits=(0.0, 1.0))
    return finish(figure, dpi=dpi, text=f"map of the {title}")
