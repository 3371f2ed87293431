# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of the fit of an axis, from anywhere in the range."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.grid import grid_start
from mlatem.settings import Calibrate

ENERGY = 0.4 + 0.01 * np.arange(1500)


def columns_on(axis):
    return edxs_dictionary(
        axis,
        elements=["Ni", "Al", "Ta"],
        system_elements=["Cu"],
        beam_energy_kev=200.0,
        split="shell",
    ).columns


def counts_on(axis):
    columns = columns_on(axis)
    share = columns / columns.sum(axis=1, keepdims=True)
    return np.random.default_rng(5).poisson(5e3 * share.sum(axis=0)).astype(float)


@pytest.mark.parametrize(
    ("offset_kev", "gain"), [(0.0, 0.0), (0.030, -3e-3), (-0.039, 3.9e-3), (0.021, 1.3e-3)]
)
def test_the_grid_comes_within_its_steps(offset_kev, gain):
    counts = counts_on(ENERGY * (1.0 + gain) + offset_kev)
    found = grid_start(counts, ENERGY, columns_on, counts + 1.0, Calibrate())
    assert found[0] == pytest.approx(offset_kev, abs=6e-3)
    assert found[1] == pytest.approx(gain, abs=7.5e-4)


def test_without_gain_only_the_offset_is_looked_for():
    counts = counts_on(ENERGY + 0.017)
    found = grid_start(counts, ENERGY, columns_on, counts + 1.0, Calibrate(), with_gain=False)
    assert found[1] == 0.0
    assert found[0] == pytest.approx(0.017, abs=6e-3)
