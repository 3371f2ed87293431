# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that happen to the jobs of a campaign, each as soon as its dataset is worked on.

A fault is a generator: it yields while it waits for something. So several can be waited for at a
time, as the order in which jobs begin and end is not known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from campaigns import CampaignOnCluster, node_of

#: The step of a campaign with a job for each dataset.
STEP = "analyse"


def happen(
    faults: Iterable[Iterator[None]],
    run: subprocess.Popen[str],
    *,
    until: Callable[[], bool] = lambda: False,
    seconds: float,
    every_s: float = 0.2,
) -> None:
    """Let faults happen, until all did and a condition holds, or the run is over.

    Raises
    ------
    TimeoutError
    """
    waiting = list(faults)
    end = time.monotonic() + seconds
    while waiting or not until():
        if time.monotonic() > end:
            raise TimeoutError(f"{len(waiting)} faults wait after {seconds:g} s")
        is_over = run.poll() is not None
        waiting = [fault for fault in waiting if next(fault, _OVER) is not _OVER]
        if is_over:
            assert not waiting, f"the run was over before {len(waiting)} faults happened"
            return
        time.sleep(every_s)


_OVER = object()


def stop(campaign: CampaignOnCluster, dataset: str) -> Iterator[None]:
    """The step does nothing until the time of its job is over."""
    yield from _signal(campaign, dataset, STEP, signal.SIGSTOP)


def kill(campaign: CampaignOnCluster, dataset: str, step: str = STEP) -> Iterator[None]:
    """The step dies, its job does not."""
    yield from _signal(campaign, dataset, step, signal.SIGKILL)


def lose_node(campaign: CampaignOnCluster, dataset: str) -> Iterator[None]:
    """SLURM hears nothing of the node for a time, while the job goes on there."""
    slurm = campaign.slurm
    node = node_of((yield from _working_on(campaign, dataset, STEP)))
    slurm.lose_node(node)
    while "down" not in slurm.state_of(node):
        yield
    slurm.start_node(node)


def meet_full_disk(campaign: CampaignOnCluster, dataset: str) -> Iterator[None]:
    """The step finds its disk full; then there is room."""
    log = campaign.folder / "logs" / dataset / f"{STEP}.log"
    while not log.exists() or "the disk is full" not in log.read_text():
        yield
    _mount(campaign.folder / "results" / dataset, "remount,size=200m")


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Give a folder a file system of its own, with little room; whether that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    is_there = os.geteuid() == 0 and _mount(folder, "size=200k")
    try:
        yield is_there
    finally:
        if is_there:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, check=False).returncode == 0


def _signal(campaign: CampaignOnCluster, dataset: str, step: str, number: int) -> Iterator[None]:
    while True:
        process = yield from _working_on(campaign, dataset, step)
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue
        return


def _working_on(campaign: CampaignOnCluster, dataset: str, step: str) -> Generator[None, None, int]:
    while not (found := campaign.processes_of(dataset, step)):
        yield
    return found[0]
