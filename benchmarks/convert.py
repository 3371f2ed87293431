# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and memory of a conversion, beside those of HyperSpy on the same files in the same run.

    python benchmarks/convert.py --folder /tmp/convert

Writes a Ripple, a HyperSpy, a NCEM and a Velox-like file of 512 x 512 pixels and 2048 channels (the
first three hold 1 GB of uint16, the last 2e7 events), converts each to a store, and has HyperSpy
load it lazily and save it as .hspy. Every conversion is a process of its own, which measures from
opening the file to the end of writing, without the imports of the packages; the peak of memory is
that of the whole process, and beside it what it is above the peak of the imports. HyperSpy is
installed by pip into an environment in the folder, and needed for nothing else. What is in the
folder already is used again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import h5py
import samples

from mlatem.io.layout import plan_layout
from mlatem.io.store import load_spectrum_image

WRITERS = {
    "rpl": samples.write_ripple,
    "hspy": samples.write_hspy,
    "ncem": samples.write_ncem,
    "velox": samples.write_velox,
}
NAMES = {
    "rpl": "Ripple.rpl",
    "hspy": "HyperSpy.hspy",
    "ncem": "NCEM.emd",
    "velox": "Velox-like.emd",
}
HYPERSPY = ("hyperspy>=2", "exspy", "rosettasciio[eds-stream,hdf5,speed]>=0.10")

_MEASURE = """
import json, resource, sys, time
raw, out = sys.argv[1:]
{imports}
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
imported_mb = peak_mb()
cpu, begun = time.process_time(), time.perf_counter()
{work}
print(json.dumps({{
    "seconds": time.perf_counter() - begun,
    "cpu": time.process_time() - cpu,
    "peak_mb": peak_mb(),
    "above_mb": peak_mb() - imported_mb,
    "version": {version},
}}))
"""
OURS = _MEASURE.format(
    imports="""
from importlib.metadata import version
from mlatem.io.read import open_raw
from mlatem.io.store import write_store
""",
    work="write_store(open_raw(raw), out)",
    version="version('mlatem')",
)
THEIRS = _MEASURE.format(
    imports="import hyperspy.api as hs",
    work="""
options = {"select_type": "spectrum_image"} if "Velox-like" in raw else {}
signal = hs.load(raw, lazy=True, **options)
signal.save(out, overwrite=True)
""",
    version="hs.__version__",
)


def measure(python: Path, script: str, raw: Path, out: Path, limit_gb: float) -> dict[str, object]:
    """Run a conversion in a process of its own; what it printed, or why it failed."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit_gb * 1e9),) * 2)

    done = subprocess.run(
        [python, "-c", script, raw, out],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [str(done.returncode)])[-1][:200]}
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def environment(folder: Path) -> Path:
    """The Python of an environment with HyperSpy, made where there is none."""
    home = folder / "hyperspy"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *HYPERSPY], check=True)
    return python


def hspy_total(path: Path) -> int:
    """Counts of a file that HyperSpy wrote."""
    with h5py.File(path, "r") as file:
        (data,) = (group["data"] for group in file["Experiments"].values())
        return sum(int(data[region].sum(dtype="u8")) for region in data.iter_chunks())


def rows_of(kind: str, raw: Path, python: Path, folder: Path, limit_gb: float) -> list[str]:
    """Table rows of both conversions of a file; they must hold the same counts."""
    files = [raw, *([raw.with_suffix(".raw")] if kind == "rpl" else [])]
    for file in files:  # both read from the system's cache
        subprocess.run(["cat", str(file)], stdout=subprocess.DEVNULL, check=True)
    stored = sum(file.stat().st_size for file in files)
    store, saved = folder / f"{kind}.zarr", folder / f"{kind}-hyperspy.hspy"
    for path in (store, saved):
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
    ours = measure(Path(sys.executable), OURS, raw, store, limit_gb)
    theirs = measure(python, THEIRS, raw, saved, limit_gb)
    counts = load_spectrum_image(store).counts
    cube = math.prod(counts.shape) * 2
    total = counts.attrs["total_counts"]
    if "failed" not in theirs and hspy_total(saved) != total:
        theirs = {"failed": f"{hspy_total(saved)} counts instead of {total}"}
    return [
        _row(
            f"{raw.stem} `{raw.suffix}`, {stored / 1e6:.4g} MB",
            f"{name} {result.get('version', '')}",
            result,
            cube,
        )
        for name, result in (("MLATEM", ours), ("HyperSpy", theirs))
    ]


def _row(label: str, name: str, result: dict[str, object], cube: int) -> str:
    if "failed" in result:
        return f"| {label} | {name} | {result['failed']} | | | | |"
    keys = ("seconds", "cpu", "peak_mb", "above_mb")
    seconds, cpu, peak, above = (float(str(result[key])) for key in keys)
    cells = (f"{seconds:.1f}", f"{cube / 1e6 / seconds:.0f}", f"{cpu:.1f}", f"{peak:.0f}")
    return f"| {label} | {name} | {' | '.join(cells)} | {above:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keeps files and environment; else temporary")
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--channels", type=int, default=2048)
    parser.add_argument("--events", type=float, default=2e7, help="of the Velox-like file")
    parser.add_argument("--format", action="append", choices=sorted(WRITERS), help="only these")
    parser.add_argument("--limit-gb", type=float, default=16.0, help="address space of a process")
    options = parser.parse_args()
    shape = (options.size, options.size, options.channels)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        python = environment(folder)
        shard = math.prod(plan_layout(shape).shards) * 2 / 1e6
        print(f"{os.cpu_count()} cores; maps of {shape}, {math.prod(shape) * 2 / 1e6:.0f} MB as")
        print(f"uint16; a shard is {shard:.0f} MB as uint16\n")
        print(
            "| File | Program | Time, s | MB/s of the map | CPU, s | Peak, MB | Above imports, MB |"
        )
        print("|---|---|---|---|---|---|---|")
        for kind in options.format or WRITERS:
            made = folder / f"{'x'.join(map(str, shape))}-{options.events:g}"
            raw = made / NAMES[kind]
            if not raw.exists():
                extra = {"n_events": options.events} if kind == "velox" else {}
                writing = folder / "writing"
                shutil.rmtree(writing, ignore_errors=True)
                writing.mkdir()
                made.mkdir(exist_ok=True)
                WRITERS[kind](writing / raw.name, shape, **extra)
                # The file that is opened comes last: its presence says that all are whole.
                for part in sorted(writing.iterdir(), key=lambda p: p.name == raw.name):
                    part.rename(made / part.name)
            for row in rows_of(kind, raw, python, folder, options.limit_gb):
                print(row, flush=True)


if __name__ == "__main__":
    main()
