# SPDX-License-Identifier: GPL-3.0-or-later
"""The same function on every tile: in a loop, on threads under Dask, or on worker processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from mlatem.errors import InputError
from mlatem.parallel.workers import current_workers, pickled

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread per worker: oversubscription doubles the cost of small products."""
    with threadpool_limits(limits=1):
        yield


def n_threads(threads: int) -> int:
    """How many threads a number means: counted from the cores that there are if it is negative.

    Raises
    ------
    InputError
        If it is 0.
    """
    if threads == 0:
        raise InputError("threads is 0: give 1 or more, or -1 for all cores")
    return threads if threads > 0 else max(1, _n_cores() + 1 + threads)


def in_a_loop(threads: int) -> bool:
    """Whether tiles are worked on here, one after the other."""
    return n_threads(threads) == 1 and current_workers() is None


def _n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_tiles(
    function: Callable[[T], R],
    tiles: Sequence[T],
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[R]:
    """Results of `function` for every tile, in the order of the tiles.

    At most `threads` tiles, and as many waiting results, are in memory at a time. The order of the
    results, hence any sum over them, does not depend on the number of threads, nor on whether
    tiles are spread over processes (`mlatem.parallel.workers.spread_over`).

    Parameters
    ----------
    function : callable
        Takes a tile; runs in a thread, so its heavy parts should release the interpreter lock.
    tiles : sequence
    threads : int, optional
        1 runs a plain loop, the reference; -1 uses all cores, -2 all but one, and so on. Workers,
        where tiles are spread over them, have their own number.
    progress : callable, optional
        Called with the number of finished tiles and of all tiles.

    Yields
    ------
    result
    """
    n_workers, workers = n_threads(threads), current_workers()
    portable = None if workers is None or len(tiles) <= 1 else pickled(function)
    with single_threaded_blas():
        if workers is None or portable is None:
            results = _here(function, tiles, n_workers)
        else:
            results = workers.map(portable, tiles)
        for done in range(1, len(tiles) + 1):
            result = next(results)
            if progress is not None:
                progress(done, len(tiles))
            yield result
            del result  # before the next one is made


def _here(function: Callable[[T], R], tiles: Sequence[T], n_workers: int) -> Iterator[R]:
    for batch in _batches(tiles, n_workers):
        results = deque(_run(function, batch, n_workers))
        while results:
            yield results.popleft()  # nothing here holds on to it


def _batches(tiles: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]


def _run(function: Callable[[T], R], batch: Sequence[T], threads: int) -> Sequence[R]:
    if threads <= 1 or len(batch) == 1:
        return [function(tile) for tile in batch]
    import dask

    tasks: list[Any] = [dask.delayed(function, pure=False)(tile) for tile in batch]
    return list(dask.compute(*tasks, scheduler="threads", num_workers=threads))
