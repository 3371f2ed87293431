# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversion that is killed at any moment leaves no store that looks complete."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlatem.errors import StoreError
from mlatem.io import atomic
from mlatem.io.signals import RawSignals
from mlatem.io.store import load_spectrum_image, open_store, write_store
from mlatem.model import SpectrumImage

#: Of a first conversion, and of one that replaces a store.
N_KILLS = 10

#: Converts in processes of its own: into the folder 0 to count the operations on the file system,
#: then into 1, 2, ..., where each kills itself (SIGKILL) before one of them.
CHILDREN = """
import json, os, signal, sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from mlatem.io.signals import RawSignals
from mlatem.io.store import write_store
from mlatem.model import SpectrumImage

# What every child would import anew.
for name in ("dask.array", "pint", "sparse", "xarray.backends.zarr"):
    with suppress(ImportError):
        import_module(name)

WATCHED = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir")


def convert(folder, stop):
    done, renames = 0, []

    def watch(event, args):
        nonlocal done
        if event in WATCHED and str(folder) in str(args[0]):
            done += 1
            if event == "os.rename" and Path(os.fsdecode(args[0])).parent == folder:
                renames.append(done)
            if done == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    counts = np.load(folder.parent / "counts.npy")
    ny, nx, n_energy = counts.shape
    axes = 0.01 * np.arange(n_energy), np.arange(float(ny)), np.arange(float(nx))
    write_store(RawSignals((SpectrumImage(counts, *axes),)), folder / "spim.zarr")
    return {"total": done, "renames": renames}


def fork(folder, stop):
    child = os.fork()
    if child == 0:
        (folder / "operations").write_text(json.dumps(convert(folder, stop)))
        os._exit(0)
    return os.waitpid(child, 0)[1]


folder, n_kills = Path(sys.argv[1]), int(sys.argv[2])
assert fork(folder / "0", 0) == 0
counted = json.loads((folder / "0" / "operations").read_text())
total, renames = counted["total"], counted["renames"]
# Threads vary the order, hardly the number. The store itself is renamed once, or where one is
# replaced three times: killed before each of these, behind the last one and at the very end.
assert len(renames) == (3 if (folder / "old").exists() else 1), renames
stops = [*renames, renames[-1] + 1, total]
rng = np.random.default_rng(17)
stops += rng.choice(np.arange(1, renames[0]), n_kills - len(stops), replace=False).tolist()
killed = [os.WIFSIGNALED(fork(folder / str(n), stop)) for n, stop in enumerate(stops, start=1)]
assert sum(killed) >= n_kills - 1, f"survived operations {stops} of {total}: {killed}"
"""


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(3).poisson(0.3, (140, 20, 64)).astype(np.uint16)


def convert(counts, path):
    ny, nx, n_energy = counts.shape
    axes = 0.01 * np.arange(n_energy), np.arange(float(ny)), np.arange(float(nx))
    write_store(RawSignals((SpectrumImage(counts, *axes),)), path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("has_old", [False, True], ids=["new", "replacing"])
def test_kill_at_any_moment_and_run_again(counts, has_old, tmp_path):
    np.save(tmp_path / "counts.npy", counts)
    old = 2 * counts
    convert(old, tmp_path / "old.zarr")

    folders = [tmp_path / str(index) for index in range(1 + N_KILLS)]
    for folder in folders:
        folder.mkdir()
        if has_old:
            shutil.copytree(tmp_path / "old.zarr", folder / "spim.zarr")
    if has_old:
        (tmp_path / "old").touch()
    command = [sys.executable, "-c", CHILDREN, str(tmp_path), str(N_KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    for folder in folders[1:]:
        assert_complete_or_refused(folder / "spim.zarr", old, counts)
        for remains in folder.glob(".*"):
            assert remains.suffix in (".partial", ".old")
        convert(counts, folder / "spim.zarr")
        assert [p.name for p in folder.iterdir()] == ["spim.zarr"]
        np.testing.assert_array_equal(load_spectrum_image(folder / "spim.zarr").counts[:], counts)


def assert_complete_or_refused(path, *allowed):
    try:
        found = open_store(path)["edxs/counts"].values
    except StoreError:
        assert not path.exists()
    else:
        assert any(np.array_equal(found, counts) for counts in allowed)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("has_old", [False, True], ids=["new", "replacing"])
def test_disk_that_becomes_full(counts, has_old, error, tmp_path, monkeypatch):
    target = tmp_path / "spim.zarr"
    if has_old:
        convert(2 * counts, target)
    n_written = 0
    write_bytes = zarr.storage.LocalStore.set

    async def set_until_full(self, key, value):
        nonlocal n_written
        n_written += 1
        if "/c/" in key and n_written > 3:
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(b"half")
            raise OSError(error, os.strerror(error))
        await write_bytes(self, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(zarr.storage.LocalStore, "set", set_until_full)
        with pytest.raises(StoreError) as caught:
            convert(counts, target)
    assert re.fullmatch(
        r".*spim\.zarr: cannot be written: the disk (is full|quota is used up); "
        r"free some space and run again",
        str(caught.value),
    )
    assert [p.name for p in tmp_path.iterdir()] == (["spim.zarr"] if has_old else [])
    if has_old:
        assert_complete_or_refused(target, 2 * counts)
    convert(counts, target)
    np.testing.assert_array_equal(load_spectrum_image(target).counts[:], counts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs RLIMIT_FSIZE")
def test_file_system_that_refuses_larger_files(counts, tmp_path):
    """The real error of a write that is cut short, whichever library writes."""
    np.save(tmp_path / "counts.npy", counts)
    script = f"""
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_killed_conversion import convert
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
convert(np.load("counts.npy"), Path("full/spim.zarr"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mlatem.errors.StoreError: full/spim.zarr: cannot be written: a file")
    assert list((tmp_path / "full").iterdir()) == []


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def remains(folder, *, pid, machine=None, suffix="partial"):
    path = folder / f".a.zarr.{machine or atomic._machine()}-{pid}-00c0ffee.{suffix}"
    path.mkdir()
    (path / "part").write_text("half")
    return path


def write(target):
    with atomic.atomic_path(target) as partial:
        partial.mkdir()
        (partial / "new").write_text("")


def test_remains_of_the_living_and_of_other_outputs_stay(tmp_path):
    living = remains(tmp_path, pid=os.getppid())
    dead = remains(tmp_path, pid=dead_process())
    other = tmp_path / dead.name.replace("a.zarr", "b.zarr")
    other.mkdir()
    hidden = tmp_path / ".a.zarr.notes.partial"
    hidden.write_text("the user's")
    write(tmp_path / "a.zarr")
    assert set(tmp_path.iterdir()) == {tmp_path / "a.zarr", living, other, hidden}


def test_remains_of_another_machine_are_given_a_day(tmp_path):
    recent = remains(tmp_path, pid=1, machine="0" * 8)
    ancient = remains(tmp_path, pid=2, machine="0" * 8)
    long_ago = time.time() - 2 * 24 * 3600
    for path in (ancient / "part", ancient):
        os.utime(path, (long_ago, long_ago))
    write(tmp_path / "a.zarr")
    assert set(tmp_path.iterdir()) == {tmp_path / "a.zarr", recent}


def test_what_was_moved_aside_is_put_back(tmp_path):
    """Killed between the two renames; the run after it fails too, and the old result is back."""
    remains(tmp_path, pid=dead_process(), suffix="old")
    with pytest.raises(KeyError), atomic.atomic_path(tmp_path / "a.zarr"):
        raise KeyError
    assert (tmp_path / "a.zarr" / "part").read_text() == "half"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
