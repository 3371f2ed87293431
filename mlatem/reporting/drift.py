# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of the frames of a scan."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from mlatem.reporting.colors import phase_color
from mlatem.reporting.drawing import FONT_PT, INK, finish, new_figure
from mlatem.reporting.inputs import DriftCurve, Picture
from mlatem.reporting.spectra import dress


def drift_picture(drift: DriftCurve, *, dpi: int) -> Picture:
    """By how much each frame was moved, rows and columns; frames that are left out as crosses."""
    figure = new_figure(4.6, 2.0)
    axes = figure.add_axes((0.13, 0.22, 0.85, 0.72))
    number = np.arange(1, len(drift.is_used) + 1)
    used = np.array(drift.is_used)
    for i, (name, values) in enumerate((("rows", drift.y_px), ("columns", drift.x_px))):
        shown = np.where(used, values, np.nan)
        axes.plot(number, shown, ".-", color=phase_color(i), linewidth=1.0, label=name)
    if not used.all():
        lost = number[~used]
        axes.plot(lost, np.zeros(lost.size), "x", color=INK, label="left out", linestyle="none")
    dress(axes, "moved by / px")
    axes.yaxis.set_label_coords(-0.1, 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("frame", fontsize=FONT_PT, color=INK)
    axes.legend(fontsize=FONT_PT, frameon=False)
    text = f"by how many rows and columns {len(number)} frames were moved onto each other"
    return finish(figure, dpi=dpi, text=text)
