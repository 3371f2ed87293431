# SPDX-License-Identifier: GPL-3.0-or-later
"""One map on threads, on processes, on a Dask scheduler's workers, and in jobs on blocks.

    python benchmarks/spread.py --folder /tmp/spread

Simulates a map, converts and calibrates it, and has each way denoise and factorise it: processor
time and memory are those of all processes together (memory as the kernel divides what they share),
and the factorisation is compared with that of threads. What is in the folder already is used again.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import yaml

import mlatem
from mlatem import settings
from mlatem.io.datasets import load_dataset
from mlatem.parallel.workers import spread_over
from mlatem.sheet import DatasetRow

ROOT = Path(__file__).resolve().parents[1]
ELEMENTS = "O,Si,Ti,Fe"
FACTORIZE = settings.Factorize(n_phases=3)
#: Name, where tiles are worked on, number at a time.
WAYS = {
    "1 thread": ("threads", 1),
    "2 threads": ("threads", 2),
    "2 processes": ("processes", 2),
    "scheduler, 2 workers": ("scheduler", 2),
    "2 blocks": ("blocks", 2),
}
STEPS = ("denoise", "factorize")
HEAD = """\
| Step | Way | Time, s | CPU, s | Peak, MB | Largest process, MB | Abundances |
|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="Rows and columns of the map.")
    parser.add_argument("--channels", type=int, default=2048)
    parser.add_argument("--counts", type=float, default=50.0, help="Of a pixel.")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--job", nargs=2, metavar=("STEP", "WAY"), help=argparse.SUPPRESS)
    parser.add_argument("--block", nargs=2, metavar=("STAGE", "BLOCK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder / f"{options.side}x{options.side}x{options.channels}"
    if options.block:
        work_on_block(folder, *options.block)
    elif options.job:
        work(folder, *options.job)
    else:
        compare(folder, options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Print the table."""
    for side in {32, options.side}:  # the small one, for kernels to be compiled
        small = options.folder / f"{side}x{side}x{options.channels}"
        prepare(small, side, options.channels, options.counts)
    for step in options.steps:
        run(options, step, "1 thread", side=32)
    print(HEAD)
    for step in options.steps:
        for way in options.ways:
            if step == "denoise" and WAYS[way][0] == "blocks":
                continue  # its sums are those of one job
            seconds, cpu, peak, largest = run(options, step, way, side=options.side)
            same = ""
            if step == "factorize":
                same = difference(result(folder, "1 thread"), result(folder, way))
            figures = f"{seconds:.0f} | {cpu:.1f} | {peak:.0f} | {largest:.0f}"
            print(f"| {step} | {way} | {figures} | {same} |", flush=True)


def prepare(folder: Path, side: int, channels: int, counts: float) -> None:
    """Simulate, convert and calibrate the map."""
    if (folder / "calibration.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    small = yaml.safe_load((ROOT / "examples" / "specimens" / "small.yaml").read_text())
    small |= {"n_rows": side, "n_columns": side, "n_channels": channels, "channel_ev": 10.0}
    (folder / "map.yaml").write_text(yaml.safe_dump({**small, "counts_per_pixel": counts}))
    mlatem.simulate(folder / "map.yaml", folder / "raw", name="map")
    mlatem.convert(folder / "raw" / "map.hspy", folder / "spim.zarr")
    from mlatem.steps.calibrate import calibrate

    cells = {"dataset": "map", "path": "x", "elements": ELEMENTS, "thickness_nm": "40"}
    calibrate(
        folder / "spim.zarr",
        calibration=folder / "calibration.json",
        row=DatasetRow.from_strings(cells),
        edxs=settings.Edxs(),
        settings=settings.Calibrate(),
    )


def run(
    options: argparse.Namespace, step: str, way: str, *, side: int
) -> tuple[float, float, float, float]:
    """Seconds, those of the processor, and MB: of all processes at once, of the largest."""
    command = [sys.executable, __file__, "--folder", str(options.folder), "--side", str(side)]
    command += ["--channels", str(options.channels), "--job", step, way]
    before, begun = cpu_of_children(), time.perf_counter()
    with subprocess.Popen(command) as process:
        peak = largest = 0.0
        while process.poll() is None:
            sizes = [mb(one) for one in tree(process.pid)]
            peak, largest = max(peak, sum(sizes)), max(largest, *sizes, 0.0)
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{step}, {way}: failed")
    return time.perf_counter() - begun, cpu_of_children() - before, peak, largest


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def mb(process: psutil.Process) -> float:
    """Memory of a process, with its share of what it shares, MB."""
    with suppress(psutil.Error):
        return process.memory_full_info().pss / 1e6
    return 0.0


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def work(folder: Path, step: str, way: str) -> None:
    """A step, as a job of the workflow."""
    dask, n_workers = WAYS[way]
    if dask == "blocks":
        factorize_in_blocks(folder)
        return
    threads = n_workers if dask == "threads" else 1
    with place(dask, folder) as address, spread_over(address, n_workers=n_workers):
        work_whole(folder, step, way, threads)


@contextmanager
def place(dask: str, folder: Path) -> Iterator[str]:
    """What `spread_over` takes; a scheduler with two workers where one is asked for."""
    if dask != "scheduler":
        yield dask
        return
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    start = [sys.executable, "-m"]
    end = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = [*start, "distributed.cli.dask_scheduler", *end, "--port", "0"]
    worker = [*start, "distributed.cli.dask_worker", *end, "--nthreads", "1", "--no-nanny"]
    commands = [[*scheduler, "--host", "127.0.0.1"], worker, worker]
    started = [subprocess.Popen(one, stderr=subprocess.DEVNULL) for one in commands]
    try:
        while not file.exists():
            time.sleep(0.1)
        yield str(file)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def work_whole(folder: Path, step: str, way: str, threads: int) -> None:
    from mlatem.steps.denoise import denoise
    from mlatem.steps.factorize import factorize

    store, calibration = folder / "spim.zarr", folder / "calibration.json"
    if step == "denoise":
        denoise(
            store,
            calibration,
            lowrank=folder / "lowrank.zarr",
            edxs=settings.Edxs(),
            settings=settings.Denoise(),
            threads=threads,
        )
    else:
        factorize(
            store,
            calibration,
            folder / "lowrank.zarr",
            factorization=result(folder, way),
            edxs=settings.Edxs(),
            settings=FACTORIZE,
            threads=threads,
        )


def factorize_in_blocks(folder: Path) -> None:
    """The jobs of the workflow on two blocks, each a process with one thread."""
    blocks = ("1-of-2", "2-of-2")
    for stage in ("place", "pool", "solve", "fit", "merge"):
        running: list[subprocess.Popen] = []
        for block in blocks if stage in ("pool", "fit") else ("1-of-1",):
            channels = folder.name.split("x")
            command = [sys.executable, __file__, "--folder", str(folder.parent)]
            command += ["--side", channels[0], "--channels", channels[2], "--block", stage, block]
            running.append(subprocess.Popen(command))
        for process in running:
            if process.wait():
                raise SystemExit(f"{stage}: failed")


def work_on_block(folder: Path, stage: str, block: str) -> None:
    from mlatem.steps import blocks

    store, calibration = folder / "spim.zarr", folder / "calibration.json"
    regions, compositions = folder / "regions.npz", folder / "compositions.npz"
    edxs = settings.Edxs()

    def files(name: str) -> list[Path]:
        return [folder / f"{name}-{number}-of-2.npz" for number in (1, 2)]

    stages: dict[str, Callable[[], None]] = {
        "place": lambda: blocks.place_regions(
            store,
            calibration,
            folder / "lowrank.zarr",
            regions=regions,
            edxs=edxs,
            settings=FACTORIZE,
        ),
        "pool": lambda: blocks.pool_regions(
            store, regions, sums=folder / f"sums-{block}.npz", block=block
        ),
        "solve": lambda: blocks.solve_compositions(
            store,
            calibration,
            regions,
            files("sums"),
            compositions=compositions,
            edxs=edxs,
            settings=FACTORIZE,
        ),
        "fit": lambda: blocks.fit_abundances(
            store, compositions, abundances=folder / f"fit-{block}.npz", block=block
        ),
        "merge": lambda: blocks.merge(
            store, compositions, files("fit"), factorization=result(folder, "2 blocks")
        ),
    }
    stages[stage]()


def result(folder: Path, way: str) -> Path:
    """The factorisation that a way wrote."""
    return folder / f"factorization-{way.replace(' ', '-').replace(',', '')}.zarr"


def difference(one: Path, other: Path) -> str:
    """How far two factorisations are apart."""
    if not one.exists():
        return "-"
    first, second = (load_dataset(path)["abundance"].to_numpy() for path in (one, other))
    if np.array_equal(first, second, equal_nan=True):
        return "identical"
    return f"differ by {np.nanmax(np.abs(first - second)) / np.nanmax(first):.0e}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
