# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy, time and memory of the factorisation, beside espm's in the same run.

    python benchmarks/factorization.py --folder /tmp/factorization

Parts (--only NAME, any number of times):

- accuracy: the four cases of espm's simulator in the folder that MLATEM_TEST_BENCH names, with the
  default settings, over several seeds;
- kernels: nanoseconds an event and sweep for 2 to 16 phases;
- iteration: one multiplicative iteration with its loss on 256 x 256 x 2048, 100 counts a pixel,
  4 phases, ours and espm's from the same start;
- answer: from counts to phases on the same map, against espm to the same angle;
- large: 1024 x 1024 x 2048 with 100 counts a pixel, read from a store.

Times are those of the processor (process_time), which other work on the machine disturbs less than
the clock; one thread unless said otherwise. espm is installed by pip into an environment in the
folder, and needed for nothing else. What is in the folder already is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import zarr
from factorization_cases import (
    BENCH,
    N_PHASES,
    NAMES,
    Case,
    Truth,
    matched,
    simulated,
    write_counts,
)
from factorization_scripts import ESPM, OURS

import mlatem
from mlatem.factorization.multiplicative import update, update_with_loss
from mlatem.kernels import poisson
from mlatem.kernels.lanes import padded, pattern
from mlatem.model import SparseCounts

ESPM_PACKAGES = ("espm==1.1.3", "hyperspy==2.2.0", "exspy==0.3.1")
_REPEATS = 5
_MAX_ITERATIONS = 600


def accuracy(options: argparse.Namespace) -> None:
    """Errors of the blind answer on the cases of espm's simulator."""
    if not BENCH.exists():
        print(f"no folder {BENCH}: name the one with the cases in MLATEM_TEST_BENCH; left out")
        return
    print("| Case | Angle, deg | at%, mean | at%, max | Abundance mse | Smoothed | CPU, s |")
    print("|---|---|---|---|---|---|---|")
    for name in NAMES:
        case = Case.load(name)
        rows = []
        for seed in range(options.seeds):
            begun = time.process_time()
            result = mlatem.factorize(case.counts, case.dictionary, len(case.spectrum), seed=seed)
            seconds = time.process_time() - begun
            found = [result[key].values for key in ("spectrum", "coefficient")]
            plain = case.errors(*found, result["abundance"].values)
            smooth = case.errors(*found, result["abundance_smooth"].values)
            rows.append((*plain, smooth[-1], seconds))
        low, high = np.min(rows, axis=0), np.max(rows, axis=0)
        cells = [f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def kernels(options: argparse.Namespace) -> None:
    """Nanoseconds an event of the sweeps over 32768 pixels of the simulated map."""
    truth = simulated(256)
    counts = _sparse(write_counts(truth, options.folder / "256.zarr"))
    pixels = 32768
    stop = counts.pointer[pixels]
    events = (counts.pointer[: pixels + 1], counts.channel[:stop], counts.count[:stop])
    random = np.random.default_rng(0)
    print("| Phases | Abundances, ns | Spectra, ns | Loss, ns |")
    print("|---|---|---|---|")
    for n_phases in (2, 4, 6, 8, 12, 16):
        spectrum = random.dirichlet(np.ones(counts.n_energy), n_phases).T.astype(np.float32)
        abundance = random.uniform(1, 50, (pixels, n_phases)).astype(np.float32)
        cells = (
            _least(poisson.sweep, *events, padded(spectrum), padded(abundance), pattern(n_phases)),
            _least(poisson.spectrum_gain, *events, spectrum, abundance),
            _least(poisson.loss, *events, spectrum, abundance),
        )
        print(f"| {n_phases} | " + " | ".join(f"{c / stop * 1e9:.2f}" for c in cells) + " |")


def iteration(options: argparse.Namespace) -> None:
    """One iteration with its loss, ours and espm's, from the same start."""
    truth = simulated(256)
    store = write_counts(truth, options.folder / "256.zarr")
    counts = _sparse(store)
    start = _start(counts, truth)
    columns = truth.dictionary.columns
    n_iterations = 4
    theirs = _espm(options, "iterate", truth, store, start, n_iterations)

    def run() -> tuple[np.ndarray, np.ndarray]:
        state = start
        for _ in range(n_iterations):
            *state, _loss_before = update_with_loss(counts, columns, *state)
        return tuple(state)

    ours = _least(run) / n_iterations
    off = _loss(counts, columns, *run()) / theirs["loss"] - 1
    print(f"espm {theirs['version']} in float64: {theirs['seconds']:.2f} s an iteration")
    print(f"MLATEM: {1e3 * ours:.1f} ms an iteration; {theirs['seconds'] / ours:.0f} times as fast")
    print(f"loss after {n_iterations} iterations: relative difference {off:.1e}")
    print(f"peak of memory of espm: {theirs['peak_gb']:.2f} GB", flush=True)


def answer(options: argparse.Namespace) -> None:
    """Counts to phases at default settings, against espm to the same angle."""
    truth = simulated(256)
    store = write_counts(truth, options.folder / "256.zarr")
    ours = _ours(store, truth, options, threads=1)
    counts = _sparse(store)
    start_file = _espm(options, "start", truth, store, None, 0)
    with np.load(start_file["saved"]) as file:
        state = (file["abundance"], file["weight"])
    theirs = _espm(options, "iterate", truth, store, state, 4)
    print(f"MLATEM: {ours['cpu']:.2f} s, to a mean angle of {ours['angle']:.2f} deg")
    print(f"peak of memory: {ours['peak_gb']:.2f} GB; tiles read {ours['passes']:.2f} times")
    print(f"espm {theirs['version']}: {theirs['seconds']:.2f} s an iteration; how many it needs is")
    print("counted with our own updates, which are the same (part iteration):")
    lifted = np.maximum(state[1], 1e-3), np.maximum(state[0], 1e-3 * state[0].mean())
    starts = {"its own start": state, "its start lifted to 1e-3": lifted[::-1]}
    for name, start in starts.items():
        needed, best = _iterations_to(ours["angle"], counts, truth, start)
        seconds = theirs["seconds"] * needed
        reached = "to the same angle" if best <= ours["angle"] else f"to {best:.2f} deg at best"
        print(
            f"from {name}: {needed} iterations {reached}, {seconds:.0f} s, "
            f"{seconds / ours['cpu']:.0f} times as long",
            flush=True,
        )


def _iterations_to(
    angle: float, counts: SparseCounts, truth: Truth, state: tuple[np.ndarray, np.ndarray]
) -> tuple[int, float]:
    """Updates until the mean angle is reached, or the most that are tried; the least angle."""
    columns, needed, best = truth.dictionary.columns, 0, np.inf
    while needed < _MAX_ITERATIONS and best > angle:
        state = update(counts, columns, *state)
        needed += 1
        found = matched(truth.spectrum, state[1] @ columns)[1].mean()
        best = min(best, float(found))
    return needed, best


def large(options: argparse.Namespace) -> None:
    """A map that does not fit into memory as a cube."""
    truth = simulated(options.size)
    store = write_counts(truth, options.folder / f"{options.size}.zarr")
    result = _ours(store, truth, options, threads=2)
    print(
        f"{options.size} x {options.size} x 2048, 2 threads: {result['wall']:.1f} s, "
        f"{result['cpu']:.1f} s of the processor, peak {result['peak_gb']:.2f} GB, "
        f"mean angle {result['angle']:.2f} deg, tiles read {result['passes']:.2f} times",
        flush=True,
    )


def _ours(store: Path, truth: Truth, options: argparse.Namespace, threads: int) -> dict[str, float]:
    """A factorisation in a process of its own, with what it took and how far it is off."""
    saved = options.folder / "dictionary.npz"
    dictionary = truth.dictionary
    np.savez(saved, columns=dictionary.columns, energy=dictionary.energy, truth=truth.spectrum)
    for n_threads in (0, threads):  # the first fills numba's cache: compiling takes memory
        arguments = [str(store), str(saved), str(N_PHASES), str(n_threads)]
        result = _child(Path(sys.executable), OURS, [*arguments, str(Path(__file__).parent)])
    return result


def _espm(
    options: argparse.Namespace,
    task: str,
    truth: Truth,
    store: Path,
    start: tuple[np.ndarray, np.ndarray] | None,
    n_iterations: int,
) -> dict[str, object]:
    """espm in a process of its own, in the environment made for it."""
    dense = options.folder / "256.npy"
    if not dense.exists():
        np.save(dense, zarr.open_array(store, mode="r")[:].reshape(-1, 2048))
    given = {} if start is None else {"abundance": start[0], "weight": start[1]}
    saved = options.folder / "espm.npz"
    np.savez(saved, columns=truth.dictionary.columns, **given)
    python = _environment(options.folder)
    arguments = [task, str(dense), str(saved), str(n_iterations), str(N_PHASES)]
    return {**_child(python, ESPM, arguments), "saved": str(saved)}


def _child(python: Path, script: str, arguments: list[str]) -> dict[str, float]:
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _environment(folder: Path) -> Path:
    """The Python of an environment with espm, made where there is none."""
    python = folder / "espm" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "espm", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ESPM_PACKAGES], check=True)
    return python


