# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from mlatem.errors import InputError
from mlatem.model import TileStatistics
from mlatem.parallel import map as parallel
from mlatem.parallel.map import map_tiles, single_threaded_blas
from mlatem.parallel.tiling import Tile, plan_tiles

TILES = plan_tiles((10, 7), (3, 2))


def tile_sum(tile: Tile) -> float:
    rng = np.random.default_rng(0)
    return float(rng.random((10, 7))[tile.slices].sum())


@pytest.mark.parametrize("threads", [1, 2, 3, 50])
def test_any_number_of_threads_gives_the_serial_results_in_order(threads: int):
    expected = [tile_sum(tile) for tile in TILES]
    assert list(map_tiles(tile_sum, TILES, threads=threads)) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_arrive_as_they_are(threads: int):
    assert tuple(map_tiles(lambda tile: tile, TILES, threads=threads)) == TILES


def test_negative_numbers_count_from_the_cores(monkeypatch):
    monkeypatch.setattr(parallel, "_n_cores", lambda: 4)
    assert [parallel.n_threads(n) for n in (1, 3, 9, -1, -2, -9)] == [1, 3, 9, 4, 3, 1]
    assert tuple(map_tiles(lambda tile: tile, TILES, threads=-1)) == TILES
    with pytest.raises(InputError, match="threads is 0: give 1 or more, or -1 for all cores"):
        list(map_tiles(lambda tile: tile, TILES, threads=0))


def test_order_is_kept_when_the_first_tile_is_the_slowest():
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0.0)
        return number

    assert list(map_tiles(slow_first, range(6), threads=3)) == list(range(6))


def test_sums_of_records_do_not_depend_on_the_threads():
    rng = np.random.default_rng(1)
    spectra = rng.random((10, 7, 5))

    def statistics(tile: Tile) -> TileStatistics:
        y = spectra[tile.slices].reshape(-1, 5)
        return TileStatistics(len(y), y.sum(0), y.sum(0), y.T @ y)

    serial = sum(map_tiles(statistics, TILES), TileStatistics.zero(5))
    threaded = sum(map_tiles(statistics, TILES, threads=4), TileStatistics.zero(5))
    np.testing.assert_array_equal(serial.moment, threaded.moment)
    assert serial.n_pixels == threaded.n_pixels == 70


def test_only_a_batch_is_in_flight():
    lock = threading.Lock()
    running, started, most_running = 0, 0, 0

    def count(number: int) -> int:
        nonlocal running, started, most_running
        with lock:
            running += 1
            started += 1
            most_running = max(most_running, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return number

    for taken, _ in enumerate(map_tiles(count, range(20), threads=3), start=1):
        assert started - taken < 3
    assert started == 20
    assert most_running <= 3


def test_nothing_runs_before_a_result_is_asked_for():
    calls: list[int] = []
    results = map_tiles(calls.append, range(5))
    assert calls == []
    next(results)
    assert calls == [0]
    results.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_exceptions_reach_the_caller(threads: int):
    def fail(number: int) -> int:
        if number == 4:
            raise InputError("tile 4 holds NaN")
        return number

    results = map_tiles(fail, range(9), threads=threads)
    with pytest.raises(InputError, match="tile 4 holds NaN"):
        list(results)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_counts_every_tile(threads: int):
    seen: list[tuple[int, int]] = []
    list(map_tiles(str, range(5), threads=threads, progress=lambda *args: seen.append(args)))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_no_tiles_give_no_results():
    assert list(map_tiles(str, [], threads=2)) == []


def test_blas_has_one_thread_inside_and_its_own_outside():
    np.ones((4, 4)) @ np.ones((4, 4))
    before = [pool["num_threads"] for pool in threadpool_info()]
    with single_threaded_blas():
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
    assert [pool["num_threads"] for pool in threadpool_info()] == before
