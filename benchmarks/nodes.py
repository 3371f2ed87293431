# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign on a virtual SLURM of three nodes, with a fault of each kind: lost and wrong results.

    python benchmarks/nodes.py --folder /tmp/nodes

Analyses maps of 256 x 256 x 2048, simulated from a few seeds and named by many datasets, with a job
for each dataset. Meanwhile one job gets too little memory, one too little time, one step is killed,
one node is lost, one disk is full, and the process that submits is killed. Then every number of
every dataset is compared with those of an undisturbed run of the distinct maps in one process:
with the threads of a job they have to be the same to the last bit. Needs SLURM's daemons
(`tests/cluster/virtual_slurm.py`), and root for the disk.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml
from threadpoolctl import threadpool_limits

import mlatem
from mlatem.campaign.folder import load_folder
from mlatem.campaign.profiles import SlurmOptions, install
from mlatem.sheet import DatasetRow
from mlatem.steps.status import status
from mlatem.steps.whole import analyse

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

import faults  # noqa: E402
from campaigns import CampaignOnCluster  # noqa: E402
from differences import largest_difference  # noqa: E402
from virtual_slurm import VirtualSlurm, cluster  # noqa: E402

#: Counts of a pixel of the distinct maps; the seed differs, too.
COUNTS = (50, 65, 80, 100)
#: Datasets that meet a fault; they are submitted first.
DISTURBED = ("memory", "time", "killed", "node", "disk")
#: At the first attempt of these, and of the others.
TOO_LITTLE_MB, ENOUGH_MB = 400, 1300
SHORT_MIN, LONG_MIN = 5, 60
#: Of a job, for tiles and in linear algebra, which adds in another order on one thread.
N_THREADS = 2
LONGEST_S = 4 * 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--datasets", type=int, default=64)
    parser.add_argument("--processors", type=int, default=4, help="Of a node: two make a job.")
    parser.add_argument("--size", type=int, nargs=3, default=(256, 256, 2048))
    options = parser.parse_args()
    # What ends this process ends the cluster, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = options.folder.resolve()
    names = [*DISTURBED, *(f"map-{k:02d}" for k in range(len(DISTURBED), options.datasets))]
    seeds = {name: k % len(COUNTS) for k, name in enumerate(names)}
    write_campaign(folder, seeds, options.size)
    for threads in (N_THREADS, 1):
        undisturbed(folder, seeds, threads)
    with (
        # Sockets have short paths.
        tempfile.TemporaryDirectory(prefix="slurm") as place,
        cluster(Path(place), cpus=options.processors) as slurm,
        faults.small_disk(folder / "results" / "disk") as has_disk,
    ):
        if not has_disk:
            print("a full disk: SKIPPED, it takes root")
        disturbed(campaign_of(folder, slurm), len(names) // 2, has_disk=has_disk)
        verify(folder, seeds)


def write_campaign(folder: Path, seeds: dict[str, int], size: tuple[int, int, int]) -> None:
    """Simulate the distinct maps, unless they are there, and name them in the sample sheet."""
    for name in ("results", "logs", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "config.yaml").write_text("workflow:\n  jobs: dataset\n")
    small = yaml.safe_load((ROOT / "examples" / "specimens" / "small.yaml").read_text())
    small |= dict(zip(("n_rows", "n_columns", "n_channels"), size, strict=True))
    for seed, counts in enumerate(COUNTS):
        if (folder / "raw" / f"{seed}.hspy").exists():
            continue
        specimen = folder / "specimen.yaml"
        specimen.write_text(yaml.safe_dump({**small, "seed": seed, "counts_per_pixel": counts}))
        mlatem.simulate(specimen, folder / "raw", name=str(seed))
    head = "dataset\tpath\telements\tn_phases\tthickness_nm\n"
    rows = (f"{name}\traw/{seed}.hspy\tO,Si,Ti,Fe\t3\t40\n" for name, seed in seeds.items())
    (folder / "config" / "datasets.tsv").write_text(head + "".join(rows))


def undisturbed(folder: Path, seeds: dict[str, int], threads: int) -> None:
    """Analyse each distinct map in this process, into `calm-<threads>`, unless it is there."""
    campaign = load_folder(folder)
    for seed, name in {seed: name for name, seed in reversed(seeds.items())}.items():
        calm = folder / f"calm-{threads}" / str(seed)
        if (calm / "DONE.json").exists():
            continue
        begun = time.process_time()
        row = DatasetRow.from_strings(campaign.rows[name])
        raw, settings = campaign.raw_paths(name), campaign.settings
        with threadpool_limits(threads):
            analyse(raw, calm, row=row, settings=settings, threads=threads)
        cpu = time.process_time() - begun
        print(f"undisturbed, map {seed}, {threads} threads: {cpu:.1f} CPU s", flush=True)


def campaign_of(folder: Path, slurm: VirtualSlurm) -> CampaignOnCluster:
    """The campaign of a user who has the profile."""
    options = SlurmOptions(partition="short", status_command="squeue")
    install("slurm", options, folder=folder / "settings" / "snakemake", force=True)
    environment = {**slurm.environment, "XDG_CONFIG_HOME": str(folder / "settings")}
    return CampaignOnCluster(folder, slurm, environment)


def disturbed(campaign: CampaignOnCluster, half: int, *, has_disk: bool) -> None:
    """Run the campaign while faults happen, kill the run when they are mended, and run again."""
    memory = f'{ENOUGH_MB} if wildcards.dataset != "memory" else {TOO_LITTLE_MB} * attempt**2'
    minutes = f'{LONG_MIN} if wildcards.dataset != "time" else {SHORT_MIN} * attempt**2'
    options = ("--set-resources", f"analyse:mem_mb={memory}", f"analyse:runtime={minutes}")
    # No more in the queue than are soon at work: those of priority are submitted first.
    options += ("--jobs", str(2 * campaign.slurm.n_nodes * campaign.slurm.cpus // 2))
    first = ("--prioritize", *(f"results/{name}/DONE.json" for name in DISTURBED))
    begun = time.perf_counter()
    run = campaign.start(*options, *first)

    def is_half_done() -> bool:
        done = {path.parent.name for path in (campaign.folder / "results").glob("*/DONE.json")}
        return done.issuperset(DISTURBED) and len(done) >= half

    happening = [
        faults.stop(campaign, "time"),
        faults.kill(campaign, "killed"),
        faults.lose_node(campaign, "node"),
        *([faults.meet_full_disk(campaign, "disk")] if has_disk else []),
    ]
    try:
        faults.happen(happening, run, until=is_half_done, seconds=LONGEST_S, every_s=1.0)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    printed = campaign.printed()
    assert run.returncode == -signal.SIGKILL, printed[-3000:]
    print(f"the run was killed with {len(campaign.slurm.jobs())} jobs in the queue", flush=True)
    printed += campaign.run(*options, seconds=LONGEST_S)
    minutes_taken = (time.perf_counter() - begun) / 60
    print(f"on {campaign.slurm.n_nodes} nodes, disturbed: {minutes_taken:.0f} min")
    print("jobs that failed:", dict(Counter(re.findall(r"status is: '(\w+)'", printed))))
    print("cancelled by the second run:", len(re.findall(r"Cancelled job \d+ of", printed)))


def verify(folder: Path, seeds: dict[str, int]) -> None:
    """Compare every dataset with the undisturbed run of its map.

    Exits with status 1 if a result is lost, or differs in any bit.
    """
    calm, calm_on_one = folder / f"calm-{N_THREADS}", folder / "calm-1"
    outcomes = status(folder).outcomes
    lost = [name for name in seeds if outcomes[name].state != "done"]
    differences = {
        name: largest_difference(folder / "results" / name, calm / str(seed))
        for name, seed in seeds.items()
        if name not in lost
    }
    wrong = [name for name, difference in differences.items() if difference > 0]
    left_over = list(folder.rglob("*.partial"))
    print(f"{len(seeds)} datasets: {len(lost)} lost {lost}, {len(wrong)} wrong {wrong}")
    print(f"largest difference, relative: {max(differences.values(), default=0.0):.2g}")
    for seed in sorted(set(seeds.values())):
        difference = largest_difference(calm / str(seed), calm_on_one / str(seed))
        print(f"map {seed}, two threads and one: {difference:.2g}")
    print(f"half-written files left: {len(left_over)}")
    sys.exit(bool(lost or wrong or left_over))


if __name__ == "__main__":
    main()
