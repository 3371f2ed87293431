# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job of the workflow works on the tiles of its map."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from mlatem import settings
from mlatem.parallel.workers import spread_over


def as_configured(config: Mapping[str, Any], threads: int) -> AbstractContextManager[None]:
    """Spread tiles as `workflow.dask` of a campaign's configuration says.

    It is no parameter of a rule: where something was computed is no reason to compute it again.

    Parameters
    ----------
    config : mapping
        The configuration of the campaign, as read from YAML.
    threads : int
        Threads of the job: so many processes are started, where they are.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    """
    return spread_over(settings.parse(config).workflow.dask, n_workers=threads)
