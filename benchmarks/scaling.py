# SPDX-License-Identifier: GPL-3.0-or-later
"""Time, memory and files of campaigns of 1 to 64 tiny maps, and what it costs beside the analysis.

    python benchmarks/scaling.py --folder /tmp/scaling

Each campaign is run with two processors and a job for each dataset (`--jobs stage` for one for
each stage). The same maps are analysed in a loop within one process: the difference in processor
time is the cost of planning, of jobs and of processes.
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

from campaign import measured, write_campaign

import mlatem

ROOT = Path(__file__).resolve().parents[1]
SPECIMEN = ROOT / "examples" / "specimens" / "small.yaml"
HEAD = """\
| Datasets | Time, s | CPU, s a dataset | CPU beside the analysis | Largest job, MB | Files of \
results, a dataset | Of logs and records |
|---|---|---|---|---|---|---|"""
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
    parser.add_argument("--sizes", type=int, nargs="*", default=(1, 4, 16, 64))
    parser.add_argument("--jobs", choices=("dataset", "stage"), default="dataset")
    parser.add_argument("--loop", type=int, default=4, help="Maps of the loop in one process.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    mlatem.simulate(SPECIMEN, options.folder / "raw", name="map")
    work = cpu_of_loop(options.folder, options.loop)
    print(f"CPU of the analysis alone: {work:.2f} s a dataset\n")
    print(HEAD)
    for size in options.sizes:
        write_campaign(options.folder, size, options.jobs)
        for name in ("results", "logs", ".snakemake"):
            shutil.rmtree(options.folder / name, ignore_errors=True)
        begun = time.perf_counter()
        cpu, _, _ = measured(options.folder, "--cores", "2", "--quiet", "rules")
        seconds = time.perf_counter() - begun
        n_files = count_files(options.folder / "results") / size
        n_others = sum(count_files(options.folder / top) for top in ("logs", ".snakemake")) / size
        print(
            f"| {size} | {seconds:.0f} | {cpu / size:.1f} | {cpu / size - work:.1f} | "
            f"{largest_mb(options.folder / 'logs'):.0f} | {n_files:.0f} | {n_others:.0f} |",
            flush=True,
        )


def cpu_of_loop(folder: Path, size: int) -> float:
    """Processor time of the analysis of one map, within a process that has begun."""
    write_campaign(folder, size, "dataset")
    command = [sys.executable, "-c", LOOP, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / size


def largest_mb(logs: Path) -> float:
    """Largest peak of memory that a job noted."""
    texts = (log.read_text(encoding="utf-8") for log in logs.rglob("*.log"))
    return max(float(peak) for text in texts for peak in re.findall(r"peak (\d+) MB", text))


def count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


if __name__ == "__main__":
    main()
