# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of docs/explanation/ambiguity.md, from simulated specimens of known truth.

    python benchmarks/ambiguity_pictures.py --folder docs/images

One picture a class: where the second phase is; how its share is spread over the pixels' regions
where the purest one is taken for the phase itself; and its at%, the true one and both answers.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ambiguity import pooled, reached
from factorization_cases import matched
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from specimens import ELEMENTS, Specimen, specimen

from mlatem.factorization.pooled import PooledData
from mlatem.factorization.solver import solve_compositions
from mlatem.factorization.sparsity import abundances_at
from mlatem.settings import Factorize

#: Name of the picture, kind, relation, counts a pixel and seed of the specimen.
CASES = (
    ("layers", "layers", "ratios", 200.0, 72),
    ("particles", "embedded", "different", 200.0, 0),
    ("particles-alike", "embedded", "alike", 500.0, 20),
    ("gradient", "gradient", "ratios", 200.0, 3),
)
_COLORS = {"truth": "#22262B", "phases alone": "#E69F00", "phase embedded": "#0072B2"}


def picture(case: Specimen, path: Path) -> str:
    """Write one picture; the class comes back."""
    regions, _ = pooled(case)
    solution = solve_compositions(regions, case.dictionary, case.n_phases)
    opened = solution.ambiguity
    columns = case.dictionary.columns
    order, _ = matched(case.spectrum, solution.coefficient @ columns)
    answers = (solution.coefficient, opened.alternative_coefficient)
    if opened.alternative == "embedded":
        answers = answers[::-1]
    inside, beside = (c[order] for c in answers)
    data = PooledData.from_regions(regions[0], case.dictionary)
    weight = beside * columns.sum(axis=1)
    abundance = abundances_at(data, weight / weight.sum(axis=1, keepdims=True), Factorize())
    share = abundance.abundance / abundance.abundance.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(9.6, 2.5), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.3, 2.3))
    left.imshow(case.share[..., 1], cmap="viridis", vmin=0, vmax=1)
    left.set(xticks=[], yticks=[])
    left.set_title("true share of phase 2", fontsize=9)
    middle.hist(
        share[:, 1],
        bins=np.linspace(0, 1.1, 23),
        weights=abundance.abundance[:, 1],
        color="#56B4E9",
    )
    middle.set(yticks=[], xlabel="share, if the purest place is pure")
    middle.set_title("counts of phase 2", fontsize=9)
    _bars(right, case, inside[1], beside[1])
    low, high = reached(solution.coefficient, opened, case)
    used = _used(case, inside[1], beside[1])
    at = np.arange(used.size)
    right.vlines(
        at, low[order][1, used], high[order][1, used], color="#999999", linewidth=7, alpha=0.4
    )
    right.set_title(f"{opened.geometry_class}: phase 2 in at%; gray: within two nats", fontsize=9)
    for axes in (left, middle, right):
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_fontsize(8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return opened.geometry_class


def _percent(coefficient: np.ndarray) -> np.ndarray:
    lines = coefficient[: len(ELEMENTS)]
    return 100 * lines / lines.sum()


def _used(case: Specimen, inside: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Elements of more than 1 at% in any of the three."""
    most = np.maximum(np.maximum(_percent(inside), _percent(beside)), case.atomic_percent[1])
    return np.flatnonzero(most > 1)


def _bars(axes, case: Specimen, inside: np.ndarray, beside: np.ndarray) -> None:
    used = _used(case, inside, beside)
    values = (case.atomic_percent[1], _percent(beside), _percent(inside))
    for place, (label, percent) in enumerate(zip(_COLORS, values, strict=True)):
        at = np.arange(used.size) + 0.25 * (place - 1)
        axes.bar(at, percent[used], width=0.23, color=_COLORS[label], label=label)
    axes.set_xticks(np.arange(used.size), [ELEMENTS[e] for e in used])
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    for name, kind, relation, counts, seed in CASES:
        path = options.folder / f"ambiguity-{name}.png"
        found = picture(specimen(kind, relation, 2, counts, seed), path)
        print(f"{path}: {found}")


if __name__ == "__main__":
    main()
