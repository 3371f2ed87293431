# SPDX-License-Identifier: GPL-3.0-or-later
"""Recall and false elements of the identification, on simulated materials and real spectra.

    python benchmarks/identify.py                     # the blind set
    python benchmarks/identify.py --set development   # the one on which thresholds were chosen
    python benchmarks/identify.py --real              # spectra in the folder MLATEM_TEST_DATA

A specimen is one of the materials of `materials.py` with random beam energy, thickness, continuum,
grid and stray lines, and with errors that the model does not know: families of lines by 8 %, width
by 2 %, offset by 2 eV, gain by 2e-4 (standard deviations), another law of the continuum, and sum
peaks. An element of at least 3 at% with a line in the window is to be found; one that is neither in
the specimen (in any amount) nor among the instrument's lines is false.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import materials
import numpy as np
from calibration import four_detectors, spectrum

import mlatem
from mlatem import settings
from mlatem.calibration.identification import Conditions, identify_spectrum
from mlatem.model import Identification
from mlatem.physics.detector import fwhm_ev
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.units import FWHM_PER_SIGMA

SETS = {
    "development": (materials.DEVELOPMENT, 1),
    "blind": (materials.BLIND, 20261128),
}
TOTALS = (1e4, 1e5, 1e6)
LEAST_PERCENT = 3.0
SYSTEM = ("Cu",)

REAL = {
    "FePt": "exspy/EDS_TEM_FePt_nanoparticles.hspy",
    "SrTiO3": "pyTEMlib/EDS-STO.emd",
    "ES-LP": "espm/88_ES-LP_G8_selection2_cropped2.hspy",
    "dust particle": "openNCEM/L2083_tilt_0.bcf",
}
#: Elements and instrument of spectra with a doubtful element, and where its lines lie, keV.
ALLOY = (("Au", "Pd", "Si", "O"), ("Cu", "Zr", "Al"), {"Hg La": 9.979, "Hg Lb": 11.856})
DUST = (
    ("Pt", "Fe", "Ti", "Mg", "O", "Si", "Ca", "Al", "Co", "Lu", "Ni"),
    ("Cu", "Ga", "Zr"),
    {"Os Lb": 10.42, "As Ka, Pb La": 10.545},
)


def identify(counts: np.ndarray, energy: np.ndarray, beam_energy_kev: float) -> Identification:
    """With defaults, as a user has it who knows nothing but the beam energy."""
    detector = settings.Detector()
    conditions = Conditions(
        beam_energy_kev,
        detector.take_off_angle_deg,
        detector.noise_ev,
        detector.fano,
        system_elements=SYSTEM,
    )
    return identify_spectrum(
        counts.astype(float), energy, conditions, edxs=settings.Edxs(), settings=OPTIONS
    )


OPTIONS = settings.Identify()


def expected(sample: materials.Sample) -> set[str]:
    """Elements of the specimen that have to be found."""
    least = settings.Edxs().energy_min_kev
    return {
        element
        for element, fraction in sample.fraction.items()
        if fraction >= LEAST_PERCENT / 100 - 1e-9 and materials.hardest_kev(sample, element) > least
    }


def judge(task: tuple[materials.Sample, float]):  # type: ignore[no-untyped-def]
    """Missed and false elements of one spectrum, each with its likelihood ratio; whose minors."""
    sample, total = task
    begun = time.process_time()
    result = identify(sample.counts(total), sample.energy, sample.beam_energy_kev)
    seconds = time.process_time() - begun
    ratio = {entry.element: entry.likelihood_ratio for entry in result.found}
    used = {entry.element for entry in result.found if entry.rank != "candidate"}
    wanted = expected(sample)
    missed = {element: ratio.get(element, 0.0) for element in sorted(wanted - used)}
    known = set(sample.fraction) | sample.instrument | set(SYSTEM)
    false = {element: ratio[element] for element in sorted(used - known)}
    label = f"{sample.formula} at {sample.beam_energy_kev:.0f} kV"
    weakest = {e: ratio[e] for e in wanted & used}
    minors = Counter(
        "specimen"
        if e.element in sample.fraction
        else "instrument"
        if e.element in known
        else "none"
        for e in result.found
        if e.rank == "minor"
    )
    return label, total, missed, {**false}, len(wanted), seconds, weakest, minors


def simulated(
    name: str, n_specimens: int, jobs: int, seed: int | None, totals: Sequence[float]
) -> None:
    """Print the figures of one set."""
    formulas, default_seed = SETS[name]
    samples = list(materials.samples(formulas, n_specimens, default_seed if seed is None else seed))
    tasks = [(sample, total) for total in totals for sample in samples]
    with ProcessPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(judge, tasks, chunksize=4))
    rows = defaultdict(list)
    for outcome in outcomes:
        label, total, missed, false, *_ = outcome
        rows[total].append(outcome)
        if missed or false:
            lost = ", ".join(f"{e} ({r:.0f})" for e, r in missed.items()) or "-"
            extra = ", ".join(f"{e} ({r:.0f})" for e, r in false.items()) or "-"
            print(f"{total:.0e}  {label:44s} missed {lost}; false {extra}")
    print(f"{name} set, {n_specimens} specimens, elements of at least {LEAST_PERCENT:g} at%")
    for total, judged in rows.items():
        n_wanted = sum(o[4] for o in judged)
        n_missed = sum(len(o[2]) for o in judged)
        n_false = sum(len(o[3]) for o in judged)
        weakest = sorted(r for o in judged for r in o[6].values())[:8]
        print(
            f"{total:.0e} counts: recall {100 * (1 - n_missed / n_wanted):.1f} % "
            f"({n_wanted - n_missed} of {n_wanted}), false elements {n_false / len(judged):.3f} a "
            f"spectrum, {np.median([o[5] for o in judged]):.2f} s (median, processor); "
            f"least ratios found {', '.join(f'{r:.0f}' for r in weakest)}"
        )
        minors = sum((o[7] for o in judged), Counter())
        print(
            "  minors: "
            + ", ".join(f"{minors[k]} of the {k}" for k in ("specimen", "instrument"))
            + f", {minors['none']} false"
        )


def sum_spectrum(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Counts and energies (keV) of the first signal of a file, which may be a single spectrum."""
    name = {".emd": "emd", ".hspy": "hspy", ".bcf": "bruker"}[path.suffix]
    signals = import_module(f"rsciio.{name}").file_reader(str(path))
    signal = next(s for s in signals if s["axes"][-1]["units"] == "keV")
    data = np.asarray(signal["data"])
    axis = signal["axes"][-1]
    counts = data.reshape(-1, data.shape[-1]).sum(axis=0, dtype=np.float64)
    return counts, axis["offset"] + axis["scale"] * np.arange(counts.size)


