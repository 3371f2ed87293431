# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles on worker processes: the results of threads, few at a time, and plain errors."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import xarray as xr
import yaml
from threadpoolctl import threadpool_info

import mlatem
from mlatem import settings
from mlatem.errors import ConfigError, InputError, WorkerError
from mlatem.io.store import load_spectrum_image
from mlatem.parallel import worker_task, workers
from mlatem.parallel.map import map_tiles
from mlatem.parallel.tiling import Tile, plan_tiles
from mlatem.parallel.workers import TILES_AHEAD, spread_over
from mlatem.passes import TileSource, statistics_pass, sum_spectrum_pass
from mlatem.physics.dictionary import edxs_dictionary

Client = pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'mlatem[spread]'"
).Client

TILES = plan_tiles((10, 8), (2, 2))


def tile_sum(tile: Tile) -> tuple[float, int]:
    rng = np.random.default_rng(tile.y0 * 100 + tile.x0)
    first = tile == TILES[0]
    time.sleep(0.2 if first else 0.0)
    return float(rng.random(1000).sum()), os.getpid()


class DaskOnThisMachine:
    """`dask scheduler` and `dask worker`, as users start them."""

    def __init__(self, folder: Path, n_workers: int) -> None:
        self.file = folder / "scheduler.json"
        self._started: list[subprocess.Popen] = []
        self._run("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
        wait_until(self.file.exists)
        self.workers = [self.add_worker() for _ in range(n_workers)]
        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            n_workers and client.wait_for_workers(n_workers, timeout=120)

    def _run(self, what: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}"]
        command += ["--scheduler-file", str(self.file), *options]
        self._started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return self._started[-1]

    def add_worker(self) -> subprocess.Popen:
        return self._run("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def close(self) -> None:
        for process in reversed(self._started):
            process.kill()
            process.wait()


def wait_until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.05)


@pytest.fixture
def dask(tmp_path):
    started = DaskOnThisMachine(tmp_path, n_workers=2)
    yield started
    started.close()


@pytest.fixture(scope="module")
def processes():
    with spread_over("processes", n_workers=2):
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Two phases in 36 x 40 pixels; tiles of 16 x 16 reach over chunks and have a halo."""
    folder = tmp_path_factory.mktemp("spread")
    specimen = {
        "name": "small",
        "seed": 5,
        "n_rows": 36,
        "n_columns": 40,
        "n_channels": 800,
        "channel_ev": 10.0,
        "first_channel_kev": 0.2,
        "counts_per_pixel": 150.0,
        "phases": [
            {"name": "glass", "atomic_percent": {"O": 66.7, "Si": 33.3}},
            {
                "name": "iron",
                "atomic_percent": {"Fe": 100.0},
                "shape": {"kind": "layer", "centre": 0.6, "width_nm": 60.0},
            },
        ],
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(specimen))
    mlatem.simulate(folder / "small.yaml", folder / "raw", name="small")
    mlatem.convert(folder / "raw" / "small.hspy", folder / "spim.zarr")
    return folder / "spim.zarr"


def analysed(store: Path, threads: int = 1) -> list[xr.Dataset]:
    """Everything that looks at pixels, from the store."""
    from mlatem.steps.inputs import open_source

    image, _ = open_source(store)
    dictionary = edxs_dictionary(image.energy, elements=["O", "Si", "Fe"], beam_energy_kev=200.0)
    options = {"tile_shape": (16, 16), "threads": threads}
    lowrank = mlatem.denoise(
        image, dictionary, settings=settings.Denoise(rare=True, held_out=True), **options
    )
    phases = mlatem.factorize(image, dictionary, 2, **options)
    rare = mlatem.find_rare_phases(image, phases, threads=threads)
    return [lowrank, phases, rare]


def assert_identical(found: list[xr.Dataset], expected: list[xr.Dataset]) -> None:
    for one, other in zip(found, expected, strict=True):
        xr.testing.assert_identical(one, other)


@pytest.fixture(scope="module")
def on_threads(store):
    return analysed(store, threads=2)


def test_processes_give_the_numbers_of_threads(store, on_threads, processes):
    assert_identical(analysed(store), on_threads)


def test_an_existing_scheduler_gives_the_numbers_of_threads(store, on_threads, dask):
    with spread_over(str(dask.file)):
        assert_identical(analysed(store), on_threads)


def test_results_come_in_the_order_of_the_tiles_from_both_processes(processes):
    expected = [tile_sum(tile)[0] for tile in TILES]
    found = list(map_tiles(tile_sum, TILES))
    assert [value for value, _ in found] == expected
    assert len({pid for _, pid in found} - {os.getpid()}) == 2


def test_few_tiles_are_in_flight(processes, tmp_path):
    def started(tile: Tile) -> None:
        (tmp_path / f"{tile.y0}-{tile.x0}").touch()

    for n_taken, _ in enumerate(map_tiles(started, TILES), start=1):
        time.sleep(0.02)
        assert len(list(tmp_path.iterdir())) - n_taken < 2 * TILES_AHEAD
    assert len(list(tmp_path.iterdir())) == len(TILES)


def test_one_thread_of_blas_in_every_process(processes):
    def pools(_: Tile) -> list[int]:
        np.ones((4, 4)) @ np.ones((4, 4))
        return [pool["num_threads"] for pool in threadpool_info()]

    assert {n for pools in map_tiles(pools, TILES) for n in pools} <= {1}


def test_errors_of_a_tile_and_progress_reach_the_caller(processes):
    def fail(tile: Tile) -> None:
        if tile == TILES[7]:
            raise InputError("tile 7 holds NaN")

    seen: list[tuple[int, int]] = []
    with pytest.raises(InputError, match="tile 7 holds NaN"):
        list(map_tiles(fail, TILES, progress=lambda *args: seen.append(args)))
    assert seen == [(n, len(TILES)) for n in range(1, 8)]


def test_counts_that_fit_are_read_once_by_one_of_the_processes(store, processes, tmp_path):
    source = TileSource(
        ReadsOnRecord(store, tmp_path), slice(0, 800), tile_shape=(16, 40), threads=2
    ).kept_in_memory()
    for _ in range(3):
        statistics_pass(source)
    assert len(list(tmp_path.iterdir())) == len(source.tiles) == 3


class ReadsOnRecord:
    """The counts of a store that leave a file for every read."""

    shape, ndim = (36, 40, 800), 3

    def __init__(self, store: Path, folder: Path) -> None:
        self.store, self.folder = store, folder

    def __getitem__(self, key):
        (self.folder / str(time.time_ns())).touch()
        from mlatem.steps.inputs import open_source

        return open_source(self.store)[0].counts[key]


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_store_is_found_from_another_folder_or_missed_aloud(
    store, tmp_path, monkeypatch, is_lazy
):
    """What is missing of a Zarr array would read as zeros."""
    shutil.copytree(store, tmp_path / "spim.zarr")
    monkeypatch.chdir(tmp_path)
    data = mlatem.open("spim.zarr")["edxs"]["counts"].data if is_lazy else None
    counts = load_spectrum_image("spim.zarr").counts if data is None else data
    source = TileSource(counts, slice(0, 800), tile_shape=(16, 16))
    function = workers.pickled(source.load)
    expected = source.load(source.tiles[1]).sum_spectrum()
    monkeypatch.chdir("/")
    found = pickle.loads(function)(source.tiles[1]).sum_spectrum()
    np.testing.assert_array_equal(found, expected)
    shutil.rmtree(tmp_path / "spim.zarr")
    with pytest.raises(WorkerError, match=r"does not see .*spim\.zarr: run workers on machines"):
        pickle.loads(function)


@pytest.mark.parametrize("why", ["MB of arrays that are in memory", "cannot go to other processes"])
def test_what_cannot_be_sent_is_worked_on_here(processes, monkeypatch, caplog, why):
    monkeypatch.setattr(workers, "LIMIT_BYTES", 10_000)
    values = np.arange(40 * 40 * 20).reshape(40, 40, 20) % 3
    counts = Locked(values) if why.startswith("cannot") else values
    total = sum_spectrum_pass(TileSource(counts, slice(0, 20), tile_shape=(8, 8)))
    np.testing.assert_array_equal(total, values.sum(axis=(0, 1)))
    assert "tiles are worked on in this process: " in caplog.text
    assert why in caplog.text


class Locked:
    """Counts of a file that only one thread may read at a time."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.lock = values, Lock()
        self.shape, self.ndim = values.shape, values.ndim

    def __getitem__(self, key):
        with self.lock:
            return self.values[key]


def test_a_worker_that_is_killed_is_replaced(dask, tmp_path):
    """One dies in the middle of a tile; the other, and one that comes later, do all the rest."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def slow(tile: Tile) -> int:
        (marks / f"{os.getpid()}").touch()
        time.sleep(0.1)
        return tile.y0 * 100 + tile.x0

    expected = [tile.y0 * 100 + tile.x0 for tile in TILES]
    with spread_over(str(dask.file)):
        results = map_tiles(slow, TILES)
        found = [next(results)]
        wait_until(lambda: len(list(marks.iterdir())) == 2)
        dask.workers[0].send_signal(signal.SIGKILL)
        found.append(next(results))
        dask.add_worker()
        found.extend(results)
    assert found == expected


def test_all_workers_lost(dask, monkeypatch):
    monkeypatch.setattr(workers, "WORKERS_S", 0.5)
    monkeypatch.setattr(workers, "_LOOK_S", 0.1)
    with spread_over(str(dask.file)):
        results = map_tiles(tile_sum, TILES)
        next(results)
        for worker in dask.workers:
            worker.kill()
        with pytest.raises(WorkerError, match=r"all workers of the Dask scheduler .* are gone"):
            list(results)


def test_a_tile_that_kills_every_worker_ends_the_run(processes):
    def die(tile: Tile) -> None:
        if tile == TILES[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"4 workers of this machine died on the same tile.*more"):
        list(map_tiles(die, TILES))
    # Others have taken their places.
    assert len(list(map_tiles(tile_sum, TILES))) == len(TILES)


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "WORKERS_S", 0.5)
    dask = DaskOnThisMachine(tmp_path, n_workers=0)
    try:
        with (
            spread_over(str(dask.file)),
            pytest.raises(WorkerError, match=r"has no workers.*start some \(`dask worker"),
        ):
            list(map_tiles(tile_sum, TILES))
    finally:
        dask.close()


def test_a_scheduler_that_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "CONNECT_S", 0.5)
    address = "tcp://127.0.0.1:9"
    with (
        spread_over(address),
        pytest.raises(WorkerError, match=f"no Dask scheduler answers at {address}.*start it"),
    ):
        list(map_tiles(tile_sum, TILES))
    file = tmp_path / "none.json"
    with spread_over(str(file)), pytest.raises(WorkerError, match=r"none.json: no such scheduler"):
        list(map_tiles(tile_sum, TILES))


def test_another_version_is_refused(dask, processes, monkeypatch):
    monkeypatch.setattr(worker_task, "own_version", lambda: "9.9")
    refused = r"runs MLATEM 0\.\d.*, and this process 9\.9: start scheduler and workers in the env"
    with spread_over(str(dask.file)), pytest.raises(WorkerError, match=rf"scheduler .* {refused}"):
        list(map_tiles(tile_sum, TILES))
    # A worker that comes later is asked by each tile.
    with pytest.raises(WorkerError, match=rf"this worker {refused}"):
        list(map_tiles(tile_sum, TILES))
    with pytest.raises(WorkerError, match=r"worker 3 has no MLATEM, and this process 1\.0"):
        worker_task.check_version(None, "1.0", "worker 3")


def test_an_unguarded_script_is_not_run_again_by_its_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from mlatem.parallel.map import map_tiles\n"
        "from mlatem.parallel.workers import spread_over\n"
        "print('ran')\n"
        "with spread_over('processes', n_workers=2):\n"
        "    print(sum(map_tiles(abs, [-1, -2, -3])))\n"
    )
    done = subprocess.run(
        [sys.executable, script], check=False, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "ran\n6\n"), done.stderr


@pytest.mark.parametrize("dask", ["procs", "tcp://host", "host:8786", ""])
def test_places_that_do_not_exist(dask):
    with pytest.raises(ConfigError, match=r"workflow\.dask: expected threads, processes"):
        spread_over(dask).__enter__()


def test_distributed_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        spread_over("tcp://127.0.0.1:9"),
        pytest.raises(WorkerError, match=r"distributed is not installed: run `pip install"),
    ):
        list(map_tiles(partial(int), [1, 2]))


def test_threads_and_one_process_start_nothing():
    for dask, n_workers in (("threads", 4), ("processes", 1)):
        with spread_over(dask, n_workers=n_workers):
            assert workers.current_workers() is None
