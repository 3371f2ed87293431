# SPDX-License-Identifier: GPL-3.0-or-later
"""Sum peaks against random coincidences."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.physics.pile_up import pile_up_column


@pytest.mark.parametrize("first_kev", [0.3, 0.304, -0.2])
def test_column_is_the_histogram_of_random_coincidences(first_kev):
    random = np.random.default_rng(5)
    axis = first_kev + 0.01 * np.arange(1000)
    spectrum = np.exp(-axis / 2) + 8 * np.exp(-(((axis - 1.8) / 0.05) ** 2))
    spectrum[axis < 0.15] = 0
    n_pairs = 2_000_000
    single = random.choice(axis, size=(n_pairs, 2), p=spectrum / spectrum.sum())
    # Photons are anywhere within their channel.
    total = (single + random.uniform(-0.005, 0.005, single.shape)).sum(axis=1)
    edges = np.append(axis - 0.005, axis[-1] + 0.005)
    found = np.histogram(total, edges)[0]
    expected = pile_up_column(axis, spectrum) * found.sum()
    seen = expected > 25
    deviation = (found - expected)[seen] / np.sqrt(expected[seen])
    assert np.abs(deviation).max() < 5
    assert deviation.std() == pytest.approx(1, abs=5 / np.sqrt(2 * seen.sum()))


def test_a_sum_peak_lies_at_the_sum():
    axis = 0.005 + 0.01 * np.arange(1000)
    spectrum = np.zeros(axis.size)
    spectrum[np.searchsorted(axis, [1.0, 3.0])] = 1.0, 3.0
    column = pile_up_column(axis, spectrum)
    centre = {round(e, 1): column[np.abs(axis - e) < 0.05].sum() for e in (2.0, 4.0, 6.0)}
    assert centre == pytest.approx({2.0: 1 / 16, 4.0: 6 / 16, 6.0: 9 / 16})


def test_energies_of_its_own_reach_below_the_window():
    energy = -0.2 + 0.01 * np.arange(1500)
    counts = np.exp(-(((energy - 0.525) / 0.05) ** 2)) + 1e6 * (np.abs(energy) < 0.1)
    window = energy > 0.8
    column = pile_up_column(energy[window], np.stack([energy, counts]))
    # The strobe peak at 0 keV adds to nothing.
    mean = (column * energy[window]).sum()
    assert mean == pytest.approx(1.05, abs=1e-3)
    np.testing.assert_allclose(column, pile_up_column(energy, counts)[window], atol=1e-6)
