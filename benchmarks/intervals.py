# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the intervals of compositions, spectra and abundances hold the truth as often as stated.

    python benchmarks/intervals.py

Simulates specimens of two to four phases, half of them embedded in a matrix, half contiguous
(`interval_specimens`), at 20, 100 and 500 counts a pixel, and factorises and quantifies the counts
as a user would who knows the number of phases. The counts are drawn from the fitted model itself:
the figures are of the statistics and of the zeros that an answer sets, not of the physics. Entries
are elements of phases; "lost" are those that are there and of which the answer has nothing.

With `--hard`, all specimens are four phases, embedded, at 20 counts a pixel: few other answers lose
elements, so that it takes these to see whether lost ones lie in their intervals.

With `--undecided`, the particles lack none of the elements of the matrix: how much of it they hold
is not in the data, and the figures show what intervals can not do.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from factorization_cases import matched
from interval_specimens import KINDS, Specimen, specimen

import mlatem
from mlatem.physics.atomic import atomic_weight

DOSES = (20.0, 100.0, 500.0)
#: Specimens from here on chose nothing of the method.
FIRST_SEED = 0
_OF_PIXELS = ("spectrum", "present", "absent")


@dataclass(frozen=True)
class Found:
    """One fit beside the truth; phases and elements as in the truth."""

    seed: int
    dose: float
    kind: str
    truth: np.ndarray
    percent: np.ndarray
    """At% that were found, shape (n_phases, n_elements)."""
    low: np.ndarray
    holds: np.ndarray
    """Whether the interval of 95 % holds the truth."""
    holds_68: np.ndarray
    holds_weight: np.ndarray
    limit_holds: np.ndarray
    """Of every element that is not seen."""
    spectrum: float
    """Share of the channels within 1.96 standard deviations."""
    present: float
    """The same of abundances of more than 15 % of the mean counts."""
    absent: float
    """The same of abundances of nothing."""


def analyse(seed: int, true: Specimen, kind: str, dose: float, draw: int) -> Found:
    """Factorise and quantify one draw of the counts."""
    result = mlatem.factorize(true.counts(dose, draw), true.dictionary, len(true.spectrum))
    table = mlatem.quantify(result)
    order = matched(true.spectrum, result["spectrum"].values)[0]

    def of(name: str) -> np.ndarray:
        return table.pivot(name)[list(true.elements)].to_numpy()[order]

    truth = true.atomic_percent
    masses = truth * [atomic_weight(element) for element in true.elements]
    masses *= 100 / masses.sum(axis=1, keepdims=True)
    limit = of("upper_limit")
    spectrum = _pull(result["spectrum"], result["sigma_spectrum"], true.spectrum, order, axis=0)
    abundance = true.abundance(dose)
    pixels = _pull(result["abundance"], result["sigma_abundance"], abundance, order, axis=2)
    return Found(
        seed=seed,
        dose=dose,
        kind=kind,
        truth=truth,
        percent=of("atomic_percent"),
        low=of("atomic_percent_low"),
        holds=_within(truth, of("atomic_percent_low"), of("atomic_percent_high")),
        holds_68=_within(truth, of("atomic_percent_low_68"), of("atomic_percent_high_68")),
        holds_weight=_within(masses, of("weight_percent_low"), of("weight_percent_high")),
        limit_holds=(truth <= limit)[np.isfinite(limit)],
        spectrum=float(np.mean(spectrum < 1.96)),
        present=float(np.mean(pixels[abundance > 0.15 * dose] < 1.96)),
        absent=float(np.mean(pixels[abundance < 1e-3 * dose] < 1.96)),
    )


def _pull(found, sigma, truth, order, axis: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Absolute errors in standard deviations, phases in the order of the truth."""
    values, errors = (np.take(a.values, order, axis=axis) for a in (found, sigma))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(values - truth) / errors


def _within(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= truth + 1e-9) & (truth <= high + 1e-9)


def row(label: str, fits: list[Found]) -> None:
    """A row of the table."""
    real = [fit.truth > 0 for fit in fits]
    lost = [mask & (fit.percent == 0) for mask, fit in zip(real, fits, strict=True)]
    n_lost = sum(int(mask.sum()) for mask in lost)
    by_seed = [
        _mean([f.holds[f.truth > 0] for f in fits if f.seed == seed])
        for seed in dict.fromkeys(f.seed for f in fits)
    ]
    cells = (
        f"{len(fits)}",
        f"{sum(int(mask.sum()) for mask in real)}",
        f"{_of(fits, 'holds', real):.1%}",
        f"{min(by_seed):.0%}",
        f"{_of(fits, 'holds_68', real):.0%}",
        f"{_of(fits, 'holds_weight', real):.1%}",
        f"{_of(fits, 'holds', lost):.0%} of {n_lost}" if n_lost else "none",
        f"{_mean([fit.low[~mask] > 0 for mask, fit in zip(real, fits, strict=True)]):.1%}",
        f"{_mean([fit.limit_holds for fit in fits]):.0%}",
        *(f"{np.mean([getattr(f, n) for f in fits]):.1%}" for n in _OF_PIXELS),
    )
    print(f"| {label} | {' | '.join(cells)} |", flush=True)


def _of(fits: list[Found], name: str, masks: list[np.ndarray]) -> float:
    return _mean([getattr(fit, name)[mask] for fit, mask in zip(fits, masks, strict=True)])


def _mean(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--specimens", type=int, default=24)
    parser.add_argument("--draws", type=int, default=2, help="of the counts, for each dose")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--undecided", action="store_true", help="see above")
    only.add_argument("--hard", action="store_true", help="see above")
    options = parser.parse_args()
    doses = DOSES[:1] if options.hard else DOSES
    begun = time.process_time()
    fits = []
    for place in range(options.specimens):
        kind = "embedded" if options.undecided or options.hard else KINDS[place % 2]
        seed = options.first_seed + place
        n_phases = 4 if options.hard else 2 + (place // 2) % 3
        true = specimen(seed, kind, n_phases, lacking=not options.undecided)
        for dose in doses:
            fits += [analyse(seed, true, kind, dose, draw) for draw in range(options.draws)]
    print(
        "| Specimens | Fits | Entries | In 95 % | Lowest specimen | In 68 % | wt% in 95 % "
        "| Lost entries in 95 % | Zeros called seen | Limits that hold | Spectra in 95 % "
        "| Abundance, present | Abundance, absent |\n|" + "---|" * 13
    )
    row("all", fits)
    for dose in doses if len(doses) > 1 else ():
        row(f"{dose:.0f} counts a pixel", [f for f in fits if f.dose == dose])
    kinds = list(dict.fromkeys(f.kind for f in fits))
    for kind in kinds if len(kinds) > 1 else ():
        row(kind, [f for f in fits if f.kind == kind])
    print(f"{time.process_time() - begun:.0f} CPU s")


if __name__ == "__main__":
    main()
