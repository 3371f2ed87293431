# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles on Dask workers of three nodes, started by the commands of the documentation."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import mlatem
from mlatem.parallel.workers import spread_over

pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'mlatem[spread]'"
)


def test_workers_within_an_allocation_give_what_threads_give(slurm, raw, tmp_path, caplog):
    from dask_on_nodes import in_allocation

    store = tmp_path / "spim.zarr"
    mlatem.convert(raw, store)
    spectra = mlatem.open(store)["edxs"].to_dataset()
    calibration = mlatem.calibrate(spectra, ["O", "Si", "Ti", "Fe"], thickness_nm=40)
    dictionary = mlatem.edxs_dictionary(spectra, calibration)
    here = mlatem.factorize(spectra, dictionary, 3)
    caplog.set_level(logging.INFO, logger="mlatem")
    with in_allocation(slurm, tmp_path) as scheduler, spread_over(str(scheduler)):
        there = mlatem.factorize(spectra, dictionary, 3)
    np.testing.assert_array_equal(here["abundance"], there["abundance"])
    assert f"tiles go to {slurm.n_nodes} workers" in caplog.text
    assert "tiles are worked on in this process" not in caplog.text
