# SPDX-License-Identifier: GPL-3.0-or-later
"""Which intensities are fitted, and against which they are measured."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.preprocessing.shells import Shells

ENERGY = np.arange(40, 1600) * 0.01
PHYSICS = {"elements": ["Ti", "Pt"], "system_elements": ["Cu"], "beam_energy_kev": 200.0}
SPLIT = edxs_dictionary(ENERGY, **PHYSICS, split="shell")
SHELLS = Shells.of_dictionary(SPLIT)


def free_factors(total):
    """Sub-shells that are fitted to a spectrum of so many counts, with what is known of them."""
    whole = edxs_dictionary(ENERGY, **PHYSICS)
    expected = (whole.columns / whole.columns.sum(axis=1)[:, None]).mean(axis=0)
    counts = np.random.default_rng(0).poisson(total * expected).astype(float)
    ones, weight = np.ones(len(SHELLS.names)), np.ones(ENERGY.size)
    coefficient = fit_counts(counts, SHELLS.joined(SPLIT.columns, ones)).coefficient
    sigma, common = SHELLS.factor_sigma(coefficient, ones, weight)
    assert not common[sigma == 0].any()
    return {SHELLS.keys[k]: (sigma[k], common[k]) for k in np.flatnonzero(sigma)}


def test_joined_columns_are_those_of_the_elements_and_families():
    whole = edxs_dictionary(ENERGY, **PHYSICS)
    joined = SHELLS.joined(SPLIT.columns, np.ones(len(SPLIT.names)))
    assert SHELLS.n_amounts == whole.n_columns
    # What falls into the window from families that mostly lie outside is left out when split.
    np.testing.assert_allclose(joined, whole.columns, rtol=1e-6, atol=1e-3 * whole.columns.max())


def test_the_best_known_family_stays_as_it_is():
    free = free_factors(1e6)
    assert "Ti K" not in free
    assert {"Ti L3", "Pt M5", "Pt M4", "Pt L2"} <= set(free)
    # L, known to 20 %, is better known than M, to 50 %.
    assert "Pt L3" not in free
    assert free["Pt M5"][0] == pytest.approx(np.hypot(0.5, 0.2), abs=0.01)


def test_a_sub_shell_within_the_reference_is_known_better_than_its_family():
    assert free_factors(1e6)["Pt L2"] == pytest.approx((0.1, 0.0))


def test_sub_shells_of_a_family_have_its_error_in_common():
    free = free_factors(1e6)
    family = np.hypot(0.5, 0.2)
    assert free["Pt M5"] == pytest.approx((family, family), abs=0.01)
    assert free["Pt M4"] == pytest.approx((np.hypot(family, 0.25), family), abs=0.01)


def test_few_counts_leave_intensities_to_the_tables():
    assert {"Ti L3", "Pt L1", "Pt L2"}.isdisjoint(free_factors(60))


def test_a_family_that_leaves_the_window_keeps_its_column():
    fewer = edxs_dictionary(ENERGY, **{**PHYSICS, "system_elements": []}, split="shell")
    assert SHELLS.aligned(fewer).shape == SPLIT.columns.shape
