# SPDX-License-Identifier: GPL-3.0-or-later
"""Search of a store for phases that its factorisation lacks."""

from __future__ import annotations

from os import PathLike

from mlatem import api
from mlatem import settings as _settings
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.model import Factorization, RareSearch
from mlatem.steps.inputs import content_of, open_source
from mlatem.steps.progress import progress


def find_rare_phases(
    store: str | PathLike[str],
    factorization: str | PathLike[str],
    *,
    rare: str | PathLike[str],
    settings: _settings.Factorize,
    threads: int = 1,
) -> RareSearch:
    """Test every pixel of a store for more of an element than its phases hold.

    Parameters
    ----------
    store, factorization : path-like
        What `convert` and `factorize` wrote.
    rare : path-like
        Folder to write.
    settings : settings.Factorize
        Chance of a false alarm, and the seed.
    threads : int, optional
        Tiles worked on at a time.

    Returns
    -------
    search : RareSearch
    """
    image, _ = open_source(store)
    with content_of(factorization, "a factorisation", "mlatem factorize"):
        result = Factorization.from_dataset(load_dataset(factorization))
    with progress("find rare phases") as advance:
        found = api.find_rare_phases(
            image,
            result,
            false_alarm=settings.rare_false_alarm,
            seed=settings.seed,
            threads=threads,
            progress=advance,
        )
    save_dataset(found, rare)
    return RareSearch.from_dataset(found)
