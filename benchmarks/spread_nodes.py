# SPDX-License-Identifier: GPL-3.0-or-later
"""One map on Dask workers of three nodes of SLURM, started in an allocation or by dask-jobqueue.

    python benchmarks/spread_nodes.py --folder /tmp/spread

Takes the map of `benchmarks/spread.py`, and makes it where it is absent, brings up a virtual SLURM
(`tests/cluster/virtual_slurm.py`), and has each way start a worker on each node, and those denoise
and factorise. Processor time is that of the whole machine, which should be quiet. Needs SLURM's
daemons; dask-jobqueue is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import psutil
from distributed import Client
from spread import ROOT, STEPS, difference, prepare, result, work_whole

from mlatem.parallel.workers import spread_over

sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from dask_on_nodes import START_S, WORKER_MB, in_allocation
from virtual_slurm import PARTITION, VirtualSlurm, cluster, wait_until

HEAD = """\
| Step | Workers | Until they are there, s | Step, s | CPU, s | Abundances |
|---|---|---|---|---|---|"""
REFERENCE = "1 thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="Rows and columns of the map.")
    parser.add_argument("--channels", type=int, default=2048)
    parser.add_argument("--counts", type=float, default=50.0, help="Of a pixel.")
    options = parser.parse_args()
    folder = options.folder.resolve() / f"{options.side}x{options.side}x{options.channels}"
    prepare(folder, options.side, options.channels, options.counts)
    # Sockets have short paths.
    with tempfile.TemporaryDirectory(prefix="slurm") as place, cluster(Path(place)) as slurm:
        ways = ways_on(slurm, folder)
        print(HEAD)
        for step in STEPS:
            # Once for the compilation of kernels.
            work_whole(folder, step, REFERENCE, 1)
            for way, started in ways.items():
                measure(folder, step, way, started)


def ways_on(
    slurm: VirtualSlurm, folder: Path
) -> dict[str, Callable[[], AbstractContextManager[str]]]:
    """How workers are started: none, in an allocation, by dask-jobqueue."""

    @contextlib.contextmanager
    def scheduler(start: Callable[..., AbstractContextManager[Path]]) -> Iterator[str]:
        with start(slurm, folder) as file:
            yield str(file)

    ways: dict[str, Callable[[], AbstractContextManager[str]]] = {
        REFERENCE: partial(contextlib.nullcontext, "threads"),
        "allocation": partial(scheduler, in_allocation),
    }
    if importlib.util.find_spec("dask_jobqueue"):
        ways["dask-jobqueue"] = partial(scheduler, by_jobqueue)
    else:
        print("dask-jobqueue: SKIPPED, it is not installed: pip install dask-jobqueue")
    return ways


@contextlib.contextmanager
def by_jobqueue(slurm: VirtualSlurm, folder: Path) -> Iterator[Path]:
    """A scheduler in this process that submits each worker as a job; yields its file."""
    jobqueue = importlib.import_module("dask_jobqueue")
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    with (
        patch.dict(os.environ, slurm.environment),
        jobqueue.SLURMCluster(
            queue=PARTITION,
            cores=1,
            processes=1,
            memory=f"{WORKER_MB} MB",
            interface="lo",
            scheduler_options={"dashboard": False, "scheduler_file": str(file)},
            local_directory=str(folder),
            log_directory=str(folder),
        ) as workers,
    ):
        workers.scale(jobs=slurm.n_nodes)
        with Client(workers, set_as_default=False) as client:
            client.wait_for_workers(slurm.n_nodes, timeout=START_S)
            client.write_scheduler_file(str(file))
        yield file
    wait_until(lambda: not slurm.jobs(), START_S, "the end of the workers' jobs")


def measure(
    folder: Path, step: str, way: str, started: Callable[[], AbstractContextManager[str]]
) -> None:
    """Print a row of the table."""
    before, begun = cpu_of_machine(), time.perf_counter()
    with started() as dask:
        there = time.perf_counter()
        with spread_over(dask):
            work_whole(folder, step, way, 1)
        ended = time.perf_counter()
    cpu = cpu_of_machine() - before
    same = ""
    if step == "factorize" and way != REFERENCE:
        same = difference(result(folder, REFERENCE), result(folder, way))
    times = f"{there - begun:.1f} | {ended - there:.1f} | {cpu:.1f}"
    print(f"| {step} | {way} | {times} | {same} |", flush=True)


def cpu_of_machine() -> float:
    """Seconds of all processors so far."""
    used = psutil.cpu_times()
    return used.user + used.nice + used.system


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
