# SPDX-License-Identifier: GPL-3.0-or-later
"""Time, memory and files of campaigns of 1 to 64 small maps, and what it costs beside the analysis.

    python benchmarks/scaling.py --folder /tmp/scaling
    python benchmarks/scaling.py --folder /tmp/scaling --specimen tiny --per-job 20 --sizes 1000

Each campaign is run with two processors and a job for each dataset (`--jobs stage` for one for
each stage, `--per-job 20` for one for twenty datasets). The same maps are analysed in a loop within
one process: the difference in processor time is the cost of planning, of jobs and of processes.
With `--loop 0` the median of the datasets within their jobs takes the loop's place.
`--stop-after` ends a run that takes too long when its jobs at work have finished; the figures are
then of what finished.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml
from campaign import command_of, write_campaign

import mlatem

ROOT = Path(__file__).resolve().parents[1]
SMALL = ROOT / "examples" / "specimens" / "small.yaml"
#: What differs from the small specimen.
SPECIMENS = {
    "small": {},
    "tiny": {
        "n_rows": 16,
        "n_columns": 16,
        "pixel_nm": 10.0,
        "n_channels": 512,
        "channel_ev": 20.0,
        "counts_per_pixel": 400.0,
    },
}
HEAD = """\
| Datasets | Time, s | CPU, s a dataset | CPU of the analysis in its job | CPU beside it | Largest \
job, MB | Files of results, a dataset | Of logs and records | Load |
|---|---|---|---|---|---|---|---|---|"""
LOOP = """
import sys, time
from pathlib import Path
from mlatem.campaign.folder import load_folder
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
    parser.add_argument("--per-job", type=int, default=1, help="Datasets that share a job.")
    parser.add_argument("--specimen", choices=SPECIMENS, default="small")
    parser.add_argument("--loop", type=int, default=4, help="Maps of the loop; 0: by jobs.")
    parser.add_argument("--stop-after", type=float, help="Seconds after which no job is begun.")
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    specimen = {**yaml.safe_load(SMALL.read_text()), **SPECIMENS[options.specimen]}
    (folder / "specimen.yaml").write_text(yaml.safe_dump(specimen))
    mlatem.simulate(folder / "specimen.yaml", folder / "raw", name="map")
    work = cpu_of_loop(folder, options.loop) if options.loop else None
    if work is not None:
        print(f"CPU of the analysis in a loop: {work:.2f} s a dataset\n")
    print(HEAD)
    for size in options.sizes:
        write_campaign(folder, size, options.jobs, options.per_job)
        for name in ("results", "logs", ".snakemake"):
            shutil.rmtree(folder / name, ignore_errors=True)
        begun = time.perf_counter()
        cpu = cpu_of_run(folder, options.stop_after)
        seconds = time.perf_counter() - begun
        done = len(list((folder / "results").glob("*/DONE.json")))
        n_files = count_files(folder / "results") / done
        n_others = sum(count_files(folder / top) for top in ("logs", ".snakemake")) / done
        analysis, largest_mb = of_logs(folder / "logs")
        beside = cpu / done - (work if work is not None else analysis)
        print(
            f"| {done} of {size} | {seconds:.0f} | {cpu / done:.1f} | {analysis:.1f} | "
            f"{beside:.1f} | {largest_mb:.0f} | {n_files:.0f} | {n_others:.1f} | "
            f"{os.getloadavg()[2]:.0f} |",
            flush=True,
        )


def cpu_of_loop(folder: Path, size: int) -> float:
    """Processor time of the analysis of one map, within a process that has begun."""
    write_campaign(folder, size, "dataset")
    command = [sys.executable, "-c", LOOP, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / size


def cpu_of_run(folder: Path, stop_after_s: float | None) -> float:
    """Processor time of Snakemake and all its jobs."""
    process = subprocess.Popen(
        command_of(folder, "--cores", "2", "--quiet", "rules"),
        stdout=subprocess.DEVNULL,
        stderr=(folder / "run.log").open("w"),
    )
    # Asked to end, Snakemake waits for the jobs at work.
    timer = threading.Timer(stop_after_s or 1e6, process.send_signal, [signal.SIGTERM])
    timer.daemon = True
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    if status and stop_after_s is None:
        sys.exit((folder / "run.log").read_text()[-3000:])
    return usage.ru_utime + usage.ru_stime


def of_logs(logs: Path) -> tuple[float, float]:
    """Median processor time of a dataset's jobs together, s, and the largest peak, MB."""
    seconds: dict[str, float] = {}
    peaks = []
    for log in logs.rglob("*.log"):
        for cpu, peak in re.findall(
            r"job finished in .* ([\d.]+) s of processors, peak (\d+) MB",
            log.read_text(encoding="utf-8"),
        ):
            peaks.append(float(peak))
            if log.parent != logs and not log.parent.name.startswith("."):
                seconds[log.parent.name] = seconds.get(log.parent.name, 0.0) + float(cpu)
    return statistics.median(seconds.values()), max(peaks)


def count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


if __name__ == "__main__":
    main()
