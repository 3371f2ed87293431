# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that freed arrays leave behind in threads."""

from __future__ import annotations

import ctypes
import sys

_ARENA_MAX = -8


def share_one_arena() -> None:
    """Let all threads of this process take memory from one place, where the GNU library allows it.

    Otherwise each thread that decodes chunks of a store keeps what it freed, and the peak of a
    process grows with the number of chunks that it reads. To be called before there are threads.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
