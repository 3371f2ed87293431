# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile the numerical kernels once, before many jobs begin that would each compile them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlatem import settings as _settings
from mlatem.kernels.compiled import CacheUse, cache_use
from mlatem.sheet import DatasetRow
from mlatem.simulation.specimen import simulate
from mlatem.simulation.write import write_simulation
from mlatem.specimen import Layer, Simulate, SpecimenPhase
from mlatem.steps.whole import analyse

_SPECIMEN = Simulate(
    name="tiny",
    phases=(
        SpecimenPhase(name="glass", atomic_percent={"O": 66.7, "Si": 33.3}),
        SpecimenPhase(
            name="iron", atomic_percent={"Fe": 100.0}, shape=Layer(kind="layer", width_nm=40.0)
        ),
    ),
    n_rows=24,
    n_columns=32,
    n_channels=1024,
    counts_per_pixel=250.0,
)


def warm_up() -> CacheUse:
    """Analyse a tiny simulated map, so that every kernel of an analysis is in the cache.

    Returns
    -------
    use : CacheUse
        What was compiled, and what was there.
    """
    row = {"dataset": "tiny", "path": "tiny.hspy", "elements": "O,Si,Fe", "thickness_nm": "80"}
    with tempfile.TemporaryDirectory() as folder:
        write_simulation(simulate(_SPECIMEN), folder)
        analyse(
            [Path(folder) / "tiny.hspy"],
            Path(folder) / "results",
            row=DatasetRow.from_strings(row),
            settings=_settings.Settings(),
        )
    return cache_use()
