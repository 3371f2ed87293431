# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's specimen at other thicknesses: columns of the mean against columns of each phase.

    python benchmarks/thick_specimens.py --nm 35 150

For each thickness, with columns absorbed in the mean composition and in each phase itself: the
angle of every phase to its true spectrum, and the error of its composition.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
import yaml
from scipy.optimize import linear_sum_assignment

import mlatem
from mlatem.io.datasets import load_dataset
from mlatem.settings import Edxs

SPECIMEN = Path(__file__).resolve().parents[1] / "examples" / "demo" / "specimen.yaml"


def simulated(
    folder: Path, thickness_nm: float, wedge: float | None, seed: int | None
) -> tuple[xr.DataTree, xr.Dataset]:
    """The specimen and its truth."""
    described = yaml.safe_load(SPECIMEN.read_text())
    described["thickness"]["mean_nm"] = thickness_nm
    if wedge is not None:
        described["thickness"]["wedge"] = wedge
    (folder / "specimen.yaml").write_text(yaml.safe_dump(described))
    mlatem.simulate(folder / "specimen.yaml", folder, name="map", seed=seed)
    return mlatem.read(folder / "map.hspy"), load_dataset(folder / "map_truth.zarr")


def compared(result: xr.Dataset, truth: xr.Dataset) -> str:
    """Angles and errors of a factorisation, phases in the order of the truth."""
    axis, energy = truth["energy"].values, result["energy"].values
    true = np.stack([np.interp(energy, axis, s) for s in truth["spectrum"].values])
    unit = [s / np.linalg.norm(s, axis=1, keepdims=True) for s in (true, result["spectrum"].values)]
    angle = np.degrees(np.arccos(np.clip(unit[0] @ unit[1].T, -1, 1)))
    rows, found = linear_sum_assignment(angle)
    table = mlatem.quantify(result).pivot("atomic_percent")
    percent = truth["atomic_percent"].to_pandas().reindex(columns=table.columns, fill_value=0.0)
    error = np.abs(table.iloc[found].to_numpy() - percent.to_numpy())
    angles = " ".join(f"{value:5.2f}" for value in angle[rows, found])
    present = error[percent.to_numpy() > 0]
    return f"{angles} deg   {present.mean():5.2f} at% on average, largest {error.max():5.2f}"


def main() -> None:
    """Print two lines for each thickness."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nm", type=float, nargs="+", default=[35.0, 80.0, 150.0, 300.0])
    parser.add_argument("--wedge", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--from-density", action="store_true", help="edxs.thickness_from_counts off"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    edxs = Edxs(thickness_from_counts=not options.from_density)
    for thickness in options.nm:
        with tempfile.TemporaryDirectory() as folder:
            tree, truth = simulated(Path(folder), thickness, options.wedge, options.seed)
            elements = [str(e) for e in truth["element"].values]
            calibration = mlatem.calibrate(tree, elements, thickness_nm=thickness)
            dictionary = mlatem.edxs_dictionary(tree, calibration)
            for label, known in (("mean", None), ("own", calibration)):
                result = mlatem.factorize(
                    tree, dictionary, truth.sizes["phase"], calibration=known, edxs=edxs
                )
                print(f"{thickness:5.0f} nm  {label:4s}  {compared(result, truth)}", flush=True)


if __name__ == "__main__":
    main()
