# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of the factorisation where the elements that each phase lacks are known.

    python benchmarks/priors.py

The four cases of espm's simulator in the folder that MLATEM_TEST_BENCH names, with the default
settings: blind; with one element that each phase lacks and others have most of; with the true zeros
of the compositions as priors (absent); and with the other elements said to be there (present).
Phases are named in an order that is not that of the answer. Beside them what is reached by one who
knows the true abundances and fits the compositions alone by maximum likelihood (the oracle), as a
ratio. Costs are the largest deviance of a phase's prior over its limit: more than one is called a
contradiction.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json

import numpy as np
from factorization_cases import BENCH, NAMES, Case
from scipy.optimize import minimize

import mlatem
from mlatem.factorization.pooled import FLOOR, spectral_angle, unit_columns


def priors_of(case: Case, order: list[int], *, present: bool) -> dict[str, object]:
    """The true zeros of all phases, in the form of a priors file, and what is not zero."""
    elements = np.array([element for element in case.dictionary.elements if element])
    phases: dict[str, dict[str, list[str]]] = {}
    for k in order:
        is_there = case.atomic_percent[k] > 0
        phases[f"phase {k}"] = {"absent": elements[~is_there].tolist()}
        if present:
            phases[f"phase {k}"]["present"] = elements[is_there].tolist()
    return {"phases": phases}


def one_absent(case: Case, order: list[int]) -> dict[str, object]:
    """Of each phase one element that it lacks."""
    elements = [element for element in case.dictionary.elements if element]
    phases: dict[str, dict[str, list[str]]] = {}
    for k in order:
        others = np.delete(case.atomic_percent, k, axis=0).max(axis=0)
        most = int(np.argmax(np.where(case.atomic_percent[k] == 0, others, 0.0)))
        phases[f"phase {k}"] = {"absent": [elements[most]]}
    return {"phases": phases}


def oracle_angle(case: Case) -> float:
    """Mean angle, degrees, of the likeliest compositions at the true abundances."""
    counts = case.counts.reshape(-1, case.counts.shape[2]).astype(float)
    share = case.abundance.T * (counts.sum() / case.abundance.sum())
    columns = unit_columns(case.dictionary.columns)
    shape = len(case.spectrum), len(columns)
    lengths = share.sum(axis=0)[:, None]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(shape) / np.sqrt(lengths)
        model = share @ (weight @ columns) + FLOOR
        slope = share.T @ (1.0 - counts / model) @ columns.T / np.sqrt(lengths)
        return float(model.sum() - np.sum(counts * np.log(model))), slope.ravel()

    start = np.full(shape, 1.0 / shape[1]) * np.sqrt(lengths)
    bounds = [(0.0, None)] * start.size
    options = {"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-3}
    found = minimize(loss, start.ravel(), jac=True, bounds=bounds, options=options)
    weight = found.x.reshape(shape) / np.sqrt(lengths)
    angle = spectral_angle(case.spectrum, weight @ columns)
    return float(np.degrees(angle).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    if not BENCH.exists():
        raise SystemExit(f"no folder {BENCH}: name the one with the cases in MLATEM_TEST_BENCH")
    print(
        "| Case | Oracle, deg | Blind, deg | One absent, deg | Absent, deg "
        "| Absent and present, deg | at% | Over oracle | Cost | CPU, s |\n|" + "---|" * 10
    )
    order = [2, 0, 1]
    for name in NAMES:
        case = Case.load(name)
        oracle = oracle_angle(case)
        rows = []
        for seed in range(options.seeds):
            angles = [_fit(case, seed, priors)[0] for priors in (None, one_absent(case, order))]
            angles.append(_fit(case, seed, priors_of(case, order, present=False))[0])
            rows.append((*angles, *_fit(case, seed, priors_of(case, order, present=True))))
        blind, one, absent, angle, percent, cost, seconds = np.array(rows).T
        columns = (blind, one, absent, angle, percent, angle / oracle, cost, seconds)
        cells = [_range(values) for values in columns]
        print(f"| {name} | {oracle:.2f} | {' | '.join(cells)} |", flush=True)


def _fit(
    case: Case, seed: int, priors: dict[str, object] | None
) -> tuple[float, float, float, float]:
    """Angle, at%, largest cost over its limit, and seconds of the processor."""
    begun = time.process_time()
    result = mlatem.factorize(
        case.counts, case.dictionary, len(case.spectrum), priors=priors, seed=seed
    )
    seconds = time.process_time() - begun
    values = (result[key].values for key in ("spectrum", "coefficient", "abundance"))
    angle, percent = case.errors(*values)[:2]
    details = json.loads(result.attrs["details"])
    if priors is None:
        return angle, percent, np.nan, seconds
    ratio = np.array(details["prior_deviance"]) / np.array(details["prior_limit"])
    return angle, percent, float(ratio.max()), seconds


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
