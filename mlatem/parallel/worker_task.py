# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in a worker process: a function on one tile, and what the process keeps of it."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from mlatem.errors import WorkerError

T = TypeVar("T")

_lock = Lock()
#: The function of the last tile, by the digest of its pickle: unpickled once in a process.
_functions: dict[str, Callable[[Any], Any]] = {}
#: What outlives a function, such as counts that were read.
_kept: dict[str, Any] = {}


def run_tile(pickled: bytes, digest: str, tile: Any, version: str) -> Any:
    """The result of a pickled function for a tile.

    Raises
    ------
    WorkerError
        If this process runs another version of MLATEM than the one that asks.
    """
    check_version(own_version(), version, "this worker")
    return _function(pickled, digest)(tile)


@cache
def own_version() -> str:
    """The version of MLATEM that this process runs."""
    return version_of("mlatem")


def check_version(found: str | None, wanted: str, who: str) -> None:
    """Refuse a process that would compute something else.

    Raises
    ------
    WorkerError
        Naming both versions.
    """
    if found != wanted:
        has = "has no MLATEM" if found is None else f"runs MLATEM {found}"
        raise WorkerError(
            f"{who} {has}, and this process {wanted}: start scheduler and workers in the "
            "environment that MLATEM runs in"
        )


def store_here(root: str, read_only: bool) -> Any:
    """The folder of a store that another process opened.

    Raises
    ------
    WorkerError
        If this process does not see it: what is missing would read as zeros.
    """
    from zarr.storage import LocalStore

    if not (Path(root) / "zarr.json").is_file():
        raise WorkerError(
            f"a worker on {socket.gethostname()} does not see {root}: run workers on machines that "
            "share the file system of the results, or set workflow.dask to threads"
        )
    return LocalStore(root, read_only=read_only)


def kept_here(key: str, make: Callable[[], T]) -> T:
    """What this process keeps under a key, made where it is absent.

    Only what was made last is kept: a worker that serves one data set after the other does not
    grow.
    """
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = make()
        value: T = _kept[key]
        return value


def forget() -> None:
    """Give up what this process keeps."""
    with _lock:
        _functions.clear()
        _kept.clear()


def _function(pickled: bytes, digest: str) -> Callable[[Any], Any]:
    with _lock:
        function = _functions.get(digest)
    if function is None:
        _one_thread()
        function = pickle.loads(pickled)
        with _lock:
            _functions.clear()
            _functions[digest] = function
    return function


def _one_thread() -> None:
    """One thread of BLAS and of Dask for every tile: the cores are shared by the workers."""
    import dask

    threadpool_limits(limits=1)
    # Else a lazy array in a task would be computed by all workers.
    dask.config.set(scheduler="synchronous")
