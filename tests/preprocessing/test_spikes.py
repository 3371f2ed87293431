# SPDX-License-Identifier: GPL-3.0-or-later
"""Spikes put into simulated maps."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.preprocessing.spikes import HALO_PX, find_spikes, least_counts

SHAPE = (24, 30, 200)
CHANCE = 0.01 / np.prod(SHAPE)
WHOLE = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))


def expected(dose):
    """A foil with lines three channels wide and a strobe peak one wide, and a tiny particle."""
    channel = np.arange(SHAPE[2])

    def line(place):
        return np.exp(-0.5 * ((channel - place) / (3 / 2.355)) ** 2)

    spectrum = 0.1 + 5 * line(50) + 2 * line(120)
    spectrum[10] += 30.0
    result = np.tile(dose * spectrum, (*SHAPE[:2], 1))
    result[12, 7] += 60 * dose * line(160)
    result[:, 20:] *= 3
    return result


def spike_places(n_spikes, seed):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, size, n_spikes) for size in SHAPE)


@pytest.mark.parametrize("dose", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("seed", range(3))
def test_lines_particles_and_borders_are_no_spikes(dose, seed):
    counts = np.random.default_rng(seed).poisson(expected(dose))
    assert len(find_spikes(counts, WHOLE, least_chance=CHANCE).row) == 0


@pytest.mark.parametrize(("dose", "height"), [(0.01, 40), (1.0, 150), (300.0, 90_000)])
def test_spikes_are_found(dose, height):
    truth = expected(dose)
    counts = np.random.default_rng(0).poisson(truth)
    places = spike_places(12, 1)
    counts[places] += height
    found = find_spikes(counts, WHOLE, least_chance=CHANCE)
    at = found.row, found.column, found.channel
    assert set(zip(*at, strict=True)) == set(zip(*places, strict=True))
    # Replaced by the median of the pixels around; of both sides at a border of the specimen.
    assert np.all(np.abs(found.replaced_by - truth[at]) < 5 * np.sqrt(truth[at] + 1))


def test_at_the_corner_of_the_map_and_the_ends_of_the_axis():
    counts = np.random.default_rng(0).poisson(expected(1.0))
    places = np.array([[0, 0, 0], [23, 29, 199], [0, 15, 199], [23, 0, 90]]).T
    counts[tuple(places)] += 500
    found = find_spikes(counts, WHOLE, least_chance=CHANCE)
    assert set(zip(found.row, found.column, found.channel, strict=True)) == set(
        map(tuple, places.T)
    )


def test_tiles_change_nothing():
    counts = np.random.default_rng(0).poisson(expected(1.0))
    counts[spike_places(40, 2)] += 200
    whole = find_spikes(counts, WHOLE, least_chance=CHANCE)
    in_tiles = set()
    for y in range(0, SHAPE[0], 5):
        for x in range(0, SHAPE[1], 7):
            first = max(y - HALO_PX, 0), max(x - HALO_PX, 0)
            part = counts[first[0] : y + 5 + HALO_PX, first[1] : x + 7 + HALO_PX]
            end = min(y + 5, SHAPE[0]) - first[0], min(x + 7, SHAPE[1]) - first[1]
            core = slice(y - first[0], end[0]), slice(x - first[1], end[1])
            found = find_spikes(part, core, least_chance=CHANCE)
            in_tiles |= set(
                zip(found.row + y, found.column + x, found.channel, found.replaced_by, strict=True)
            )
    assert len(whole.row) >= 35
    assert in_tiles == set(
        zip(whole.row, whole.column, whole.channel, whole.replaced_by, strict=True)
    )


def test_fewest_counts():
    """One less, with nothing around, is no spike; a pixel alone has nothing to be compared with."""
    n = least_counts(CHANCE)
    counts = np.zeros((3, 3, 9), dtype=int)
    for height, n_found in ((n - 1, 0), (n, 1)):
        counts[1, 1, 4] = height
        core = slice(0, 3), slice(0, 3)
        assert len(find_spikes(counts, core, least_chance=CHANCE).row) == n_found
    alone = counts[1:2, 1:2]
    assert len(find_spikes(alone, (slice(0, 1), slice(0, 1)), least_chance=CHANCE).row) == 0
