# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with a scale bar and a color bar, as PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlatem.reporting.colors import NONE, SEQUENTIAL
from mlatem.reporting.inputs import Picture
from mlatem.reporting.numbers import length, round_length

#: Size of letters, points.
FONT_PT = 8.0
INK = "#22262B"

# Inches around the image.
_MARGIN = 0.06
_TITLE = 0.24
_SCALE = 0.24
_BAR = 0.09
_BAR_LABELS = 0.5
_BAR_LABELS_BELOW = 0.24
_SHORTEST_SIDE = 0.22
_SHORT_BAR = 0.8

_CSS_PX_PER_INCH = 96
#: Dots along the longer side of a map from which strokes are made, and from stroke to stroke.
_HATCH_DOTS, _HATCH_STEP = 480, 9


@dataclass(frozen=True)
class Extent:
    """Size of the area that a map shows."""

    width_nm: float
    height_nm: float

    @classmethod
    def of_axes(cls, y_nm: NDArray[np.float64], x_nm: NDArray[np.float64]) -> Extent:
        """From the positions of rows and columns; a single row is as high as a pixel is wide."""
        steps = [float(np.ptp(a)) / (a.size - 1) if a.size > 1 else None for a in (y_nm, x_nm)]
        y_step, x_step = (step or steps[0] or steps[1] or 1.0 for step in steps)
        return cls(x_step * x_nm.size, y_step * y_nm.size)


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that can be drawn without a display."""
    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure, *, dpi: int, text: str) -> Picture:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    width_px = round(figure.get_figwidth() * _CSS_PX_PER_INCH)
    return Picture(buffer.getvalue(), width_px, text)


def draw_map(
    values: NDArray[np.floating],
    extent: Extent,
    *,
    title: str,
    unit: str = "",
    limits: tuple[float, float] | None = None,
    colormap: str | Colormap = SEQUENTIAL,
    side_in: float = 2.12,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[Figure, Axes]:
    """A map with its scale bar below, and a color bar if it has a unit.

    Parameters
    ----------
    values : ndarray of shape (ny, nx), or (ny, nx, 3) for colors
        NaN is drawn gray.
    extent : Extent
    title : str
    unit : str, optional
        Label of the color bar; without it there is none.
    limits : (float, float), optional
        Ends of the color bar; those of the values if not given.
    colormap : str or Colormap, optional
    side_in : float, optional
        Longer side of the image in inches.
    mask : ndarray of shape (ny, nx), bool, optional
        Pixels that are left out: hatched.

    Returns
    -------
    figure : Figure
    axes : Axes
        Of the image, in pixels.
    """
    width, height = _image_size(extent, side_in)
    below = bool(unit) and height < _SHORT_BAR
    right = _BAR + _BAR_LABELS if unit and not below else 0.0
    bottom = _MARGIN + _SCALE + (_BAR + _BAR_LABELS_BELOW if below else 0.0)
    total_width = max(width + 2 * _MARGIN + right, 1.5)
    total_height = bottom + height + _TITLE
    figure = new_figure(total_width, total_height)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        box = (x / total_width, y / total_height, w / total_width, h / total_height)
        return figure.add_axes(box)

    axes = place(_MARGIN, bottom, width, height)
    image = _show(axes, values, colormap, limits, pixels_across=width * 100)
    if mask is not None and mask.any():
        _hatch(axes, mask)
    _scale_bar(axes, extent, values.shape[1], below_fraction=0.12 / height)
    axes.set_title(title, fontsize=FONT_PT + 1, color=INK, loc="left", pad=4)
    if unit:
        bar = (
            place(_MARGIN, _MARGIN + _BAR_LABELS_BELOW - 0.02, width, _BAR)
            if below
            else place(_MARGIN + width + 0.07, bottom, _BAR, height)
        )
        _color_bar(figure, image, bar, unit, is_below=below)
    return figure, axes


def _image_size(extent: Extent, side_in: float) -> tuple[float, float]:
    """Width and height of the image in inches; a line keeps a visible height."""
    scale = side_in / max(extent.width_nm, extent.height_nm)
    width, height = extent.width_nm * scale, extent.height_nm * scale
    return max(width, _SHORTEST_SIDE), max(height, _SHORTEST_SIDE)


def _show(
    axes: Axes,
    values: NDArray[np.floating],
    colormap: str | Colormap,
    limits: tuple[float, float] | None,
    *,
    pixels_across: float,
) -> AxesImage:
    axes.set_facecolor(NONE)
    low, high = limits or (None, None)
    # Squares for pixels; averages where a screen pixel holds several.
    is_enlarged = values.shape[1] <= pixels_across
    image = axes.imshow(
        values,
        cmap=colormap,
        vmin=low,
        vmax=high,
        interpolation="nearest" if is_enlarged else "antialiased",
        aspect="auto",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _hatch(axes: Axes, mask: NDArray[np.bool_]) -> None:
    """Hatch pixels; single ones too, as long as pixels are not smaller than dots on the page."""
    ny, nx = mask.shape
    rows, columns = (max(1, round(_HATCH_DOTS * n / max(ny, nx))) for n in (ny, nx))
    y = ((np.arange(rows) + 0.5) * ny / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * nx / columns).astype(int)
    is_stroke = np.add.outer(np.arange(rows), np.arange(columns)) % _HATCH_STEP < 2
    dots = np.zeros((rows, columns, 4))
    dots[..., :3] = np.where(is_stroke[..., None], to_rgb(INK), to_rgb(NONE))
    dots[..., 3] = mask[np.ix_(y, x)]
    extent = (-0.5, nx - 0.5, ny - 0.5, -0.5)
    axes.imshow(dots, extent=extent, interpolation="nearest", aspect="auto")


def _scale_bar(axes: Axes, extent: Extent, n_across: int, *, below_fraction: float) -> None:
    """A bar of round length under the image, where it hides nothing."""
    bar_nm = round_length(0.3 * extent.width_nm)
    share = bar_nm / extent.width_nm
    axes.plot(
        [0, share],
        [-below_fraction] * 2,
        linewidth=3,
        solid_capstyle="butt",
        transform=axes.transAxes,
        color=INK,
        clip_on=False,
    )
    axes.annotate(
        length(bar_nm),
        (share, -below_fraction),
        xycoords="axes fraction",
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT_PT,
        color=INK,
        annotation_clip=False,
    )
    axes.set_xlim(-0.5, n_across - 0.5)


def _color_bar(figure: Figure, image: AxesImage, axes: Axes, unit: str, *, is_below: bool) -> None:
    orientation = "horizontal" if is_below else "vertical"
    bar = figure.colorbar(image, cax=axes, orientation=orientation)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()
    axes.tick_params(labelsize=FONT_PT - 1, colors=INK, length=2, pad=2)
    text = axes.set_title(unit, fontsize=FONT_PT - 1, color=INK, pad=4)
    text.set(x=1.0 if is_below else 3.0, ha="right" if is_below else "center")
