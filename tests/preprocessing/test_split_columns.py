# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns on any axis, and their slopes."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.shells import Shells
from mlatem.preprocessing.split_columns import SplitColumns

ENERGY = 0.4 + 0.01 * np.arange(1200)
AXIS = np.array([2e-3, 3e-4, 48.0, 0.12])


@pytest.fixture
def columns():
    def build(axis, noise_ev, fano):
        return edxs_dictionary(
            axis,
            elements=["Ni", "Al", "O"],
            system_elements=["Cu"],
            beam_energy_kev=200.0,
            noise_ev=noise_ev,
            fano=fano,
            split="shell",
        )

    return SplitColumns(ENERGY, build, Shells.of_dictionary(build(ENERGY, 50.0, 0.118)))


def test_slopes_are_those_of_the_columns(columns):
    free = np.array([True, True, True, False])
    slopes = columns.slopes(AXIS, free)
    assert slopes.shape == (3, *columns.at(AXIS).shape)
    for slope, step in zip(slopes, np.diag([1e-4, 1e-5, 0.2, 0.0]), strict=False):
        central = (columns.at(AXIS + step) - columns.at(AXIS - step)) / (2 * step.sum())
        scale = np.abs(central).max(axis=1, keepdims=True)
        np.testing.assert_allclose(slope, central, atol=0.02 * scale.max(), rtol=0.05)


def test_slopes_serve_again_until_the_axis_has_moved(columns):
    free = np.ones(4, dtype=bool)
    first = columns.slopes(AXIS, free)
    assert columns.slopes(AXIS + np.array([3e-4, 0.0, 0.0, 0.0]), free) is first
    moved = columns.slopes(AXIS + np.array([8e-4, 0.0, 0.0, 0.0]), free)
    assert moved is not first
    np.testing.assert_allclose(moved, first, atol=0.05 * np.abs(first).max())