def real() -> None:
    """Print the elements of the real spectra."""
    folder = Path(os.environ["MLATEM_TEST_DATA"])
    for name, path in REAL.items():
        print_found(name, *sum_spectrum(folder / path))
    print_peaks(*sum_spectrum(folder / REAL["dust particle"]), *DUST)
    total, alone = four_detectors(folder)
    counts, energy = total["counts"].values.astype(float), total["energy"].values
    print_found("Au-Pd on silica", counts, energy)
    print_peaks(counts, energy, *ALLOY)
    for number, own in enumerate(alone.values.astype(float), start=1):
        print_found(f"Au-Pd on silica, detector {number}", own, energy)


def print_found(name: str, counts: np.ndarray, energy: np.ndarray) -> None:
    """Print the elements of one spectrum."""
    begun = time.process_time()
    result = identify(counts, energy, 200.0)
    seconds = time.process_time() - begun
    print(f"{name}: {counts.sum():.0f} counts, {result.deviance_per_bin:.2f}, {seconds:.1f} s")
    for rank in ("major", "minor", "candidate"):
        entries = [
            f"{e.element} ({'-' if e.counts is None else f'{e.counts:.0f}'}, "
            f"{e.likelihood_ratio:.0f})"
            for e in result.found
            if e.rank == rank
        ]
        print(f"  {rank}: {', '.join(entries) or '-'}")


def print_peaks(
    counts: np.ndarray,
    energy: np.ndarray,
    elements: Sequence[str],
    system: Sequence[str],
    places_kev: dict[str, float],
) -> None:
    """Print the counts of a free peak at each place, beside the calibrated model of elements."""
    data = spectrum(energy, counts.astype(np.int64))
    found = mlatem.calibrate(data, elements, system_elements=system, beam_energy_kev=200.0)
    dictionary = mlatem.edxs_dictionary(data, found)
    for name, place in places_kev.items():
        sigma = 1e-3 * fwhm_ev(place, found.noise_ev.value, found.fano.value) / FWHM_PER_SIGMA
        peak = np.exp(-0.5 * ((dictionary.energy - place) / sigma) ** 2)
        columns = np.vstack([dictionary.columns, peak / peak.sum()])
        fit = fit_counts(counts[found.window], columns)
        print(f"  free peak at {name}: {fit.coefficient[-1]:.0f} ± {fit.sigma[-1]:.0f} counts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="blind")
    parser.add_argument("--n", type=int, default=len(materials.BLIND) * 3)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--counts", type=float, nargs="+", default=TOTALS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--real", action="store_true")
    arguments = parser.parse_args()
    if arguments.real:
        real()
    else:
        simulated(arguments.set, arguments.n, arguments.jobs, arguments.seed, arguments.counts)
