# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of simulated specimens: no bias, and errors as large as stated.

A small part of `benchmarks/quantification.py`.
"""

from __future__ import annotations

import numpy as np
import quantification

RUNS = 16
#: Standard deviations that are allowed; the seeds are fixed, so it is one throw.
SIGMAS = 4


def test_compositions_are_unbiased_with_z_scores_of_one():
    # Every eighth run has the same elements: Al-Ti-Fe-Ni, 1e6 counts, compositions at random.
    results = [
        quantification.analyse(quantification.one_phase(1 + 8 * run, 1e6)) for run in range(RUNS)
    ]
    error = np.array([r[0] for r in results]).reshape(RUNS, 4)
    z = np.array([r[1] for r in results])
    assert np.all(np.abs(error.mean(axis=0)) < 0.1)
    assert np.all(np.abs(z.mean(axis=0)) < SIGMAS / np.sqrt(RUNS))
    # Four elements with one sum: three independent numbers a run.
    assert abs(z.std() - 1.0) < SIGMAS / np.sqrt(2 * 3 * RUNS)
