# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ahead in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], n: int) -> Iterator[T]:
    """The same items, of which a thread makes `n` while the caller works on the one before.

    Parameters
    ----------
    items : iterator
        Of anything but None; only the thread steps it. What it raises is raised at its place.
    n : int
        At least 1. So many items may lie in memory beside the one that was handed out.

    Yields
    ------
    item
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(n))
        while waiting:
            found = [waiting.popleft().result()]
            if found[0] is None:
                return
            waiting.append(pool.submit(next, items, None))
            yield found.pop()  # type: ignore[misc]
