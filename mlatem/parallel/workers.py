# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes that tiles are spread over: on this machine, or wherever Dask runs them."""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
import time
from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle

from mlatem.errors import WorkerError
from mlatem.parallel import worker_task

THREADS, PROCESSES = "threads", "processes"
#: Tiles that run or wait for each thread of a worker: none has to wait for the next one.
TILES_AHEAD = 2
#: What goes to every worker with a function, at most: the arrays of a model, not the counts of a
#: large map.
LIMIT_BYTES = 256 * 2**20
#: Seconds in which a scheduler answers.
CONNECT_S = 30.0
#: Seconds in which one of the workers is there, at the beginning and after all were lost.
WORKERS_S = 300.0

#: Seconds after which it is seen whether there are workers; enough to fetch a result.
_LOOK_S = 20.0
_QUIET = {"distributed.admin.large-graph-warning-threshold": "1GB"}
_logger = logging.getLogger(__name__)
_current: ContextVar[Workers | None] = ContextVar("workers", default=None)


@contextmanager
def spread_over(dask: str = THREADS, *, n_workers: int = 1) -> Iterator[None]:
    """Spread tiles over worker processes, in everything that is called within.

    The results are the same, to the last bit, as on threads. Processes start, and a scheduler is
    asked, when the first tiles are worked on.

    Parameters
    ----------
    dask : str, optional
        "threads" of this process (their number is that of each function's `threads`), "processes"
        on this machine, the address of a Dask scheduler ("tcp://host:8786"), or the path of its
        scheduler file (.json). Its workers need to see the stores under the same paths.
    n_workers : int, optional
        Number of processes. A scheduler knows its own.

    Raises
    ------
    ConfigError
        If `dask` is none of these.
    WorkerError
        If `distributed` is not installed; within, if no scheduler or worker answers, they run
        another version of MLATEM, or a worker dies on the same tile again and again.
    """
    from mlatem.settings import parse

    parse({"workflow": {"dask": dask}}, source="spread_over")
    here = dask == THREADS or (dask == PROCESSES and n_workers == 1)
    workers = None if here else Workers(dask, n_workers)
    before = _current.set(workers)
    try:
        yield
    finally:
        _current.reset(before)
        if workers is not None:
            workers.close()


def current_workers() -> Workers | None:
    """The workers that tiles are spread over here; None for threads."""
    return _current.get()


@dataclass
class Workers:
    """Processes of a Dask scheduler, which is reached when it is needed."""

    dask: str
    """As in `spread_over`."""
    n_workers: int = 1
    """Processes that are started, where they are."""
    _client: Any = None
    _opened: ExitStack = field(default_factory=ExitStack)

    @property
    def n_here(self) -> int:
        """Processes among which the memory of this machine is shared."""
        return self.n_workers if self.dask == PROCESSES else 1

    def map(self, pickled: bytes, tiles: Sequence[Any]) -> Iterator[Any]:
        """Results of a pickled function for every tile, in their order; few are in flight.

        Raises
        ------
        WorkerError
            If the workers cannot be reached, or are lost.
        """
        client = self._connected()
        digest = hashlib.sha256(pickled).hexdigest()
        # A task of its own: it goes to each worker once, and is there again if one is lost.
        shared = client.submit(bytes, pickled, key=f"mlatem-function-{digest}")
        waiting: deque[Any] = deque()
        try:
            for number, tile in enumerate(tiles):
                n_threads = client.nthreads()
                names, in_flight = sorted(n_threads), TILES_AHEAD * sum(n_threads.values())
                while len(waiting) >= max(in_flight, 1):
                    yield self._result(waiting.popleft())
                future = client.submit(
                    worker_task.run_tile,
                    shared,
                    digest,
                    tile,
                    worker_task.own_version(),
                    pure=False,
                    # The same worker in every pass: it may have kept the counts.
                    workers=names[number % len(names)] if names else None,
                    allow_other_workers=bool(names),
                )
                waiting.append(future)
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            with suppress(Exception):
                client.cancel([shared, *waiting])

    def close(self) -> None:
        """End what was started, and let workers of others forget what they keep."""
        if self._client is not None and self.dask != PROCESSES:
            with suppress(Exception):
                self._client.run(worker_task.forget)
        self._client = None
        self._opened.close()

    def _result(self, future: Any) -> Any:
        from distributed.scheduler import KilledWorker

        lost_since = None
        while True:
            try:
                return future.result(timeout=_LOOK_S)
            except TimeoutError:
                # Not there yet; or lost with its worker, though it had been finished.
                if future.status == "error":
                    raise
            except KilledWorker as error:
                raise WorkerError(
                    f"{error.allowed_failures + 1} workers of {self._name} died on the same tile, "
                    "most often because memory ran out: give the workers more memory or have fewer "
                    "of them, or set workflow.dask to threads, which need less"
                ) from None
            now = time.monotonic()
            lost_since = None if self._client.nthreads() else lost_since or now
            if lost_since is not None and now - lost_since > WORKERS_S:
                raise WorkerError(
                    f"all workers of {self._name} are gone for {WORKERS_S:.0f} s: start new ones "
                    "and run again"
                )

    @property
    def _name(self) -> str:
        return "this machine" if self.dask == PROCESSES else f"the Dask scheduler {self.dask}"

    @property
    def _option(self) -> str:
        """How Dask's own commands name the scheduler."""
        return f"--scheduler-file {self.dask}" if self.dask.endswith(".json") else self.dask

    def _connected(self) -> Any:
        if self._client is None:
            try:
                import distributed
            except ImportError:
                raise WorkerError(
                    f"workflow.dask is {self.dask}, but distributed is not installed: run `pip "
                    "install 'mlatem[spread]'`, or set workflow.dask to threads"
                ) from None
            import dask

            self._opened.enter_context(dask.config.set(_QUIET))
            self._opened.enter_context(_only_errors("distributed"))
            if self.dask == PROCESSES:
                self._client = self._start(distributed)
            else:
                self._client = self._reach(distributed)
                _check_versions(self._client, self._name)
            _logger.info("tiles go to %d workers of %s", len(self._client.nthreads()), self._name)
        return self._client

    def _start(self, distributed: Any) -> Any:
        enter = self._opened.enter_context
        enter(_main_not_run_again())
        # No memory limit of Dask's own, which would make workers wait for ever when they near it:
        # a job has one, and tiles in flight are bounded.
        cluster = distributed.LocalCluster(
            n_workers=self.n_workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
        )
        enter(cluster)
        client = distributed.Client(cluster, set_as_default=False)
        enter(client)
        return client

    def _reach(self, distributed: Any) -> Any:
        to = {"address": self.dask}
        if self.dask.endswith(".json"):
            if not Path(self.dask).is_file():
                raise WorkerError(
                    f"{self.dask}: no such scheduler file: start `dask scheduler {self._option}`, "
                    "or correct workflow.dask"
                )
            to = {"scheduler_file": self.dask}
        try:
            client = distributed.Client(**to, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {self.dask} within {CONNECT_S:.0f} s: start it "
                "(`dask scheduler`), correct workflow.dask, or set it to threads"
            ) from error
        self._opened.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except distributed.TimeoutError:
            raise WorkerError(
                f"{self._name} has no workers, also not after {WORKERS_S:.0f} s: start some "
                f"(`dask worker {self._option}`)"
            ) from None
        return client


