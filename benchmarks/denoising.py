# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of denoised maps against their truth, rare phases, false axes; time and memory.

    python benchmarks/denoising.py accuracy --seeds 3
    python benchmarks/denoising.py null --fields 20
    python benchmarks/denoising.py speed --hyperspy-python path/to/python --large

Maps of `denoising_cases.py`: 128 x 128 pixels, 1024 channels, a phase of zirconia on 16 pixels.
"chi2" is the squared error over the mean spectrum, summed over channels, mean of the pixels: as
many as there are channels for counts as they are. "rare" is the part of the true counts in the
Zr K alpha line of the 16 pixels that is kept. Weighted PCA: M. Keenan and P. Kotula, Surf.
Interface Anal. 36 (2004) 203, with the rank of the truth.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from denoising_cases import Case, case, dictionary

import mlatem
from mlatem.api.denoising import all_lines, denoise
from mlatem.denoising.rank import low_rank
from mlatem.denoising.rare_axes import directions, find, is_significant
from mlatem.model import Basis
from mlatem.parallel.arenas import share_one_arena
from mlatem.passes import TileSource, statistics_pass
from mlatem.passes.rare_axes import rare_sums
from mlatem.settings import Denoise

DOSES = (20, 100, 500)
TRUE_RANK = 5
#: What `denoise` takes of a calibration: the detector of the simulation.
CALIBRATION = SimpleNamespace(
    beam_energy_kev=SimpleNamespace(value=200.0),
    noise_ev=SimpleNamespace(value=50.0),
    fano=SimpleNamespace(value=0.118),
)


def weighted_pca(counts: np.ndarray, rank: int) -> np.ndarray:
    """Spectra (n_pixels, n_energy) of the given rank, each entry weighted by its mean."""
    flat = counts.reshape(-1, counts.shape[2]).astype(np.float64)
    pixel, channel = flat.sum(axis=1), flat.sum(axis=0)
    scale = np.sqrt(np.outer(pixel, channel) / flat.sum())
    whitened = np.divide(flat, scale, out=np.zeros_like(flat), where=scale > 0)
    _, vectors = np.linalg.eigh(whitened.T @ whitened)
    axes = vectors[:, -rank:]
    return (whitened @ axes) @ axes.T * scale


def errors(estimate: np.ndarray, specimen: Case) -> tuple[float, float]:
    """chi2 per pixel, and the part of the rare line that is kept."""
    truth = specimen.expected()
    estimate = estimate.reshape(truth.shape)
    chi2 = float(np.sum((estimate - truth) ** 2 / truth.mean(axis=0)) / len(truth))
    line = np.ix_(specimen.rare.ravel(), specimen.rare_line())
    return chi2, float(estimate[line].sum() / truth[line].sum())


def estimates(specimen: Case, counts: np.ndarray):
    """Name, spectra and rank of every method."""
    yield "counts as they are", counts, None
    binned = counts.reshape(64, 2, 64, 2, -1).mean(axis=(1, 3), dtype=np.float32)
    yield "binning 2 x 2", np.kron(binned, np.ones((2, 2, 1), dtype=np.float32)), None
    yield "weighted PCA, rank of the truth", weighted_pca(counts, TRUE_RANK), TRUE_RANK
    wrong = np.rot90(specimen.haadf).copy()
    for name, without, guide, options in (
        ("low rank, not smoothed", (), None, Denoise(spatial="none", held_out=False)),
        ("low rank, total variation", (), None, Denoise(spatial="total_variation", held_out=False)),
        ("low rank", (), None, Denoise(held_out=False)),
        ("low rank, guided by HAADF", (), specimen.haadf, Denoise(held_out=False)),
        ("low rank, guided by HAADF turned by 90 degrees", (), wrong, Denoise(held_out=False)),
        (
            "low rank without the search in few pixels",
            (),
            None,
            Denoise(held_out=False, rare=False),
        ),
        ("low rank, Zr not in the dictionary", ("Zr",), None, Denoise(held_out=False)),
    ):
        known = dictionary(without=without)
        product = denoise(counts, known, calibration=CALIBRATION, settings=options, guide=guide)
        yield name, mlatem.reconstruct(product).values, product.sizes["axis"]


