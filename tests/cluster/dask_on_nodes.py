# SPDX-License-Identifier: GPL-3.0-or-later
"""A Dask scheduler, and a worker on every node, as the documentation starts them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from distributed import Client
from virtual_slurm import VirtualSlurm, wait_until

#: What a worker asks for.
WORKER_MB = 2000
START_S = 120.0
_NAME = "workers"
_DASK = Path(sys.executable).with_name("dask")


@contextlib.contextmanager
def in_allocation(slurm: VirtualSlurm, folder: Path) -> Iterator[Path]:
    """Scheduler and workers within an allocation, by the commands of `docs/how-to/cluster.md`.

    Yields the scheduler's file.
    """
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    commands = (
        f"{_DASK} scheduler --scheduler-file {file} --no-dashboard &\n"
        f"srun {_DASK} worker --scheduler-file {file} --nthreads 1 --no-dashboard\n"
        "kill %1"
    )
    nodes, tasks = f"--nodes={slurm.n_nodes}", f"--ntasks={slurm.n_nodes}"
    salloc = [
        "salloc",
        "--job-name",
        _NAME,
        nodes,
        tasks,
        "--cpus-per-task=1",
        f"--mem-per-cpu={WORKER_MB}",
    ]
    with (folder / "dask.out").open("w") as out:
        process = subprocess.Popen(
            [*salloc, "bash", "-c", commands],
            env=slurm.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(file.exists, START_S, "the scheduler")
        _wait_for_workers(file, slurm.n_nodes)
        yield file
    finally:
        slurm.run("scancel", "--name", _NAME)
        process.wait(START_S)


def _wait_for_workers(file: Path, number: int) -> None:
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(number, timeout=START_S)
