# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning a campaign of many datasets costs.

    python benchmarks/campaign.py --folder /tmp/campaign

Plans campaigns of 100 to 10,000 datasets (a dry run of Snakemake) with a job for each dataset and
with one for each stage, and with one for 20 datasets, and prints processor time and peak memory;
`--jobs bare` plans a workflow of as many jobs with no functions, parameters or resources: what
Snakemake takes at the least.
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
LABELS = {
    "dataset": "dataset",
    "stage": "stage",
    "20": "20 datasets",
    "bare": "stage, bare",
}
#: Seven stages, each of the file of the one before.
BARE = """
stages = ["raw", *"abcdefg"]
rule all:
    input: "index"
rule index:
    input: expand("r/{d}/g", d=range(%d))
    output: "index"
    shell: "true"
for before, after in zip(stages, stages[1:]):
    rule:
        name: after
        input: "raw/map.hspy" if before == "raw" else f"r/{{d}}/{before}"
        output: f"r/{{d}}/{after}"
        shell: "true"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--jobs", nargs="*", choices=LABELS, default=("dataset", "stage", "20"))
    options = parser.parse_args()
    plan(options.folder, options.sizes, options.jobs)


def plan(folder: Path, sizes: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Plans of campaigns that were never run."""
    print("| Datasets | A job for each | Jobs | CPU, s | Peak, MB |\n|---|---|---|---|---|")
    for kind in kinds:
        for size in sizes:
            write_campaign(
                folder,
                size,
                "stage" if kind in ("stage", "bare") else "dataset",
                20 if kind == "20" else 1,
            )
            bare = ("--snakefile", str(write_bare(folder, size))) if kind == "bare" else ()
            cpu, peak, printed = measured(folder, "--dry-run", "--quiet", "rules", *bare)
            n_jobs = re.findall(r"^total +(\d+)$", printed, flags=re.MULTILINE)[0]
            print(f"| {size} | {LABELS[kind]} | {n_jobs} | {cpu:.1f} | {peak:.0f} |", flush=True)


def write_campaign(folder: Path, size: int, kind: str, per_job: int = 1) -> None:
    """A campaign of `size` datasets of the same raw file."""
    shutil.rmtree(folder / "config", ignore_errors=True)
    (folder / "config").mkdir(parents=True)
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / "map.hspy").touch()  # leaves what is there
    (folder / "config" / "config.yaml").write_text(
        f"workflow:\n  jobs: {kind}\n  datasets_per_job: {per_job}\n"
    )
    rows = "".join(f"map-{k:05d}\traw/map.hspy\tO,Si,Ti,Fe\t3\t40\n" for k in range(size))
    head = "dataset\tpath\telements\tn_phases\tthickness_nm\n"
    (folder / "config" / "datasets.tsv").write_text(head + rows)


def write_bare(folder: Path, size: int) -> Path:
    """A workflow of rules with nothing but names of files."""
    path = folder / "Bare.smk"
    path.write_text(BARE % size)
    return path


def command_of(folder: Path, *options: str) -> list[str]:
    """Snakemake on a campaign."""
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    return [*command, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *options]


def measured(folder: Path, *options: str) -> tuple[float, float, str]:
    """Processor time in s, peak memory in MB and what Snakemake printed."""
    command = command_of(folder, *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(printed[-3000:])
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, printed


if __name__ == "__main__":
    main()
