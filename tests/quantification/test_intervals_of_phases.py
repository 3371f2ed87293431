# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals in the table of phases."""

from dataclasses import replace

import numpy as np
import pytest

from mlatem.model import Leeway
from mlatem.quantification.edxs import quantify
from mlatem.settings import Quantify

TRUTH = np.array([2.0, 3.0, 0.0, 1.0, 80.0, 120.0])
ENDS = ("atomic_percent_low", "atomic_percent_high")


@pytest.fixture
def phase(dictionary, new_factorization):
    """Fe and O with 3 % each, and Si that the answer has set to zero; likeliest 5 % of the Fe."""
    plain = new_factorization(dictionary, [TRUTH], [[[1e5]]])
    coefficient = plain.coefficient[0]
    covariance = np.zeros((1, 1, 6, 6))
    covariance[0, 0] = np.diag((0.03 * coefficient * [1, 1, 0, 0, 0, 0]) ** 2)
    direction = np.zeros((1, 1, 1, 6))
    direction[0, 0, 0, [0, 2]] = [-coefficient[0], coefficient[0]]
    leeway = Leeway(
        coefficient=coefficient[None, None],
        covariance=covariance,
        shift=np.zeros((1, 1, 6)),
        direction=direction,
        variance=np.array([[0.03**2]]),
        best=np.array([[0.05]]),
    )
    return replace(plain, leeway=leeway)


def test_the_interval_lies_around_the_value(phase):
    frame = quantify(phase).frame.set_index("element")
    value = frame["atomic_percent"]
    for suffix in ("", "_68"):
        low, high = (frame[end + suffix] for end in ENDS)
        assert np.all((low <= value) & (value <= high))
    assert np.all(frame["atomic_percent_low"] <= frame["atomic_percent_low_68"])
    assert np.all(frame["atomic_percent_high_68"] <= frame["atomic_percent_high"])
    # Iron may be silicon in part: the interval reaches further down than up.
    iron = frame.loc["Fe"]
    below, above = iron["atomic_percent"] - iron[ENDS[0]], iron[ENDS[1]] - iron["atomic_percent"]
    assert below > 1.5 * above


def test_what_the_answer_lost_has_an_upper_limit(phase):
    frame = quantify(phase).frame.set_index("element")
    assert frame["atomic_percent_low"]["Si"] == 0
    # 5 % of the iron's 40 at%, and two standard deviations of 3 %.
    assert frame["atomic_percent_high"]["Si"] == pytest.approx(40 * (0.05 + 1.96 * 0.03), rel=0.02)
    assert frame["upper_limit"]["Si"] >= 40 * (0.05 + 1.645 * 0.03) * 0.98
    assert np.isnan(frame["upper_limit"][["Fe", "O"]]).all()


def test_weight_percent_has_the_same_envelope(phase):
    frame = quantify(phase).frame.set_index("element")
    low, high = frame["weight_percent_low"], frame["weight_percent_high"]
    assert np.all((low <= frame["weight_percent"]) & (frame["weight_percent"] <= high))
    silicon, iron = 28.085, 55.845
    share = 0.05 + 1.96 * 0.03
    whole = 40 * iron * (1 - share) + 40 * silicon * share + 60 * 15.999
    assert high["Si"] == pytest.approx(100 * 40 * silicon * share / whole, rel=0.02)


def test_a_small_value_that_may_be_nothing_has_a_limit(phase):
    """Above its detection limit, but the interval reaches zero, since the error is large."""
    coefficient = np.array(phase.coefficient)
    coefficient[0, 2] = 0.2 * coefficient[0, 0]
    coefficient /= (coefficient @ phase.dictionary.columns).sum()
    covariance = np.zeros((1, 1, 6, 6))
    covariance[0, 0, 2, 2] = coefficient[0, 2] ** 2
    leeway = replace(
        phase.leeway,
        coefficient=coefficient[None],
        covariance=covariance,
        direction=np.zeros((1, 1, 1, 6)),
    )
    changed = replace(phase, coefficient=coefficient, leeway=leeway)
    row = quantify(changed).frame.set_index("element").loc["Si"]
    assert row["atomic_percent"] > row["detection_limit"]
    assert row["atomic_percent_low"] == 0
    assert row["upper_limit"] > row["atomic_percent"]


def test_oxygen_by_stoichiometry_has_an_interval_too(phase):
    frame = quantify(phase, settings=Quantify(oxygen="stoichiometry")).frame.set_index("element")
    low, high = (frame[end]["O"] for end in ENDS)
    assert 0 < low <= frame["atomic_percent"]["O"] < high < 100


def test_without_leeway_there_are_no_intervals(dictionary, new_factorization):
    frame = quantify(new_factorization(dictionary, [TRUTH], [[[1e5]]])).frame
    assert not set(ENDS) & set(frame.columns)
