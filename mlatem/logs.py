# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging of one workflow job to its own file."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from mlatem.errors import MlatemError

#: Stands in the log of every job that was not stopped.
FINISHED = "job finished"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def to_file(path: str | PathLike[str]) -> Iterator[None]:
    """Write the log of a job to `path`, and end a job that met a known error in one line.

    A `MlatemError` is logged as the last ERROR line of the file, printed to stderr, and ends the
    process with status 1. Any other exception is logged with its traceback and raised again.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    started, worked = time.monotonic(), time.process_time()
    try:
        yield
        root.info(
            "%s in %.1f s, %.1f s of processors, peak %.0f MB",
            FINISHED,
            time.monotonic() - started,
            time.process_time() - worked,
            _peak_mb(),
        )
    except MlatemError as error:
        message = " ".join(str(error).split())
        root.error("%s", message)
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(1) from None
    except BaseException as error:
        root.exception("unexpected %s: %s", type(error).__name__, error)
        raise
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