def accuracy(doses: list[int], n_seeds: int, first: int) -> None:
    print("| counts per pixel | method | axes | chi2 | rare |\n|---|---|---|---|---|")
    for dose in doses:
        found: dict[str, list[tuple[float, float, int | None]]] = {}
        for seed in range(first, first + n_seeds):
            specimen = case(dose, seed)
            for name, estimate, rank in estimates(specimen, specimen.counts(seed)):
                found.setdefault(name, []).append((*errors(estimate, specimen), rank))
        for name, values in found.items():
            chi2, rare = (np.array([v[i] for v in values]) for i in (0, 1))
            ranks = sorted({str(v[2]) for v in values if v[2] is not None})
            print(
                f"| {dose} | {name} | {', '.join(ranks)} | {chi2.mean():.2f} "
                f"({chi2.min():.2f} to {chi2.max():.2f}) | {rare.mean():.2f} "
                f"({rare.min():.2f} to {rare.max():.2f}) |",
                flush=True,
            )


def null(n_fields: int, first: int) -> None:
    """Fields without the rare phase: axes beyond those of the four phases.

    Once as simulated, where absorption changes the spectra of a phase with its thickness and the
    grid adds the same counts everywhere, and once with one spectrum for each phase and its share of
    the grid, where there are four axes and no more. "fifth" is the fifth eigenvalue of the expected
    counts over the noise edge, the least and the most of the fields with so many axes: what is
    real. The last column is the largest significance of all elements, squares and
    thresholds in any of the fields, and the range of the fields' largest.
    """
    print(
        "| counts per pixel | spectra of a phase | fields | axes in the span, fifth | outside | "
        "in few pixels | largest sigma |"
    )
    print("|---|---|---|---|---|---|---|")
    known = dictionary()
    lines = all_lines(known, CALIBRATION, None)
    for dose, varies in ((20, True), (100, True), (20, False), (100, False)):
        rows = []
        for seed in range(first, first + n_fields):
            specimen = case(dose, seed, has_rare=False, one_spectrum=not varies)
            counts = specimen.counts(seed)
            source = TileSource.for_dictionary(counts, known).kept_in_memory()
            basis = low_rank(statistics_pass(source), known)
            searched = directions(basis, known, lines)
            largest, _ = find(rare_sums(source, searched, basis), searched, known)
            n_inside, n_rare = int(basis.in_span.sum()), int(is_significant(largest))
            true = true_strength(basis, specimen)
            rows.append((n_inside, true, basis.rank - n_inside, n_rare, largest.significance))
        inside, parts, outside, few, sigma = zip(*rows, strict=True)
        counted = ", ".join(
            f"{len(of)} with {k} ({min(of):.2f} to {max(of):.2f})"
            for k in sorted(set(inside))
            for of in [[part for n, part in zip(inside, parts, strict=True) if n == k]]
        )
        print(
            f"| {dose} | {'by thickness' if varies else 'one'} | {n_fields} | {counted} "
            f"| {sum(outside)} | {sum(few)} "
            f"| {max(sigma):.1f}, of each {min(sigma):.1f} to {max(sigma):.1f} |",
            flush=True,
        )


def true_strength(basis: Basis, specimen: Case) -> float:
    """Fifth eigenvalue of the expected counts over the noise edge in the span."""
    expected = specimen.expected()
    whitened = expected * basis.weights / np.sqrt(expected.sum(axis=1, keepdims=True))
    return float(np.linalg.eigvalsh(whitened.T @ whitened)[-5] / basis.edge_in_span)


SIDE, N_ENERGY, SPEED_DOSE = 256, 2048, 100
#: Run by an interpreter of its own for each method: prints CPU seconds and peak MB.
HYPERSPY = """
import re, sys, time
from pathlib import Path
import dask.array as da, hyperspy.api as hs, numpy as np
path, way = sys.argv[1:3]
start = time.process_time()
lazy = da.from_zarr(path)
if way == "lazy":
    s = hs.signals.Signal1D(lazy.astype("float32")).as_lazy()
else:
    s = hs.signals.Signal1D(lazy.compute(scheduler="synchronous").astype("float32"))
options = {"svd": {}, "randomized": {"svd_solver": "randomized", "output_dimension": 10},
           "lazy": {"output_dimension": 10}}[way]
s.decomposition(normalize_poissonian_noise=True, print_info=False, **options)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(time.process_time() - start, int(peak) / 1e3)
"""


def run_ours(path: str, way: str, threads: int) -> None:
    """CPU seconds and peak MB of a denoising from a store to a store; compiled beforehand."""
    import zarr

    share_one_arena()
    counts = zarr.open_array(path, mode="r")
    n_energy = counts.shape[2]
    known = dictionary(n_energy)
    options = Denoise() if way == "all" else Denoise(held_out=False, rare=False)
    warm = case(20, 0, side=32, n_energy=n_energy).counts(0)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "lowrank.zarr"
        for cube in (warm, counts):
            start = time.process_time()
            denoise(
                cube,
                known,
                calibration=CALIBRATION,
                settings=options,
                path=target,
                threads=threads,
            )
            seconds = time.process_time() - start
    # Not ru_maxrss: a process that is started inherits that of its parent.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    print(seconds, int(peak) / 1e3)


