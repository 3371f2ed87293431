# SPDX-License-Identifier: GPL-3.0-or-later
"""k-factors of this program beside those that others published, as a table for the documentation.

python benchmarks/k_factors.py
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mlatem.physics.atomic import atomic_weight
from mlatem.physics.detector import efficiency
from mlatem.physics.lines import emission_lines
from mlatem.settings import Detector

PUBLISHED = Path(__file__).with_suffix(".csv")
BEAM_KEV = 200.0
#: Windowless, with a contact and dead layer as thin as they are made.
DETECTOR = Detector()

_ALPHA = {"K": ("K-L2", "K-L3"), "L": ("L3-M4", "L3-M5"), "M": ("M5-N6", "M5-N7")}


def barn_per_gram(element: str, lines: str) -> float:
    """Detected photons per mass, for one family ("K") or its alpha lines ("K alpha")."""
    table = emission_lines(element, BEAM_KEV)
    detected = table.cross_section_barn * efficiency(table.energy_kev, DETECTOR)
    family = lines.split(maxsplit=1)[0]
    if "alpha" in lines:
        member = np.isin(table.names, _ALPHA[family])
    else:
        member = np.array(table.families) == family
    return float(detected[member].sum()) / atomic_weight(element)


def rows() -> list[dict[str, str | float]]:
    """The published factors with ours and the ratio of the two."""
    with PUBLISHED.open(encoding="utf-8") as stream:
        published = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    for row in published:
        theirs = float(row["value"]) / float(row["reference_value"])
        ours = barn_per_gram(row["reference"], row["reference_lines"]) / barn_per_gram(
            row["element"], row["lines"]
        )
        row |= {"theirs": theirs, "ours": ours, "ratio": ours / theirs}
    return published


def table() -> list[str]:
    """Rows in Markdown, without a heading."""
    return [
        f"| {r['element']} {r['lines']} / {r['reference']} {r['reference_lines']} | {r['source']} "
        f"| {r['theirs']:.3f} | {r['ours']:.3f} | {r['ratio']:.2f} |"
        for r in rows()
    ]


HEAD = "| Lines | Source | Published | Here | Here / published |"


def main() -> None:
    print(HEAD, "|---|---|---|---|---|", *table(), sep="\n")
    ratio = {(r["element"], r["lines"]): r["ratio"] for r in rows() if r["source"] == "Thermo"}
    for lines in ("K", "L", "M"):
        values = np.array([value for (_, name), value in ratio.items() if name == lines])
        print(f"{lines}: mean {values.mean():.2f}, from {values.min():.2f} to {values.max():.2f}")


if __name__ == "__main__":
    main()
