# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign of many datasets costs beside the analysis itself.

    python benchmarks/campaign.py --folder /tmp/campaign            # plans of 100 to 10,000
    python benchmarks/campaign.py --folder /tmp/campaign --run 20   # 20 tiny maps, really run

The first plans campaigns (a dry run of Snakemake) with a job for each stage and with one for each
dataset, and prints processor time and peak memory. The second runs tiny maps as a campaign, and the
same maps in a loop within one process: the difference is the cost of jobs and processes; and it
counts the files that a dataset leaves.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlatem

ROOT = Path(__file__).resolve().parents[1]
SPECIMEN = ROOT / "examples" / "specimens" / "small.yaml"
SIZES = (100, 1000, 10_000)
LOOP = """
import sys, time
from pathlib import Path
from mlatem.campaign import load_folder
from mlatem.sheet import DatasetRow
from mlatem.steps.whole import analyse
campaign = load_folder(sys.argv[1])
begun = time.process_time()
for name, cells in campaign.rows.items():
    analyse(campaign.raw_paths(name), Path(sys.argv[1]) / "loop" / name,
            row=DatasetRow.from_strings(cells), settings=campaign.settings, threads=2)
print(time.process_time() - begun)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--run", type=int, help="Maps that are really analysed.")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--jobs", nargs="*", default=("dataset", "stage"))
    options = parser.parse_args()
    if options.run:
        run(options.folder / "run", options.run)
    else:
        plan(options.folder / "plan", options.sizes, options.jobs)


def plan(folder: Path, sizes: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Plans of campaigns that were never run."""
    print("| Datasets | A job for each | Jobs | CPU, s | Peak, MB |\n|---|---|---|---|---|")
    for kind in kinds:
        for size in sizes:
            write_campaign(folder, size, kind)
            cpu, peak, printed = measured(folder, "--dry-run", "--quiet", "rules")
            n_jobs = re.findall(r"^total +(\d+)$", printed, flags=re.MULTILINE)[0]
            print(f"| {size} | {kind} | {n_jobs} | {cpu:.1f} | {peak:.0f} |", flush=True)


def run(folder: Path, size: int) -> None:
    """A campaign of tiny maps, and the same work in one process."""
    write_campaign(folder, size, "dataset", raw=False)
    mlatem.simulate(SPECIMEN, folder / "raw", name="map")
    for name in ("results", "logs", "loop", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    command = [sys.executable, "-c", LOOP, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    work = float(done.stdout.split()[-1])
    begun = time.perf_counter()
    cpu, _, _ = measured(folder, "--cores", "2", "--quiet", "rules")
    seconds = time.perf_counter() - begun
    n_files = count_files(folder / "results") / size
    n_others = (count_files(folder / "logs") + count_files(folder / ".snakemake")) / size
    print(f"{size} datasets in {seconds:.0f} s")
    print(f"CPU of the analysis alone: {work / size:.2f} s a dataset")
    print(f"CPU beside it: {(cpu - work) / size:.2f} s a dataset")
    print(f"files of a dataset: {n_files:.1f} of results, {n_others:.1f} of logs and records")


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def write_campaign(folder: Path, size: int, kind: str, *, raw: bool = True) -> None:
    """A campaign of `size` datasets of the same raw file."""
    shutil.rmtree(folder / "config", ignore_errors=True)
    (folder / "config").mkdir(parents=True)
    (folder / "raw").mkdir(exist_ok=True)
    if raw:
        (folder / "raw" / "map.hspy").touch()
    (folder / "config" / "config.yaml").write_text(f"workflow:\n  jobs: {kind}\n")
    rows = "".join(f"map-{k:05d}\traw/map.hspy\tO,Si,Ti,Fe\t3\t40\n" for k in range(size))
    head = "dataset\tpath\telements\tn_phases\tthickness_nm\n"
    (folder / "config" / "datasets.tsv").write_text(head + rows)


def measured(folder: Path, *options: str) -> tuple[float, float, str]:
    """Processor time in s, peak memory in MB and what Snakemake printed."""
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(printed[-3000:])
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, printed


if __name__ == "__main__":
    main()
