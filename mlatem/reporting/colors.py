# SPDX-License-Identifier: GPL-3.0-or-later
"""Colors that also the color-blind can tell apart."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from numpy.typing import NDArray

#: Okabe and Ito, "Color Universal Design" (2008), without black, then Tol's "muted" scheme (2021).
_PHASES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#332288",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
)

#: Pixels that are not quantified, or belong to no phase.
NONE = "#B8BCC2"

SEQUENTIAL = "viridis"


def phase_color(phase: int) -> str:
    """Color of a phase (index from 0) as "#RRGGBB"; repeats after twelve."""
    return _PHASES[phase % len(_PHASES)]


def phase_image(phase: NDArray[np.int16], n_phases: int) -> NDArray[np.float64]:
    """Phase map in color, shape (ny, nx, 3), 0 to 1."""
    palette = np.array([to_rgb(NONE), *(to_rgb(phase_color(k)) for k in range(n_phases))])
    return np.asarray(palette[phase.astype(int) + 1])


def abundance_colormap(phase: int) -> LinearSegmentedColormap:
    """From near black through the phase's color to near white."""
    colors = ["#0B0D10", phase_color(phase), "#FFFFFF"]
    return LinearSegmentedColormap.from_list(f"phase {phase + 1}", colors)
