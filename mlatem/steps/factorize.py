# SPDX-License-Identifier: GPL-3.0-or-later
"""The factorisation of a store in one go; very large maps have `mlatem.steps.blocks`."""

from __future__ import annotations

from mlatem import api
from mlatem import settings as _settings
from mlatem.io.datasets import save_dataset
from mlatem.io.detector_tables import with_detector_file
from mlatem.model.prior_conflicts import agreed_geometry
from mlatem.model.priors import Priors
from mlatem.passes import TileSource
from mlatem.physics.own_columns import own_columns
from mlatem.sheet import DatasetRow
from mlatem.steps.inputs import (
    Path_,
    half_of_shard,
    load_calibration,
    load_lowrank,
    open_source,
)
from mlatem.steps.progress import progress


def factorize(
    store: Path_,
    calibration: Path_,
    lowrank: Path_,
    *,
    factorization: Path_,
    edxs: _settings.Edxs,
    settings: _settings.Factorize,
    priors: Priors | None = None,
    threads: int = 1,
) -> None:
    """Factorise a store, of which what fits into memory is read only once.

    Parameters
    ----------
    store, calibration, lowrank : path-like
        What `convert`, `calibrate` and `denoise` wrote.
    factorization : path-like
        Folder to write.
    edxs, settings : settings records
    priors : Priors, optional
        What is known of the phases.
    threads : int, optional
        Tiles worked on at a time.

    Raises
    ------
    InputError
        If the data carry fewer phases than asked for, or the priors do not belong to them.
    StoreError
        If the low-rank product is damaged, or was made in another window than the calibration's.
    """
    image, tile_shape = open_source(store)
    known = load_calibration(calibration)
    edxs = with_detector_file(edxs)
    dictionary = api.edxs_dictionary(image, known, edxs=edxs)
    basis, total_counts = load_lowrank(lowrank, dictionary)
    with progress("factorize") as advance:
        source = TileSource.for_dictionary(
            image.counts,
            dictionary,
            label=str(store),
            tile_shape=half_of_shard(tile_shape),
            threads=threads,
            progress=advance,
            mask=image.mask,
        )
        result = api.phases_of(
            source.kept_in_memory(),
            basis,
            dictionary,
            settings,
            total_counts=total_counts,
            y_nm=image.y_nm,
            x_nm=image.x_nm,
            own_columns=own_columns(dictionary, known, edxs),
            priors=priors,
        )
    save_dataset(result.to_dataset(), factorization)


def factorize_settings(
    row: DatasetRow, settings: _settings.Factorize, priors: Priors | None = None
) -> _settings.Factorize:
    """The settings of one dataset: what its row or its priors say takes precedence.

    Raises
    ------
    ConfigError
        If row and priors contradict each other.
    """
    told = agreed_geometry(priors, row.geometry or "auto", "the column geometry")
    given = {"n_phases": row.n_phases, "geometry": row.geometry if told == "auto" else told}
    return settings.model_copy(update={k: v for k, v in given.items() if v is not None})
