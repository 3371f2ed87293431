# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated signals as a HyperSpy file (.hspy, HDF5)."""

from __future__ import annotations

import json
from os import PathLike

from mlatem.io.atomic import atomic_path
from mlatem.io.hspy_file import add_signal, hspy_file
from mlatem.io.hspy_tree import (
    axes_of_image,
    axes_of_survey,
    metadata_of_image,
    metadata_of_survey,
)
from mlatem.simulation.specimen import Simulation


def write_hspy(simulation: Simulation, path: str | PathLike[str]) -> None:
    """Write counts and survey image as HyperSpy signals, whole or not at all.

    Parameters
    ----------
    simulation : Simulation
    path : path-like
        File ending in .hspy; replaced if it exists.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Notes
    -----
    Two signals in `Experiments`: the spectrum image under its own name (signal type EDS_TEM, axes
    y, x in nm and Energy in keV) and the image `HAADF`.
    """
    image, haadf, settings = simulation.image, simulation.haadf, simulation.settings
    metadata = metadata_of_image(image)
    metadata["Sample"] = {
        "name": settings.name,
        "description": settings.description,
        "elements": list(settings.elements),
    }
    origin = {"specimen": json.dumps(settings.model_dump(mode="json")), "seed": simulation.seed}
    with atomic_path(path) as partial, hspy_file(partial) as file:
        counts = image.counts
        add_signal(file, image.name, counts.dtype, axes_of_image(image), metadata, origin)[...] = (
            counts
        )
        add_signal(
            file, "HAADF", haadf.dtype, axes_of_survey(haadf), metadata_of_survey(haadf), {}
        )[...] = haadf.values
