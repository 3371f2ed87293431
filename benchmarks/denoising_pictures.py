# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of docs/explanation/denoising.md: one rare line at 20 counts per pixel.

    python benchmarks/denoising_pictures.py --folder docs/images

Sums over the Zr K alpha and L lines of a map of `denoising_cases.py`, and the guard map.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from denoising import CALIBRATION, TRUE_RANK, weighted_pca
from denoising_cases import case, dictionary
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mlatem
from mlatem.api.denoising import denoise
from mlatem.settings import Denoise

DOSE, SEED = 20, 1
LINES_KEV = (2.04, 15.77)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    chosen = parser.parse_args()
    specimen = case(DOSE, SEED)
    counts = specimen.counts(SEED)
    product = denoise(
        counts, dictionary(), calibration=CALIBRATION, settings=Denoise(held_out=False)
    )
    shape = (*specimen.shape, counts.shape[2])
    cubes = {
        "expected": specimen.expected().reshape(shape),
        "counts": counts,
        "weighted PCA of the true rank": weighted_pca(counts, TRUE_RANK).reshape(shape),
        "low rank": mlatem.reconstruct(product).values,
    }
    near = np.abs(specimen.energy[:, None] - np.array(LINES_KEV)).min(axis=1) < 0.1
    maps = {name: cube[..., near].sum(axis=2) for name, cube in cubes.items()}
    figure = Figure(figsize=(11.0, 2.5), facecolor="white")
    FigureCanvasAgg(figure)
    top = float(maps["expected"].max())
    for number, (name, values) in enumerate([*maps.items(), ("guard", product["guard"])]):
        axes = figure.add_axes((0.01 + 0.2 * number, 0.02, 0.18, 0.86))
        high = 1.0 if name == "guard" else top
        axes.imshow(values, vmin=0.0, vmax=high, interpolation="nearest")
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_axis_off()
    figure.savefig(chosen.folder / "denoising.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