def _check_versions(client: Any, name: str) -> None:
    """Refuse a scheduler and workers of other versions of MLATEM or Python."""
    versions = client.get_versions(packages=["mlatem"])
    python = ".".join(map(str, sys.version_info[:2]))
    found = {name: versions["scheduler"]}
    found |= {f"worker {address}": one for address, one in versions["workers"].items()}
    for who, one in found.items():
        packages = one["packages"]
        worker_task.check_version(packages["mlatem"], worker_task.own_version(), who)
        theirs = ".".join(packages["python"].split(".")[:2])
        if theirs != python:
            raise WorkerError(
                f"{who} runs Python {theirs}, and this process {python}: start scheduler and "
                "workers in the environment that MLATEM runs in"
            )


def pickled(function: Callable[..., Any]) -> bytes | None:
    """A function with what it refers to; None where that stays here, with a warning that says why.

    Counts of some files cannot go to another process, and those that are in memory are not sent
    where they are large: processes read a store themselves.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        # What is too large is seen before it is copied.
        size = len(_dumps(function, buffer_callback=buffers.append))
        size += sum(buffer.raw().nbytes for buffer in buffers)
        if size <= LIMIT_BYTES:
            return _dumps(function)
        reason = f"each process would get {size / 1e6:.0f} MB of arrays that are in memory"
    except (TypeError, pickle.PicklingError, BufferError) as error:
        reason = f"what they read cannot go to other processes ({error})"
    _logger.warning("tiles are worked on in this process: %s; a store can be spread", reason)
    return None


def _dumps(function: Callable[..., Any], **options: Any) -> bytes:
    """A pickle in which the folders of stores are absolute, and looked for where it is read."""
    from zarr.storage import LocalStore

    def reduced(store: LocalStore) -> tuple[Callable[..., Any], tuple[str, bool]]:
        return worker_task.store_here, (str(store.root.resolve()), store.read_only)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar = ChainMap(
            {LocalStore: reduced}, cloudpickle.Pickler.dispatch_table
        )

    file = BytesIO()
    Pickler(file, protocol=5, **options).dump(function)
    return file.getvalue()


@contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Keep what a library tells of its inner life out of the log of a job."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _main_not_run_again() -> Iterator[None]:
    """Let new processes not run the script that they are started from, as Python has them do."""
    main = sys.modules["__main__"]
    path = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main.__dict__["__file__"] = path
