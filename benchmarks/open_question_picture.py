# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the demo's open question, for docs/explanation/ambiguity.md.

    python benchmarks/open_question_picture.py --folder docs/images

Garnet in the demo's inclusions: its true share, its share of the counts in both answers, and its
at% with nothing known and with one ratio known; bars are the truth, lines intervals of 95 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mlatem
from mlatem.io.datasets import load_dataset
from mlatem.model import Factorization
from mlatem.sheet import DatasetRow, read_sheet

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo"
PHASE, NAME = 1, "garnet"
_COLORS = {
    "truth": "#D5D8DC",
    "this answer": "#0072B2",
    "the other": "#E69F00",
    "ratio known": "#009E73",
}


def picture(path: Path, folder: Path) -> None:
    """Write the picture, with the simulated map in `folder`, and print the numbers in it."""
    sheet = read_sheet(DEMO / "config" / "datasets.tsv")
    row, known = (DatasetRow.from_strings(sheet[n]) for n in ("inclusions", "inclusions-known"))
    mlatem.simulate(DEMO / "inclusions.yaml", folder, name="map")
    tree = mlatem.read(folder / "map.hspy")
    truth = load_dataset(folder / "map_truth.zarr")
    calibration = mlatem.calibrate(tree, row.elements, thickness_nm=row.thickness_nm)
    dictionary = mlatem.edxs_dictionary(tree, calibration)
    blind, settled = (
        mlatem.factorize(
            tree,
            dictionary,
            row.n_phases,
            calibration=calibration,
            priors=DEMO / priors if priors else None,
        )
        for priors in (None, known.priors)
    )
    answers = dict(
        zip(list(_COLORS)[1:], (blind, mlatem.other_answer(blind), settled), strict=True)
    )
    tables = {name: mlatem.quantify(a, calibration=calibration) for name, a in answers.items()}
    _print_facts(blind, settled)
    elements = list(tables["this answer"].pivot().columns)
    true_percent = truth["atomic_percent"].to_pandas().loc[NAME, elements].to_numpy()

    figure = Figure(figsize=(10.4, 2.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 2.6))
    expected = truth["expected_counts"]
    shares = {"true share of garnet": (expected / expected.sum("phase")).sel(phase=NAME).values}
    for name in ("this answer", "the other"):
        abundance = answers[name]["abundance"].values
        total = np.maximum(abundance.sum(axis=2), 1.0)
        shares[name] = abundance[..., PHASE] / total
    for place, (title, share) in zip(axes, shares.items(), strict=False):
        place.imshow(share, cmap="viridis", vmin=0, vmax=1)
        place.set(xticks=[], yticks=[])
        place.set_title(title, fontsize=9)
    _points(axes[3], elements, true_percent, tables)
    classes = blind.attrs["geometry_class"], settled.attrs["geometry_class"]
    axes[3].set_title(f"at% of garnet: {classes[0]}, and {classes[1]} with the ratio", fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _print_facts(blind: xr.Dataset, settled: xr.Dataset) -> None:
    """How far the two answers are apart, which one single pixels favour, and the prior's cost."""
    this, other = (
        blind[name].isel(phase=PHASE).values for name in ("spectrum", "alternative_spectrum")
    )
    cosine = this @ other / (np.linalg.norm(this) * np.linalg.norm(other))
    print(f"apart: {np.degrees(np.arccos(cosine)):.1f} deg")
    for name in ("deviance", "alternative_deviance"):
        print(f"{name} of the pixels, mean: {float(blind[name].mean()):.4f}")
    told = Factorization.from_dataset(settled).attrs
    cost, limit = (told[f"prior_{name}"][PHASE] for name in ("deviance", "limit"))
    print(f"deviance that the prior costs: {cost:.2f}, limit {limit:.2f}")


def _points(axes: Axes, elements: list[str], truth: np.ndarray, tables: dict) -> None:
    at = np.arange(len(elements))
    axes.bar(at, truth, width=0.8, color=_COLORS["truth"], label="truth")
    print(f"{'truth':>12}", *(f"{e} {x:.1f}" for e, x in zip(elements, truth, strict=True)))
    for place, (name, table) in zip((-0.25, 0.0, 0.25), tables.items(), strict=True):
        percent = table.pivot().iloc[PHASE].to_numpy()
        words = [f"{e} {x:.1f}" for e, x in zip(elements, percent, strict=True)]
        if "atomic_percent_low" in table.frame:
            low, high = (
                table.pivot(f"atomic_percent_{end}").iloc[PHASE].to_numpy()
                for end in ("low", "high")
            )
            axes.vlines(at + place, low, high, color=_COLORS[name], linewidth=2)
            words = [
                f"{word} [{a:.1f} to {b:.1f}]" for word, a, b in zip(words, low, high, strict=True)
            ]
        axes.plot(at + place, percent, "o", color=_COLORS[name], markersize=4, label=name)
        print(f"{name:>12}", *words)
    axes.set_xticks(at, elements)
    axes.set_ylim(0, 30)
    axes.text(0, 28.5, "60", ha="center", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=4, loc="upper right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    path = parser.parse_args().folder / "ambiguity-demo.png"
    with tempfile.TemporaryDirectory() as folder:
        picture(path, Path(folder))


if __name__ == "__main__":
    main()
