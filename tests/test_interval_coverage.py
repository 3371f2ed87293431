# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals of compositions, spectra and abundances hold the truth about as often as stated.

A small part of `benchmarks/intervals.py`, on other specimens.
"""

from __future__ import annotations

import numpy as np
import pytest
from interval_specimens import specimen
from intervals import analyse

FIRST_SEED = 3000
KINDS = {"embedded": (2, 3, 2, 3), "contiguous": (2, 3, 4, 3)}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_the_truth(kind):
    fits = []
    for place, n_phases in enumerate(KINDS[kind]):
        true = specimen(FIRST_SEED + place, kind, n_phases)
        fits.append(analyse(FIRST_SEED + place, true, kind, 100.0, 0))

    def holds(name: str) -> float:
        return float(np.mean(np.concatenate([getattr(f, name)[f.truth > 0] for f in fits])))

    # Some forty entries that hang together: an interval of 95 % that holds 85 % is within chance.
    assert holds("holds") > 0.85
    assert holds("holds_weight") > 0.85
    assert 0.5 < holds("holds_68") < 0.95
    assert np.mean(np.concatenate([f.low[f.truth == 0] > 0 for f in fits])) < 0.06
    assert np.mean(np.concatenate([f.limit_holds for f in fits])) > 0.9
    assert np.mean([f.spectrum for f in fits]) > 0.85
    # Some thousand pixels of each: within a percent.
    assert 0.93 < np.mean([f.present for f in fits]) < 0.97
    assert np.mean([f.absent for f in fits]) > 0.97
