# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak memory and processor time of every step, beside the memory that its job would ask for.

    python benchmarks/resources.py --folder /tmp/resources

Simulates maps of several sizes, runs the workflow on them with two threads, and reads peaks and
processor times, without the 1.5 to 2.5 s in which libraries are loaded, from the logs of the
jobs. What is in the folder already is used again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import yaml

import mlatem
from mlatem.campaign.folder import load_folder
from mlatem.campaign.resources import work_mb

ROOT = Path(__file__).resolve().parents[1]
#: Rows, columns, channels, counts of a pixel.
SIZES = {
    "32x40x1024": (32, 40, 1024, 250),
    "128x128x2048": (128, 128, 2048, 100),
    "256x256x1024": (256, 256, 1024, 600),
    "256x256x2048": (256, 256, 2048, 100),
    "256x256x4096": (256, 256, 4096, 30),
}
STEPS = (
    *("convert", "calibrate", "denoise", "factorize"),
    *("find_rare_phases", "quantify", "report"),
)
ONE_THREAD = ("convert", "quantify", "report")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--maps", nargs="*", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    folder = options.folder
    prepare(folder, options.maps)
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--directory", str(folder)]
    subprocess.run(command, check=True)
    print("| Map | Step | CPU, s | Peak, MB | Projected, MB | Ratio |\n|---|---|---|---|---|---|")
    campaign = load_folder(folder)
    for name in options.maps:
        for step in STEPS:
            log = (folder / "logs" / name / f"{step}.log").read_text(encoding="utf-8")
            (found,) = re.findall(r"([\d.]+) s of processors, peak (\d+) MB", log)
            cpu, peak = (float(words) for words in found)
            projected = work_mb(step, campaign.extent(name), 1 if step in ONE_THREAD else 2)
            memory = f"{peak:.0f} | {projected:.0f} | {projected / peak:.2f}"
            print(f"| {name} | {step} | {cpu:.1f} | {memory} |")


def prepare(folder: Path, names: list[str]) -> None:
    """Simulate the maps and write the campaign."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "config.yaml").write_text("{}\n")
    small = yaml.safe_load((ROOT / "examples" / "specimens" / "small.yaml").read_text())
    rows = ["dataset\tpath\telements\tn_phases\tthickness_nm"]
    for name in names:
        n_rows, n_columns, n_channels, counts = SIZES[name]
        rows.append(f"{name}\traw/{name}.hspy\tO,Si,Ti,Fe\t3\t40")
        if (folder / "raw" / f"{name}.hspy").exists():
            continue
        size = {"n_rows": n_rows, "n_columns": n_columns, "n_channels": n_channels}
        width = {"channel_ev": 5.0 if n_channels > 2048 else 10.0, "counts_per_pixel": counts}
        specimen = folder / f"{name}.yaml"
        specimen.write_text(yaml.safe_dump({**small, **size, **width}))
        mlatem.simulate(specimen, folder / "raw", name=name)
    (folder / "config" / "datasets.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
