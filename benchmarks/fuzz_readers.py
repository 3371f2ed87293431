# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage raw files at random and see that the readers refuse or read them, and nothing else.

    python benchmarks/fuzz_readers.py --n 3000 --seed 0

Every case is a copy of a healthy file, cut or with bits flipped, opened and read to the last count
in a process of its own with limited memory and time. Anything but a result or one of the errors
that MLATEM raises on purpose is a fault: other errors, crashes, running out of time or memory.
The same seed gives the same cases; `--case` runs a single one and shows where it fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import dask
import numpy as np
import samples
import small_samples

from mlatem.errors import InputError, MemoryLimitError, ReadError
from mlatem.io.counts import check_counts
from mlatem.io.layout import projected_memory_bytes, refuse_above_limit
from mlatem.io.read import open_raw
from mlatem.io.store import to_tree
from mlatem.settings import Convert

SMALL = (6, 7, 64)
EXPECTED = (ReadError, InputError, MemoryLimitError)
#: Memory above the limit of a conversion that the interpreter and its libraries may take.
OVERHEAD_GB = 0.3
SHOWN_FAULTS = 3


def _zipped_zspy(folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as temporary:
        made = small_samples.zipped(small_samples.write_zspy(Path(temporary) / "a.zspy"))
        return Path(shutil.copy(made, folder / "healthy.zspy"))


def _pantarhei(folder: Path, *, compressed: bool) -> Path:
    changes = {"filter.mode": "EELS"}
    return small_samples.write_prz(folder / "healthy.prz", compressed=compressed, **changes)


@dataclass(frozen=True)
class Target:
    """A format to damage."""

    files: tuple[str, ...] = ()
    """Of the test data, the first one that is read; one of them is damaged in every case."""
    names: tuple[str, ...] = ()
    """Where these files are put, relative to a folder; by default side by side as they are named.

    The map that a project names is replaced by a smaller one.
    """
    write: Callable[[Path], Path] | None = None
    """Writes files into a folder where no test data are needed, and says what is to be read."""


@dataclass(frozen=True)
class Healthy:
    """The files of a target before they are damaged, held in memory."""

    opened: str
    """What is read, a file or a folder."""
    contents: dict[str, bytes]
    """Of each file, by its name relative to a common folder; the one that is read comes first."""


_JEOL = "rsciio/jeol/"
_VIEW = "Sample/00_View000/View000_"
_TIA = "rsciio/tia/old/16x16-spectrum_image-5x5x1024"

#: What is fuzzed. A new format joins by an entry here.
TARGETS = {
    "velox": Target(("hyperspy-1.7.6-wheel/fei_emd_si.emd",)),
    "velox-written": Target(write=lambda f: samples.write_velox(f / "healthy.emd", SMALL)),
    "velox-eels": Target(("rsciio/emd/velox_EELS_EDS/example_velox_EELS_EDS.emd",)),
    "bruker": Target(("bcf-testing-samples/4on3_full.bcf",)),
    "bruker-compressed": Target(("rsciio/bruker/16x16_12bit_packed_8bit.bcf",)),
    "hyperspy": Target(write=lambda f: samples.write_hspy(f / "healthy.hspy", SMALL)),
    "hyperspy-exported": Target(("nist-tutorial/core_shell.hspy",)),
    "ncem": Target(write=lambda f: small_samples.write_ncem(f / "healthy.emd")),
    "ncem-written": Target(write=lambda f: samples.write_ncem(f / "healthy.emd", SMALL)),
    "nexus": Target(write=lambda f: small_samples.write_nexus(f / "healthy.nxs")),
    "oxford": Target(write=lambda f: small_samples.write_oxford(f / "healthy.h5oina")),
    "zspy": Target(write=lambda f: small_samples.write_zspy(f / "healthy.zspy")),
    "zspy-zip": Target(write=_zipped_zspy),
    "pantarhei": Target(write=lambda f: _pantarhei(f, compressed=False)),
    "pantarhei-compressed": Target(write=lambda f: _pantarhei(f, compressed=True)),
    "edax": Target(write=small_samples.write_spd),
    "ripple": Target(write=lambda f: samples.write_ripple(f / "healthy.rpl", SMALL)),
    "jeol": Target((f"{_JEOL}InvalidFrame/Sample/00_Dummy-Data/Dummy-Data_0000015.pts",)),
    "jeol-project": Target(
        (
            f"{_JEOL}rawdata.ASW",
            f"{_JEOL}{_VIEW}0000000.img",
            f"{_JEOL}InvalidFrame/Sample/00_Dummy-Data/Dummy-Data_0000015.pts",
        ),
        names=("rawdata.ASW", f"{_VIEW}0000000.img", f"{_VIEW}0000006.pts"),
    ),
    "gatan": Target(("rsciio/digitalmicrograph/3D/EELS_SI.dm4",)),
    "gatan-dm3": Target(("SciFiDatasets/DMReader_SpectrumImage_SI-EELS.dm3",)),
    "tia": Target((f"{_TIA}_1.ser",)),
    "tia-emi": Target((f"{_TIA}.emi", f"{_TIA}_1.ser")),
}


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    target: str
    case: int
    damage: str
    kind: str
    """read, refused (as it should), or error, crash, time, memory."""
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind not in ("read", "refused")


def healthy(target: Target) -> Healthy | None:
    """The files of a target; None where the test data are absent."""
    if target.write is not None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            opened = target.write(folder)
            others = sorted(p for p in folder.rglob("*") if p.is_file() and p != opened)
            paths = [opened, *others] if opened.is_file() else others
            contents = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
        return Healthy(opened.name, contents)
    root = os.environ.get("MLATEM_TEST_DATA")
    paths = [Path(root) / name for name in target.files] if root else []
    if not paths or not all(path.is_file() for path in paths):
        return None
    names = target.names or tuple(path.name for path in paths)
    contents = {n: p.read_bytes() for n, p in zip(names, paths, strict=True)}
    return Healthy(names[0], contents)


def damaged(content: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    """A cut or altered copy, and what was done to it."""
    size = len(content)
    action = random.choice(["cut", "bits", "head", "bytes", "block"], p=[0.25, 0.2, 0.3, 0.15, 0.1])
    data = np.frombuffer(content, np.uint8).copy()
    if action == "cut":
        end = int(random.integers(0, size))
        return content[:end], f"cut to {end} of {size} bytes"
    if action == "block":
        start = int(random.integers(0, size))
        length = int(2 ** random.uniform(2, 12))
        data[start : start + length] = random.choice([0, 255])
        return data.tobytes(), f"{length} equal bytes from {start}"
    n = int(random.integers(1, 9))
    if action == "head":  # where headers and tables of contents are
        near = (size ** random.random(n)).astype(int) % size
        places = np.where(random.random(n) < 0.8, near, size - 1 - near)
    else:
        places = random.integers(0, size, n)
    if action == "bytes":
        data[places] = random.choice([0, 1, 127, 128, 255], n)
    else:
        data[places] ^= (1 << random.integers(0, 8, n)).astype(np.uint8)
    return data.tobytes(), f"{action} changed at {sorted(int(p) for p in places)}"


def read_all(path: Path, memory_gb: float) -> None:
    """What a conversion does with a file, but for writing the store."""
    signals = open_raw(path, settings=Convert(memory_limit_gb=memory_gb))
    for image in signals.spectrum_images:
        needed = projected_memory_bytes(
            image.shape, image.counts.dtype.itemsize, resident_bytes=signals.resident_bytes
        )
        refuse_above_limit(needed, memory_gb, label=str(path))
        check_counts(signals, image)
    to_tree(signals)


def run_case(
    target: str, files: Healthy, case: int, folder: Path, memory_gb: float, answer: Connection
) -> None:
    """Body of a case's process: damage, read, answer."""
    damage = damage_files(target, files, case, folder)
    answer.send(("begun", damage))
    limit = int((memory_gb + OVERHEAD_GB) * 1e9) + _virtual_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    answer.send(_try_read(folder / files.opened, memory_gb))


def damage_files(target: str, files: Healthy, case: int, folder: Path) -> str:
    """Write the files of a target into a folder, one of them damaged; says how."""
    random = np.random.default_rng([*target.encode(), case])
    chosen = int(random.integers(0, len(files.contents)))
    damage = ""
    for index, (name, healthy_content) in enumerate(files.contents.items()):
        content = healthy_content
        if index == chosen:
            content, words = damaged(content, random)
            damage = f"{name}: {words}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return damage


def _try_read(path: Path, memory_gb: float) -> tuple[str, str]:
    try:
        read_all(path, memory_gb)
    except EXPECTED as error:
        if isinstance(error.__cause__, MemoryError):
            return "memory", traceback.format_exc(limit=-6)
        return "refused", str(error)
    except MemoryError:
        return "memory", traceback.format_exc(limit=-6)
    except BaseException:
        return "error", traceback.format_exc(limit=-6)
    return "read", ""


def _virtual_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def fuzz(
    target: str, n: int, *, seed: int, jobs: int, timeout_s: float, memory_gb: float, start: int = 0
) -> Iterator[Outcome]:
    """Outcomes of `n` cases of a target in the order in which they end; none without its files."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        files = healthy(TARGETS[target])
        if files is None:
            return
        for name, content in files.contents.items():
            (base / "healthy" / name).parent.mkdir(parents=True, exist_ok=True)
            (base / "healthy" / name).write_bytes(content)
        read_all(base / "healthy" / files.opened, 8.0)  # whatever is loaded or compiled once
        waiting = list(range(start + 1_000_000 * seed, start + 1_000_000 * seed + n))[::-1]
        running: list[_Running] = []
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Running(context, target, files, waiting.pop(), base, memory_gb))
            time.sleep(0.001)
            for process in list(running):
                outcome = process.outcome(timeout_s)
                if outcome is not None:
                    running.remove(process)
                    yield outcome


class _Running:
    """The process of one case."""

    def __init__(
        self,
        context: multiprocessing.context.ForkContext,
        target: str,
        files: Healthy,
        case: int,
        base: Path,
        memory_gb: float,
    ) -> None:
        self.target, self.case = target, case
        self.folder = tempfile.TemporaryDirectory(dir=base)
        self.receiver, sender = context.Pipe(duplex=False)
        arguments = (target, files, case, Path(self.folder.name), memory_gb, sender)
        self.process = context.Process(target=run_case, args=arguments, daemon=True)
        self.process.start()
        sender.close()
        self.begun = time.monotonic()

    def outcome(self, timeout_s: float) -> Outcome | None:
        """How the case ended; None while it runs."""
        late = time.monotonic() - self.begun > timeout_s
        if self.process.is_alive() and not late:
            return None
        answers = []
        try:
            while self.receiver.poll():
                answers.append(self.receiver.recv())
        except EOFError:
            pass
        if late:
            self.process.kill()
        self.process.join()
        damage = answers[0][1] if answers else "unknown"
        if late:
            kind, detail = "time", f"still running after {timeout_s:g} s"
        elif len(answers) < 2:
            kind, detail = "crash", f"exit code {self.process.exitcode}"
        else:
            kind, detail = answers[1]
        self.receiver.close()
        self.folder.cleanup()
        return Outcome(self.target, self.case, damage, kind, detail)


def _examples(faults: list[Outcome]) -> list[Outcome]:
    """A few faults of every kind of every target."""
    seen: Counter[tuple[str, str]] = Counter()
    shown = []
    for fault in faults:
        seen[fault.target, fault.kind] += 1
        if seen[fault.target, fault.kind] <= SHOWN_FAULTS:
            shown.append(fault)
    return shown


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=300, help="cases of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout-s", type=float, default=30.0)
    parser.add_argument("--memory-gb", type=float, default=1.0, help="limit of a conversion")
    parser.add_argument("--case", type=int, help="run a single case of one target in this process")
    parser.add_argument("--json", action="store_true", help="print outcomes as JSON")
    return parser.parse_args()


def _single(target: str, case: int, memory_gb: float) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        files = healthy(TARGETS[target])
        if files is None:
            raise SystemExit(f"{target}: set MLATEM_TEST_DATA to the folder of vendor files")
        folder = Path(temporary)
        print(damage_files(target, files, case, folder))
        read_all(folder / files.opened, memory_gb)
        print("read")


def main() -> int:
    options = _arguments()
    dask.config.set(scheduler="synchronous")  # threads do not survive a fork
    logging.disable(logging.CRITICAL)
    names = options.target or list(TARGETS)
    if options.case is not None:
        _single(names[0], options.case, options.memory_gb)
        return 0
    faults: list[Outcome] = []
    report = {}
    for name in names:
        begun = time.monotonic()
        outcomes = list(
            fuzz(
                name,
                options.n,
                seed=options.seed,
                jobs=options.jobs,
                timeout_s=options.timeout_s,
                memory_gb=options.memory_gb,
            )
        )
        kinds = Counter(o.kind for o in outcomes)
        report[name] = dict(kinds)
        faults += [o for o in outcomes if o.is_fault]
        if not options.json:
            words = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())) or "no test data"
            print(f"{name:20} {words} ({time.monotonic() - begun:.0f} s)", flush=True)
    if options.json:
        shown = [vars(fault) for fault in _examples(faults)]
        print(json.dumps({"outcomes": report, "faults": shown}))
    else:
        for fault in _examples(faults):
            print(f"\n{fault.kind}: --target {fault.target} --case {fault.case}")
            print(f"{fault.damage}\n{fault.detail}")
        print(f"\n{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
