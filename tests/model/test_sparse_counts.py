# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import SparseCounts


@pytest.fixture
def counts() -> SparseCounts:
    """Three pixels of five channels; the second is empty."""
    return SparseCounts(
        pointer=np.array([0, 2, 2, 3]),
        channel=np.array([1, 4, 0], dtype=np.uint16),
        count=np.array([2, 1, 7], dtype=np.uint8),
        n_energy=5,
        pixel=np.array([10, 11, 12]),
    )


def test_sizes(counts: SparseCounts):
    counts.validate()
    assert counts.n_pixels == 3
    assert counts.n_events == 3


def test_no_events_at_all_is_valid():
    empty = np.array([], dtype=np.uint16)
    SparseCounts(np.zeros(3, dtype=np.int64), empty, empty, 5, np.arange(2)).validate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_energy": 70000}, "bin the energy axis"),
        ({"pointer": np.array([0, 2, 2, 4])}, "does not span"),
        ({"pointer": np.array([0, 3, 2, 3])}, "pointer decreases"),
        ({"pixel": np.array([10, 11])}, "disagree in length"),
        ({"count": np.array([1, 1], dtype=np.uint8)}, "disagree in length"),
        ({"n_energy": 4}, "outside the energy axis"),
        ({"count": np.array([2, 0, 7], dtype=np.uint8)}, "an event has no counts"),
        ({"channel": np.array([4, 1, 0], dtype=np.uint16)}, "do not increase"),
        ({"channel": np.array([4, 4, 0], dtype=np.uint16)}, "do not increase"),
    ],
)
def test_broken_invariants(counts: SparseCounts, change: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        replace(counts, **change).validate()
