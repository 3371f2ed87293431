# SPDX-License-Identifier: GPL-3.0-or-later
"""Bias of compositions, and whether their statistical standard deviations are right.

    python benchmarks/quantification.py --runs 200

Simulates specimens of one phase, of 1e6 counts and random composition, and maps of three phases
(`mlatem.simulation`: counts of Poisson statistics, stray lines of copper, absorption in 80 nm, of
which the thickness is told, and the mean density to one phase and to some maps), and analyses each
as a user would: calibration of the energy axis on the sum spectrum, factorisation, quantification.
A z-score is the error of an element's at% over its `sigma_stat`; where all is right they have the
mean 0 and the standard deviation 1. Elements that are absent, or below their detection limit, have
limits and no z-scores. The simulation takes atomic data and detector from the same tables as the
analysis: the figures are of the statistics and the procedure, not of the physics.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

import mlatem
from mlatem import settings
from mlatem.simulation.specimen import simulate
from mlatem.specimen import Simulate

#: Elements of the specimens of one phase: light and heavy ones, overlaps, K, L and M lines.
SYSTEMS = (
    ("O", "Ti", "Sr"),
    ("Al", "Ti", "Fe", "Ni"),
    ("Cr", "Mn", "Fe", "Co"),
    ("O", "Mg", "Al", "Si", "Fe"),
    ("Fe", "Pt"),
    ("N", "Al", "Ga", "In"),
    ("O", "Si", "Hf"),
    ("S", "Cu", "Zn", "Sn"),
)

THREE = (
    {"name": "matrix", "atomic_percent": {"Al": 70.0, "Ti": 20.0, "Fe": 10.0}},
    {
        "name": "grain",
        "atomic_percent": {"Fe": 40.0, "Ni": 60.0},
        "shape": {"kind": "grains", "grain_nm": 40.0, "area_fraction": 0.3},
    },
    {
        "name": "layer",
        "atomic_percent": {"Ti": 50.0, "O": 50.0},
        "shape": {"kind": "layer", "width_nm": 40.0},
    },
)

#: To compare the elements with the data, a third of the time, changes nothing: they are known.
CHECK_NOTHING = settings.Identify(check=False)


def one_phase(run: int, counts: float) -> Simulate:
    """A specimen of one phase; its composition is drawn with the run's number."""
    elements = SYSTEMS[run % len(SYSTEMS)]
    system = {"Cu": 0.02} if "Cu" not in elements else {"Mo": 0.01}
    share = np.random.default_rng([17, run]).dirichlet(np.full(len(elements), 3.0))
    share = 0.02 + (1 - 0.02 * len(elements)) * share
    return Simulate(
        name=f"run{run}",
        seed=run,
        phases=({"name": "only", "atomic_percent": dict(zip(elements, 100 * share, strict=True))},),
        n_rows=8,
        n_columns=8,
        counts_per_pixel=counts / 64,
        physics={"system_fraction": system},
    )


def three_phases(run: int, absorption: bool) -> Simulate:
    """A map of three phases, 1e6 counts."""
    return Simulate(
        name=f"map{run}",
        seed=run,
        phases=THREE,
        n_rows=64,
        n_columns=64,
        pixel_nm=4.0,
        counts_per_pixel=1e6 / 64**2,
        physics={"absorption": absorption},
    )


def analyse(specimen: Simulate, density: bool = True):  # type: ignore[no-untyped-def]
    """Errors (at%) and z-scores by phase and element, NaN where not seen; whether limits hold."""
    made = simulate(specimen)
    truth = made.truth["atomic_percent"].to_pandas()
    film = {}
    if specimen.physics.absorption:
        film = {"thickness_nm": specimen.thickness.mean_nm}
        if density:
            mean = float(made.truth["mass_thickness"].mean())
            film["density_g_cm3"] = 1e6 * mean / specimen.thickness.mean_nm
    calibration = mlatem.calibrate(
        made.image,
        list(specimen.elements),
        system_elements=list(specimen.physics.system_fraction),
        identify=CHECK_NOTHING,
        **film,
    )
    dictionary = mlatem.edxs_dictionary(made.image, calibration)
    n_phases = len(specimen.phases)
    found = mlatem.factorize(made.image, dictionary, n_phases, calibration=calibration)
    table = mlatem.quantify(found, calibration=calibration)
    percent, sigma, limit, upper = (
        table.pivot(name).to_numpy()
        for name in ("atomic_percent", "sigma_stat", "detection_limit", "upper_limit")
    )
    truth = truth.reindex(columns=table.pivot().columns, fill_value=0.0).to_numpy()
    distance = np.abs(truth[:, None] - percent[None]).sum(axis=2)
    order = linear_sum_assignment(distance)[1]
    percent, sigma, limit, upper = (a[order] for a in (percent, sigma, limit, upper))
    seen = (truth > 0) & (percent > limit)
    error = np.where(seen, percent - truth, np.nan)
    holds = (truth <= upper)[np.isfinite(upper)]
    return error, error / sigma, holds


def report(label: str, groups: list) -> None:  # type: ignore[type-arg]
    """A row of the table; results of a group are of the same phases and elements."""
    results = list(itertools.chain.from_iterable(groups))
    z = np.concatenate([r[1][np.isfinite(r[1])] for r in results])
    error = np.concatenate([r[0][np.isfinite(r[0])] for r in results])
    holds = np.concatenate([r[2] for r in results])
    means, errors = [], []
    for group in groups:
        values = np.array([r[0] for r in group])
        n = np.maximum(np.isfinite(values).sum(axis=0), 1)
        means.append(np.nanmean(values, axis=0).ravel())
        errors.append((np.nanstd(values, axis=0) / np.sqrt(n)).ravel())
    bias, uncertainty = np.concatenate(means), np.concatenate(errors)
    worst = int(np.nanargmax(np.abs(bias)))
    limits = f"{holds.mean():.0%} of {holds.size}" if holds.size else ""
    print(
        f"| {label} | {len(results)} | {len(z)} | {bias[worst]:+.3f} ± {uncertainty[worst]:.3f} "
        f"| {np.sqrt(np.mean(error**2)):.3f} | {z.mean():+.2f} ± {z.std() / np.sqrt(len(z)):.2f} "
        f"| {z.std():.2f} | {np.mean(np.abs(z) > 2):.1%} | {limits} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="specimens of one phase")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many specimens before")
    parser.add_argument("--only", help="elements of the specimens of one phase, O-Si-Hf")
    parser.add_argument("--maps", type=int, default=20, help="maps of three phases")
    parser.add_argument("--counts", type=float, default=1e6, help="of a specimen of one phase")
    options = parser.parse_args()
    print(
        "| Specimens | Runs | Values | Largest bias of an element, at% | Rms error, at% | Mean z "
        "| Std of z | abs(z) > 2 | Limits that hold |\n|---|---|---|---|---|---|---|---|---|"
    )
    groups = []
    for place, elements in enumerate(SYSTEMS):
        stop = options.skip + options.runs
        runs = [n for n in range(options.skip, stop) if n % len(SYSTEMS) == place]
        if runs and options.only in (None, "-".join(elements)):
            groups.append([analyse(one_phase(run, options.counts)) for run in runs])
            report("-".join(elements), groups[-1:])
    if groups:
        report("all of one phase", groups)
    if options.maps:
        for label, absorption, density in (
            ("three phases", False, False),
            ("three absorbing phases", True, False),
            ("the same, mean density told", True, True),
        ):
            maps = [analyse(three_phases(run, absorption), density) for run in range(options.maps)]
            report(label, [maps])


if __name__ == "__main__":
    main()
