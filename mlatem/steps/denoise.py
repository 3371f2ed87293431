# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-rank basis and scores of a store."""

from __future__ import annotations

from os import PathLike

from mlatem import api
from mlatem import settings as _settings
from mlatem.io.store import load_parts, load_survey
from mlatem.parallel.arenas import share_one_arena
from mlatem.steps.inputs import half_of_shard, load_calibration, open_source
from mlatem.steps.progress import progress


def denoise(
    store: str | PathLike[str],
    calibration: str | PathLike[str],
    *,
    lowrank: str | PathLike[str],
    edxs: _settings.Edxs,
    settings: _settings.Denoise,
    threads: int = 1,
) -> None:
    """Find the low-rank basis of a store and the scores of its pixels.

    Parameters
    ----------
    store, calibration : path-like
        What `convert` and `calibrate` wrote.
    lowrank : path-like
        Folder to write.
    edxs, settings : settings records
    threads : int, optional
        Tiles worked on at a time.
    """
    share_one_arena()
    image, tile_shape = open_source(store)
    known = load_calibration(calibration)
    dictionary = api.edxs_dictionary(image, known, edxs=edxs)
    guide = load_survey(store) if settings.guide == "haadf" else None
    with progress("denoise") as advance:
        api.denoise(
            image,
            dictionary,
            calibration=known,
            edxs=edxs,
            settings=settings,
            threads=threads,
            tile_shape=half_of_shard(tile_shape),
            progress=advance,
            guide=guide,
            parts=load_parts(store),
            path=lowrank,
        )
