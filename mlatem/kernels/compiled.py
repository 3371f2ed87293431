# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the compiled functions in this process: loaded from the cache, or compiled."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

from numba.core.registry import CPUDispatcher

from mlatem import kernels


@dataclass(frozen=True)
class CacheUse:
    """Compiled functions, one for each kind of arguments."""

    n_loaded: int
    """Found in the cache."""
    n_compiled: int
    """Not found there, so compiled and kept."""
    folder: str
    """The cache of one module; those of the others lie beside it."""


def cache_use() -> CacheUse:
    """How this process used the cache of compiled functions up to now."""
    found = [kernel.stats for kernel in _kernels()]
    return CacheUse(
        n_loaded=sum(sum(one.cache_hits.values()) for one in found),
        n_compiled=sum(sum(one.cache_misses.values()) for one in found),
        folder=str(found[0].cache_path),
    )


def _kernels() -> Iterator[CPUDispatcher]:
    for module in pkgutil.iter_modules(kernels.__path__):
        members = vars(importlib.import_module(f"{kernels.__name__}.{module.name}"))
        for value in members.values():
            if isinstance(value, CPUDispatcher) and value.py_func.__module__.endswith(module.name):
                yield value