def _sparse(store: Path) -> SparseCounts:
    counts = zarr.open_array(store, mode="r")
    return SparseCounts.from_dense(counts[:], np.arange(counts.shape[0] * counts.shape[1]))


def _start(counts: SparseCounts, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """A start that favours nobody: random weights, even abundances."""
    columns = truth.dictionary.columns
    weight = np.random.default_rng(2).dirichlet(np.ones(len(columns)), N_PHASES)
    even = np.repeat(counts.pixel_totals()[:, None] / N_PHASES, N_PHASES, axis=1)
    return even.astype(np.float32), weight


def _loss(
    counts: SparseCounts, columns: np.ndarray, abundance: np.ndarray, weight: np.ndarray
) -> float:
    spectrum = np.ascontiguousarray((weight @ columns).T, dtype=np.float32)
    events = (counts.pointer, counts.channel, counts.count)
    return float(poisson.loss(*events, spectrum, abundance).sum())


def _least(work: Callable[..., object], *arguments: object) -> float:
    """Least seconds of the processor of several runs, the first of which may compile."""
    work(*arguments)
    seconds = []
    for _ in range(_REPEATS):
        begun = time.process_time()
        work(*arguments)
        seconds.append(time.process_time() - begun)
    return min(seconds)


PARTS = {part.__name__: part for part in (accuracy, kernels, iteration, answer, large)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keeps maps and environment; else temporary")
    parser.add_argument("--only", action="append", choices=PARTS, help="these parts alone")
    parser.add_argument("--seeds", type=int, default=4, help="of the part accuracy")
    parser.add_argument("--size", type=int, default=1024, help="of the part large")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
        for name in options.only or PARTS:
            print(f"\n{name}\n")
            PARTS[name](options)


if __name__ == "__main__":
    main()
