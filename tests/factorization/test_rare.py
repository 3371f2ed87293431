# SPDX-License-Identifier: GPL-3.0-or-later
"""Rare phases: found where they are, not found where there are none, the same in any tiles."""

import numpy as np
import pytest
import xarray as xr

import mlatem
from mlatem.errors import InputError
from mlatem.factorization import rare, rare_candidates
from mlatem.model import RareSearch

CHROMITE = {"O": 0.571, "Cr": 0.286, "Fe": 0.143}


@pytest.fixture(scope="module")
def host(make_specimen):
    """Two phases at 60 counts a pixel, without chromium."""
    return make_specimen(2, 60, seed=5, size=64)


def spectrum_of(composition, dictionary):
    weight = np.zeros(dictionary.n_columns)
    for element, fraction in composition.items():
        weight[dictionary.names.index(element)] = fraction
    weight[-1] = 0.3 * weight.sum()
    weight[-1] *= dictionary.columns[0].sum() / dictionary.columns[-1].sum()
    spectrum = weight @ dictionary.columns
    return spectrum / spectrum.sum()


def with_particles(example, places, composition=CHROMITE, seed=0):
    """Counts in which 80 % of the pixels of `places` are another phase."""
    model = example.abundance @ example.spectrum
    rare_spectrum = spectrum_of(composition, example.dictionary)
    for rows, columns in places:
        there = model[rows, columns]
        total = there.sum(axis=-1, keepdims=True)
        model[rows, columns] = 0.2 * there + 0.8 * total * rare_spectrum
    return np.random.default_rng(seed).poisson(model).astype(np.uint16)


@pytest.fixture(scope="module")
def particles(host):
    """Two particles of 4 x 4 and 3 x 3 pixels of the same phase, and the search for them."""
    places = [(slice(10, 14), slice(30, 34)), (slice(50, 53), slice(5, 8))]
    counts = with_particles(host, places)
    phases = mlatem.factorize(counts, host.dictionary, 2)
    mask = np.zeros((64, 64), dtype=bool)
    for place in places:
        mask[place] = True
    return counts, phases, mask, mlatem.find_rare_phases(counts, phases)


def test_particles_of_one_phase_are_one_candidate(particles):
    _, _, mask, search = particles
    assert search.sizes["candidate"] == 1
    numbered = search["candidate_map"].values
    assert (numbered[mask] == 1).mean() >= 0.7
    assert mask[numbered == 1].mean() >= 0.7


def test_its_element_exceeds_and_its_composition_lies_in_the_range(particles):
    search = RareSearch.from_dataset(particles[3])
    assert search.excess_elements(0)[0] == "Cr"
    chromium = search.elements.index("Cr")
    low, high = search.atomic_percent_region[0], search.atomic_percent_excess[0]
    assert low[chromium] - 2 <= 28.6 <= high[chromium] + 6
    for ends in (low, high):
        assert ends.sum() == pytest.approx(100)


def test_no_candidate_where_there_is_none(host):
    """Eight maps, each with a chance of 2 % of a false alarm."""
    n_false = 0
    for seed in range(8):
        counts = with_particles(host, [], seed=10 + seed)
        phases = mlatem.factorize(counts, host.dictionary, 2)
        n_false += mlatem.find_rare_phases(counts, phases).sizes["candidate"]
    assert n_false <= 1


def test_tiles_and_threads_change_nothing(particles):
    counts, phases, _, whole = particles
    for options in ({"tile_shape": (23, 17)}, {"threads": 2}):
        again = mlatem.find_rare_phases(counts, phases, **options)
        xr.testing.assert_allclose(again, whole, rtol=1e-8)
        xr.testing.assert_equal(again["candidate_map"], whole["candidate_map"])


def test_the_record_comes_back_from_its_dataset(particles):
    search = particles[3]
    xr.testing.assert_identical(RareSearch.from_dataset(search).to_dataset(), search)
    with pytest.raises(InputError, match="find_rare_phases"):
        RareSearch.from_dataset(particles[1])


def test_other_counts_are_refused(particles):
    counts, phases, _, _ = particles
    with pytest.raises(InputError, match="counts that were factorised"):
        mlatem.find_rare_phases(counts[:32], phases)
    with pytest.raises(InputError, match="false_alarm"):
        mlatem.find_rare_phases(counts, phases, false_alarm=1.0)


def test_a_single_spectrum_and_an_empty_corner(host):
    counts = with_particles(host, [])
    counts[:40] = 0
    phases = mlatem.factorize(counts, host.dictionary, 1)
    assert mlatem.find_rare_phases(counts, phases)["excess"].values[:30].max() == 0
    single = counts[50:51, 20:21]
    alone = mlatem.factorize(single, host.dictionary, 1)
    assert mlatem.find_rare_phases(single, alone).sizes["candidate"] == 0


def test_thresholds_are_quantiles_of_the_largest_block():
    rng = np.random.default_rng(0)
    by_chance = rng.gumbel(5.0, 0.4, (2, 4000))
    limit = rare.thresholds(rng.gumbel(5.0, 0.4, (2, 64)), by_chance, false_alarm=0.05)
    largest = rng.gumbel(5.0, 0.4, (2, 20000, 64)).max(axis=2)
    exceeded = (largest > limit[:, None]).any(axis=0).mean()
    assert 0.02 <= exceeded <= 0.08
    wrong_model = rare.thresholds(1.5 * by_chance[:, :64], by_chance, false_alarm=0.05)
    assert np.all(wrong_model > 1.3 * limit)


def test_places_take_the_sharpest_window():
    excess = np.zeros((2, 20, 20), dtype=np.float32)
    excess[0, 5:7, 5:7] = 2.0
    excess[1, 3:9, 3:9] = 1.5
    excess[1, 15, 15] = 1.2
    label = rare_candidates.places(excess)
    assert (label == 0).sum() == 4
    assert (label == 1).sum() == 1


def test_alike_places_are_one_group():
    excess = np.array([[9.0, 1, 0], [0, 0, 12.0], [6.0, 0, 0], [-5.0, 0, 8.0]])
    np.testing.assert_array_equal(rare_candidates.alike(excess), [1, 0, 1, 0])


def test_what_known_phases_explain_is_taken_out():
    rng = np.random.default_rng(2)
    columns = rng.dirichlet(np.full(200, 0.3), 4)
    host, other = np.array([[0.5, 0.5, 0, 0]]), np.array([0.0, 0.4, 0.6, 0])
    mixed = 6000 * host[0] + 4000 * other
    counts = rng.poisson(mixed @ columns).astype(float)
    whole, excess = rare_candidates.compositions(counts, columns, host, np.ones(4, dtype=bool))
    np.testing.assert_allclose(whole, mixed, atol=400)
    np.testing.assert_allclose(excess, 4000 * other, atol=500)
