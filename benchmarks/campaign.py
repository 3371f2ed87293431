# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning a campaign of many datasets costs.

    python benchmarks/campaign.py --folder /tmp/campaign

Plans campaigns of 100 to 10,000 datasets (a dry run of Snakemake) with a job for each dataset and
with one for each stage, and prints processor time and peak memory.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = (100, 1000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--jobs", nargs="*", default=("dataset", "stage"))
    options = parser.parse_args()
    plan(options.folder, options.sizes, options.jobs)


def plan(folder: Path, sizes: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Plans of campaigns that were never run."""
    print("| Datasets | A job for each | Jobs | CPU, s | Peak, MB |\n|---|---|---|---|---|")
    for kind in kinds:
        for size in sizes:
            write_campaign(folder, size, kind)
            cpu, peak, printed = measured(folder, "--dry-run", "--quiet", "rules")
            n_jobs = re.findall(r"^total +(\d+)$", printed, flags=re.MULTILINE)[0]
            print(f"| {size} | {kind} | {n_jobs} | {cpu:.1f} | {peak:.0f} |", flush=True)


def write_campaign(folder: Path, size: int, kind: str) -> None:
    """A campaign of `size` datasets of the same raw file."""
    shutil.rmtree(folder / "config", ignore_errors=True)
    (folder / "config").mkdir(parents=True)
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / "map.hspy").touch()  # leaves what is there
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
