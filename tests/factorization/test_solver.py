# SPDX-License-Identifier: GPL-3.0-or-later
import dataclasses
from functools import partial

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.factorization import blind
from mlatem.factorization.scoring import ScoringResult
from mlatem.factorization.solver import _reason, estimate_n_phases, solve_compositions
from mlatem.factorization.verdicts import verdicts
from mlatem.model import RegionStatistics
from mlatem.parallel.map import map_tiles
from mlatem.settings import Factorize


@pytest.mark.parametrize(("n_phases", "counts"), [(3, 100), (4, 200), (5, 200)])
def test_compositions_of_specimens_with_pure_areas(make_specimen, make_regions, n_phases, counts):
    example = make_specimen(n_phases, counts)
    solution = solve_compositions(make_regions(example), example.dictionary, n_phases)
    angle, atomic, _ = example.errors(solution.coefficient)
    assert solution.converged and solution.reason == ""
    assert solution.n_carried == n_phases
    assert angle < 3.0
    assert atomic < 1.0


def test_thinnings_solved_on_threads_give_the_same(four_phases):
    example, regions = four_phases
    plain = solve_compositions(regions, example.dictionary, 4)
    on_threads = solve_compositions(
        regions, example.dictionary, 4, each=partial(map_tiles, threads=3)
    )
    assert np.array_equal(plain.coefficient, on_threads.coefficient)
    assert np.array_equal(plain.coefficient_covariance, on_threads.coefficient_covariance)


def test_twenty_counts_a_pixel(make_specimen, make_regions):
    example = make_specimen(3, 20, size=48)
    solution = solve_compositions(make_regions(example), example.dictionary, 3)
    angle, atomic, _ = example.errors(solution.coefficient)
    assert angle < 3.0
    assert atomic < 1.0


def test_the_record_keeps_its_promises(four_phases):
    example, regions = four_phases
    solution = solve_compositions(regions, example.dictionary, 4)
    spectrum = solution.coefficient @ example.dictionary.columns
    n_columns = example.dictionary.n_columns
    assert np.allclose(spectrum.sum(axis=1), 1)
    assert np.all(solution.coefficient >= 0)
    assert solution.coefficient_covariance.shape == (4, n_columns, n_columns)
    variance = np.diagonal(solution.coefficient_covariance, axis1=1, axis2=2)
    assert np.all(variance > 0)
    assert np.all(np.linalg.eigvalsh(solution.coefficient_covariance) > -1e-9 * variance.max())
    assert solution.spread_deg.shape == (4,) and np.all(solution.spread_deg < 3)
    assert solution.loss.size > 1 and solution.n_rounds >= solution.loss.size
    _, _, order = example.errors(solution.coefficient)
    amount = example.abundance.sum(axis=(0, 1))[np.argsort(order)]
    assert np.all(np.diff(amount) < 0)


def test_truth_lies_within_the_stated_errors(four_phases):
    example, regions = four_phases
    solution = solve_compositions(regions, example.dictionary, 4)
    _, _, order = example.errors(solution.coefficient)
    coefficient = solution.coefficient[order]
    sigma = np.sqrt(np.diagonal(solution.coefficient_covariance, axis1=1, axis2=2))[order]
    columns = example.dictionary.columns
    truth = np.stack([np.linalg.lstsq(columns.T, s, rcond=None)[0] for s in example.spectrum])
    pull = (coefficient - truth) / sigma
    assert np.mean(np.abs(pull) < 3) > 0.9
    assert np.median(np.abs(pull)) < 1.5


def test_the_answer_repeats_itself_and_ignores_the_order_of_regions(four_phases):
    example, regions = four_phases
    first = solve_compositions(regions, example.dictionary, 4)
    again = solve_compositions(regions, example.dictionary, 4)
    turned = [RegionStatistics(r.counts[::-1], r.n_pixels[::-1]) for r in regions]
    other = solve_compositions(turned, example.dictionary, 4)
    assert np.array_equal(first.coefficient, again.coefficient)
    assert np.allclose(first.coefficient, other.coefficient, atol=1e-3 * first.coefficient.max())


def test_one_phase(make_specimen, make_regions):
    example = make_specimen(1, 50)
    solution = solve_compositions(make_regions(example), example.dictionary, 1)
    angle, _, _ = example.errors(solution.coefficient)
    assert angle < 1.0
    assert solution.converged
    assert solution.spread_deg == pytest.approx([0.0], abs=0.01)


