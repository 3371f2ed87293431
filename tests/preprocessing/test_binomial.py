# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
from scipy.stats import binom

from mlatem.preprocessing.binomial import chance_of_at_least


def test_the_tail_is_that_of_scipy_stats():
    generator = np.random.default_rng(0)
    trials = generator.integers(0, 3000, 10_000)
    successes = np.floor(generator.random(10_000) * (trials + 1))
    share = generator.uniform(0.01, 0.99, 10_000)
    expected = binom.sf(successes - 1, trials, share)
    found = chance_of_at_least(successes, trials, share)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


def test_the_ends_and_what_is_not_known():
    found = chance_of_at_least([0, 0, 3, 3, np.nan], [0, 5, 3, 5, 5], 0.5)
    np.testing.assert_allclose(found, [1, 1, 1 / 8, 1 / 2, np.nan])
