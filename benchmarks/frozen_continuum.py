# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a continuum of frozen shape find compositions better or faster? On simulated phase maps.

    python benchmarks/frozen_continuum.py --seeds 2

The specimen of the demo is simulated and factorised with all functions of the continuum, and with
one to three columns that add up to the continuum that was fitted to the sum spectrum.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import mlatem
from mlatem.io.datasets import load_dataset
from mlatem.model import Dictionary
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.sheet import DatasetRow, read_sheet

DEMO = Path(__file__).parents[1] / "examples" / "demo"
N_PHASES = 4


def frozen(dictionary: Dictionary, coefficient: np.ndarray, n_columns: int) -> Dictionary:
    """The continuum in few columns: hats over its functions, times what was fitted."""
    continuum = np.array([name.startswith("continuum") for name in dictionary.names])
    amount = coefficient[continuum]
    position = np.linspace(0.0, n_columns - 1, amount.size)  # all 0 for one column
    hats = np.maximum(0.0, 1.0 - np.abs(position - np.arange(n_columns)[:, None]))
    columns = (hats * amount) @ dictionary.columns[continuum]
    columns /= columns.sum(axis=1, keepdims=True)
    keep = np.flatnonzero(~continuum)
    few = Dictionary.from_arrays(
        np.concatenate([dictionary.columns[keep], columns]),
        dictionary.energy,
        [*(dictionary.names[k] for k in keep), *(f"continuum {k}" for k in range(n_columns))],
        [*(dictionary.kinds[k] for k in keep), *["background"] * n_columns],
        [*(dictionary.elements[k] for k in keep), *[""] * n_columns],
        np.concatenate([dictionary.factor_sigma[keep], np.zeros(n_columns)]),
    )
    return replace(few, first_channel=dictionary.first_channel)


def errors_percent(result, truth) -> np.ndarray:
    """Absolute errors in at%, every true phase and element."""
    axis, energy = truth["energy"].values, result["energy"].values
    true = np.stack([np.interp(energy, axis, s) for s in truth["spectrum"].values])
    unit = [s / np.linalg.norm(s, axis=1, keepdims=True) for s in (true, result["spectrum"].values)]
    found = linear_sum_assignment(-unit[0] @ unit[1].T)[1]
    table = mlatem.quantify(result).pivot("atomic_percent")
    expected = truth["atomic_percent"].to_pandas().reindex(columns=table.columns, fill_value=0.0)
    return np.abs(table.iloc[found].to_numpy() - expected.to_numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    seeds = parser.parse_args().seeds
    row = DatasetRow.from_strings(read_sheet(DEMO / "config" / "datasets.tsv")["simulated"])
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            mlatem.simulate(DEMO / "specimen.yaml", folder, name="map", seed=seed)
            tree = mlatem.read(Path(folder) / "map.hspy")
            truth = load_dataset(Path(folder) / "map_truth.zarr")
            calibration = mlatem.calibrate(tree, row.elements, thickness_nm=row.thickness_nm)
            full = mlatem.edxs_dictionary(tree, calibration)
            counts = tree["edxs"]["counts"].values.sum(axis=(0, 1), dtype=float)[full.channels]
            fit = fit_counts(counts, full.columns)
            choices = {"all functions": full}
            choices |= {f"{n} frozen": frozen(full, fit.coefficient, n) for n in (1, 2, 3)}
            for name, dictionary in choices.items():
                start = time.process_time()
                result = mlatem.factorize(tree, dictionary, N_PHASES)
                seconds = time.process_time() - start
                error = errors_percent(result, truth)
                print(
                    f"seed {seed}, {name}: mean error {error.mean():.3f} at%, largest "
                    f"{error.max():.2f}, {seconds:.1f} s of the processor",
                    flush=True,
                )


if __name__ == "__main__":
    main()
