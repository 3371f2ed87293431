# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a store."""

from __future__ import annotations

from os import PathLike

from mlatem import settings as _settings
from mlatem.calibration.image import calibrate_image, detectors_from_array
from mlatem.io.atomic import write_json
from mlatem.io.detector_tables import with_detector_file
from mlatem.io.factor_tables import read_factor_table
from mlatem.io.store import open_store
from mlatem.sheet import DatasetRow
from mlatem.steps.inputs import open_source
from mlatem.steps.progress import progress


def calibrate(
    store: str | PathLike[str],
    *,
    calibration: str | PathLike[str],
    row: DatasetRow,
    edxs: _settings.Edxs,
    settings: _settings.Calibrate,
    factors: str | PathLike[str] | None = None,
    identify: _settings.Identify | None = None,
    threads: int = 1,
) -> None:
    """Calibrate a store on its sum spectrum.

    Parameters
    ----------
    store : path-like
        What `convert` wrote.
    calibration : path-like
        JSON file to write.
    row : DatasetRow
        Elements (identified where there are none), thickness and what else the sample sheet knows.
    edxs, settings : settings records
    factors : path-like, optional
        Table of factors (CSV) in place of the computed intensities of lines.
    identify : settings.Identify, optional
    threads : int, optional
        Tiles worked on at a time.

    Raises
    ------
    InputError
        As `mlatem.calibrate`, and if the table of factors cannot be used.
    """
    table = None if factors is None else read_factor_table(factors)
    image, tile_shape = open_source(store)
    spectra = open_store(store)["edxs"].to_dataset().get("detector_spectra")
    with progress("calibrate") as advance:
        result = calibrate_image(
            image,
            elements=row.elements,
            system_elements=row.system_elements,
            acquisition=row.acquisition,
            edxs=with_detector_file(edxs),
            settings=settings,
            factor_table=table,
            detector_spectra=None if spectra is None else detectors_from_array(spectra),
            identify=identify,
            tile_shape=tile_shape,
            threads=threads,
            progress=advance,
        )
    write_json(calibration, result.to_dict())
