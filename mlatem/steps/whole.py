# SPDX-License-Identifier: GPL-3.0-or-later
"""All stages of a dataset in one process: for campaigns of very many small maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlatem import api
from mlatem import settings as _settings
from mlatem.sheet import DatasetRow
from mlatem.steps.calibrate import calibrate
from mlatem.steps.convert import convert
from mlatem.steps.denoise import denoise
from mlatem.steps.factorize import factorize, factorize_settings
from mlatem.steps.inputs import Path_
from mlatem.steps.quantify import quantify
from mlatem.steps.rare_phases import find_rare_phases
from mlatem.steps.report import DatasetFiles, report


def analyse(
    raw: Sequence[Path_],
    folder: Path_,
    *,
    row: DatasetRow,
    settings: _settings.Settings,
    factors: Path_ | None = None,
    priors: Path_ | None = None,
    mask: Path_ | None = None,
    threads: int = 1,
) -> None:
    """Everything from the raw files of a dataset to its page and DONE.json.

    The files and numbers are those of the workflow with a job for each stage.

    Parameters
    ----------
    raw : sequence of path-like
        Raw files.
    folder : path-like
        Of the results; its files are replaced.
    row : DatasetRow
    settings : settings.Settings
    factors, priors : path-like, optional
        Table of factors, and priors, that the row names.
    mask : path-like, optional
        Pixels that are left out, as the row names it.
    threads : int, optional
        Tiles worked on at a time.

    Raises
    ------
    MlatemError
        As the stages.
    """
    known = None if priors is None else api.load_priors(priors)
    files = DatasetFiles.in_folder(folder)
    convert(
        raw,
        files.store,
        acquisition_overrides=row.axes,
        settings=_settings.with_frames(settings.convert, row.frames),
        preprocess=_settings.with_crop(settings.preprocess, row.crop),
        mask=mask,
    )
    calibrate(
        files.store,
        calibration=files.calibration,
        row=row,
        edxs=settings.edxs,
        settings=settings.calibrate,
        factors=factors,
        identify=settings.identify,
        threads=threads,
    )
    denoise(
        files.store,
        files.calibration,
        lowrank=files.lowrank,
        edxs=settings.edxs,
        settings=settings.denoise,
        threads=threads,
    )
    factorize(
        files.store,
        files.calibration,
        files.lowrank,
        factorization=files.factorization,
        edxs=settings.edxs,
        settings=factorize_settings(row, settings.factorize, known),
        priors=known,
        threads=threads,
    )
    find_rare_phases(
        files.store,
        files.factorization,
        rare=files.rare,
        settings=settings.factorize,
        threads=threads,
    )
    quantify(
        files.factorization,
        files.calibration,
        table=files.table,
        maps=files.maps,
        dataset=row.dataset,
        edxs=settings.edxs,
        settings=settings.quantify,
        row=row,
    )
    folder = Path(folder)
    report(
        files,
        page=folder / "report.html",
        done=folder / "DONE.json",
        row=row,
        settings=settings,
    )