def test_one_thinning(four_phases):
    example, regions = four_phases
    solution = solve_compositions(regions[:1], example.dictionary, 4)
    assert example.errors(solution.coefficient)[0] < 3.0
    assert np.array_equal(solution.spread_deg, np.zeros(4))


def test_channels_without_counts(four_phases):
    example, regions = four_phases
    cut = [
        RegionStatistics(np.where(example.dictionary.energy < 0.4, 0.0, part.counts), part.n_pixels)
        for part in regions
    ]
    columns = np.where(example.dictionary.energy < 0.4, 0.0, example.dictionary.columns)
    dictionary = dataclasses.replace(example.dictionary, columns=columns)
    solution = solve_compositions(cut, dictionary, 4)
    assert solution.converged
    assert example.errors(solution.coefficient)[1] < 1.0


def test_too_few_rounds_never_look_converged(four_phases):
    example, regions = four_phases
    solution = solve_compositions(regions, example.dictionary, 4, options=Factorize(max_rounds=1))
    assert not solution.converged
    assert "max_rounds, or ask for fewer phases" in solution.reason


@pytest.mark.parametrize(("n_phases", "is_advised"), [(1, False), (2, True)])
def test_one_phase_is_not_to_be_made_fewer(n_phases, is_advised):
    reason = _reason(1, 4, n_phases, Factorize(max_rounds=30))
    assert "1 of 4 thinnings still moved after 30 rounds" in reason
    assert ("fewer phases" in reason) == is_advised


@pytest.mark.parametrize(("n_phases", "is_advised"), [(1, False), (4, True)])
def test_thinnings_that_differ_advise_fewer_phases_only_of_several(
    four_phases, n_phases, is_advised
):
    example, regions = four_phases
    solution = solve_compositions(regions, example.dictionary, n_phases)
    apart = dataclasses.replace(solution, spread_deg=np.full(n_phases, 9.0))
    verdict = next(v for v in verdicts(apart) if v.name == "agreement of the thinnings")
    assert verdict.status == "warning" and "several answers" in verdict.message
    assert ("fewer phases" in verdict.message) == is_advised


@pytest.mark.parametrize("n_phases", [14, 100])
def test_more_phases_than_the_data_can_carry(four_phases, n_phases):
    example, regions = four_phases
    with pytest.raises(InputError, match=rf"n_phases is {n_phases}, but the data carry 4"):
        solve_compositions(regions, example.dictionary, n_phases)


def test_identical_regions_carry_one_phase(four_phases):
    example, regions = four_phases
    total = regions[0].counts.sum(axis=0)
    same = RegionStatistics(np.tile(total, (10, 1)), np.ones(10, dtype=np.int64))
    assert estimate_n_phases([same], example.dictionary) == 1
    with pytest.raises(InputError, match="data carry 1"):
        solve_compositions([same], example.dictionary, 2)


def test_input_that_cannot_be_solved_is_named(four_phases):
    example, regions = four_phases
    empty = RegionStatistics.zero(8, example.dictionary.energy.size)
    with pytest.raises(InputError, match="no counts"):
        solve_compositions([empty], example.dictionary, 2)
    with pytest.raises(InputError, match="no counts"):
        estimate_n_phases([empty], example.dictionary)
    with pytest.raises(InputError, match="no region spectra"):
        solve_compositions([], example.dictionary, 2)
    with pytest.raises(InputError, match="n_phases is 0"):
        solve_compositions(regions, example.dictionary, 0)
    short = RegionStatistics(regions[0].counts[:, :-1], regions[0].n_pixels)
    with pytest.raises(InputError, match="511 channels and the dictionary 512"):
        solve_compositions([short], example.dictionary, 2)


def test_multiplicative_updates_step_in_where_the_scoring_gets_stuck(four_phases, monkeypatch):
    example, regions = four_phases

    def stuck(data, abundance, weight, **options):
        model = data.model(abundance, weight)
        return ScoringResult(abundance, weight, (data.loss(model),), False)

    monkeypatch.setattr(blind, "fit", stuck)
    solution = solve_compositions(regions, example.dictionary, 4)
    angle, percent, _ = example.errors(solution.coefficient)
    assert angle < 5.0
    assert percent < 2.0