def write_store(path: Path, repeats: int, n_energy: int = N_ENERGY) -> None:
    """The map of the benchmark, several times side by side, in chunks of whole spectra."""
    import zarr

    counts = case(SPEED_DOSE, 1, side=SIDE, n_energy=n_energy).counts(1)
    shape = (SIDE * repeats, SIDE * repeats, n_energy)
    array = zarr.create_array(path, shape=shape, chunks=(64, 64, n_energy), dtype=counts.dtype)
    for y in range(repeats):
        for x in range(repeats):
            array[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE] = counts


def speed(hyperspy: str | None, large: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.zarr"
        write_store(path, 1)
        print(f"{SIDE} x {SIDE} x {N_ENERGY}, {SPEED_DOSE} counts per pixel; one thread")
        print("| method | CPU s | peak MB |\n|---|---|---|")
        _row("this, basis, scores, wavelets", _own(path, "core"))
        _row("this, with search in few pixels and held-out check", _own(path, "all"))
        if hyperspy is None:
            print("HyperSpy is not measured: name an interpreter that has it, --hyperspy-python")
        for way in ("svd", "randomized", "lazy") if hyperspy else ():
            _row(f"HyperSpy, {way}", [str(hyperspy), "-c", HYPERSPY, str(path), way])
        if large:
            big = Path(folder) / "big.zarr"
            write_store(big, 4)
            _row("this, 1024 x 1024, core", _own(big, "core"))
            _row("this, 1024 x 1024, all", _own(big, "all"))


def memory(channels: list[int], workers: list[int]) -> None:
    """Peaks, some 300 MB of libraries within, beside (workers + 4) * (8 E^2 + tile).

    E is the number of channels, a tile 64 x 128 pixels of one byte a count. No matrix is formed
    from 4096 channels on.
    """
    print(f"{SIDE} x {SIDE} pixels, {SPEED_DOSE} counts per pixel; basis, scores, wavelets")
    print("| channels | workers | CPU s | peak MB | formula MB |")
    print("|---|---|---|---|---|")
    for n_energy in channels:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "map.zarr"
            write_store(path, 1, n_energy)
            for n in workers:
                seconds, peak = _measured(_own(path, "core", n))
                formula = (n + 4) * (8 * n_energy**2 + 64 * 128 * n_energy) / 1e6
                print(
                    f"| {n_energy} | {n} | {seconds:.1f} | {peak:.0f} | {formula:.0f} |",
                    flush=True,
                )


def _own(path: Path, way: str, threads: int = 1) -> list[str]:
    return [sys.executable, __file__, "ours", str(path), way, "--threads", str(threads)]


def _row(name: str, command: list[str]) -> None:
    try:
        seconds, peak = _measured(command)
    except RuntimeError as error:
        print(f"| {name} | failed: {error} | |", flush=True)
        return
    print(f"| {name} | {seconds:.1f} | {peak:.0f} |", flush=True)


def _measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak MB that a command prints last."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **threads}, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    of_accuracy = parts.add_parser("accuracy")
    of_accuracy.add_argument("--seeds", type=int, default=3)
    of_accuracy.add_argument("--doses", type=int, nargs="+", default=list(DOSES))
    of_null = parts.add_parser("null")
    of_null.add_argument("--fields", type=int, default=20)
    for one in (of_accuracy, of_null):
        one.add_argument("--first-seed", type=int, default=1)
    of_speed = parts.add_parser("speed")
    of_speed.add_argument(
        "--hyperspy-python", help="of an environment with HyperSpy, scikit-learn and zarr"
    )
    of_speed.add_argument("--large", action="store_true", help="1024 x 1024 pixels too")
    of_memory = parts.add_parser("memory")
    of_memory.add_argument("--channels", type=int, nargs="+", default=[1024, 2048, 4096])
    of_memory.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    of_ours = parts.add_parser("ours")
    of_ours.add_argument("path")
    of_ours.add_argument("way")
    of_ours.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.part == "accuracy":
        accuracy(chosen.doses, chosen.seeds, chosen.first_seed)
    elif chosen.part == "null":
        null(chosen.fields, chosen.first_seed)
    elif chosen.part == "memory":
        memory(chosen.channels, chosen.workers)
    elif chosen.part == "ours":
        run_ours(chosen.path, chosen.way, chosen.threads)
    else:
        speed(chosen.hyperspy_python, chosen.large)


if __name__ == "__main__":
    main()
