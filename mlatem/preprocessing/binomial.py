# SPDX-License-Identifier: GPL-3.0-or-later
"""The tail of the binomial distribution, without the second that scipy.stats takes to load."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc


def chance_of_at_least(successes: ArrayLike, trials: ArrayLike, share: ArrayLike) -> NDArray[Any]:
    """Chance of at least so many successes, each with the probability `share`.

    Notes
    -----
    The regularized incomplete beta function of the share (Abramowitz and Stegun 1964, 26.5.24).
    """
    successes, trials = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    tail = betainc(np.maximum(successes, 1), np.maximum(trials - successes, 0) + 1, share)
    return np.asarray(np.where(successes <= 0, 1.0, tail))
