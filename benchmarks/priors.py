# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of the factorisation where the elements that each phase lacks are known.

    python benchmarks/priors.py

The four cases of espm's simulator in the folder that MLATEM_TEST_BENCH names, with the default
settings: blind, and with the true zeros of the compositions as priors, phases named in an order
that is not that of the answer. Beside them what is reached by one who knows the true abundances
and fits the compositions alone by maximum likelihood (the oracle), as a ratio. Costs are the
largest deviance of a phase's prior over its limit: more than one is called a contradiction.
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


def priors_of(case: Case, order: list[int]) -> dict[str, object]:
    """The true zeros of all phases, in the form of a priors file."""
    elements = [element for element in case.dictionary.elements if element]
    return {
        "phases": {
            f"phase {k}": {
                "absent": [
                    e for e, x in zip(elements, case.atomic_percent[k], strict=True) if x == 0
                ]
            }
            for k in order
        }
    }


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
    print("| Case | Oracle, deg | Blind, deg | Zeros, deg | at% | Over oracle | Cost | CPU, s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        case = Case.load(name)
        oracle = oracle_angle(case)
        rows = [(*_blind(case, seed), *_with_zeros(case, seed)) for seed in range(options.seeds)]
        blind, angle, percent, cost, seconds = np.array(rows).T
        cells = [_range(v) for v in (blind, angle, percent, angle / oracle, cost, seconds)]
        print(f"| {name} | {oracle:.2f} | {' | '.join(cells)} |", flush=True)


def _blind(case: Case, seed: int) -> tuple[float]:
    result = mlatem.factorize(case.counts, case.dictionary, len(case.spectrum), seed=seed)
    return (_errors(case, result)[0],)


def _with_zeros(case: Case, seed: int) -> tuple[float, float, float, float]:
    """Angle, at%, largest cost over its limit, and seconds of the processor."""
    begun = time.process_time()
    result = mlatem.factorize(
        case.counts,
        case.dictionary,
        len(case.spectrum),
        priors=priors_of(case, [2, 0, 1]),
        seed=seed,
    )
    seconds = time.process_time() - begun
    details = json.loads(result.attrs["details"])
    ratio = np.array(details["prior_deviance"]) / np.array(details["prior_limit"])
    return (*_errors(case, result)[:2], float(ratio.max()), seconds)


def _errors(case: Case, result: object) -> tuple[float, ...]:
    return case.errors(*(result[key].values for key in ("spectrum", "coefficient", "abundance")))


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


if __name__ == "__main__":
    main()
