# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.factorization.geometry import Atoms, around, n_lacking, purity
from mlatem.factorization.geometry_class import (
    Evidence,
    _class,
    doubtful_phases,
    farther_mixed,
)
from mlatem.factorization.solver import solve_compositions
from mlatem.factorization.verdicts import decisions, verdicts
from mlatem.model import RegionStatistics
from mlatem.settings import Factorize


def pooled_layers(dictionary, compositions, fractions, *, counts=40000, seed=0):
    """Region spectra of two phases with the given fractions of the second one, two thinnings."""
    rng = np.random.default_rng(seed)
    coefficient = np.zeros((2, dictionary.n_columns))
    for phase, composition in enumerate(compositions):
        for element, fraction in composition.items():
            coefficient[phase, dictionary.names.index(element)] = fraction
    spectrum = coefficient @ dictionary.columns
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    background = dictionary.columns[-2] / dictionary.columns[-2].sum()
    spectrum = 0.8 * spectrum + 0.2 * background
    abundance = counts * np.stack([1 - fractions, fractions], axis=1)
    n_pixels = np.full(len(fractions), 20, dtype=np.int64)
    draws = [rng.poisson(abundance @ spectrum).astype(float) for _ in range(2)]
    return [RegionStatistics(draw, n_pixels) for draw in draws], spectrum


RATIOS = (
    {"O": 0.3, "Si": 0.4, "Ca": 0.2, "Fe": 0.1},
    {"O": 0.3, "Si": 0.1, "Ca": 0.2, "Fe": 0.4},
)
LACKING = ({"O": 0.4, "Si": 0.3, "Ca": 0.3}, {"Fe": 0.7, "Cr": 0.3})
PURE_ENDS = np.concatenate([np.zeros(12), np.linspace(0.1, 0.9, 4), np.ones(12)])
EMBEDDED = np.concatenate([np.zeros(20), np.linspace(0.05, 0.5, 16)])


def worst_deg(solution, dictionary, spectrum):
    from mlatem.factorization.alignment import distance

    return np.degrees(distance(spectrum, solution.coefficient @ dictionary.columns))


@pytest.fixture
def dictionary(four_phases):
    return four_phases[0].dictionary


def test_layers_with_pure_places_are_pure_and_right(dictionary):
    regions, spectrum = pooled_layers(dictionary, RATIOS, PURE_ENDS)
    solution = solve_compositions(regions, dictionary, 2)
    assert solution.ambiguity.geometry_class == "PURE"
    assert solution.ambiguity.is_alone.all()
    assert solution.ambiguity.alternative == "embedded"
    assert worst_deg(solution, dictionary, spectrum) < 1.0
    assert solution.ambiguity.question == ""


def test_an_embedded_phase_without_elements_of_its_matrix_is_a_corner(dictionary):
    regions, spectrum = pooled_layers(dictionary, LACKING, EMBEDDED)
    solution = solve_compositions(regions, dictionary, 2)
    opened = solution.ambiguity
    assert opened.geometry_class == "CORNER"
    assert list(opened.is_alone) == [True, False]
    assert opened.n_lacking[1] >= 2
    assert worst_deg(solution, dictionary, spectrum) < 2.0
    # The matrix could be in the phase for nothing: only the reading of the map says no.
    assert opened.mixing_high[1, 0] == pytest.approx(1.0)


def test_an_embedded_phase_of_the_same_elements_is_not_called_settled(dictionary):
    regions, _ = pooled_layers(dictionary, RATIOS, EMBEDDED)
    opened = solve_compositions(regions, dictionary, 2).ambiguity
    assert opened.geometry_class in ("WEAK", "OPEN")
    assert "present in phase 2" in opened.question


@pytest.mark.parametrize(
    ("geometry", "fractions", "compositions"),
    [("contiguous", PURE_ENDS, RATIOS), ("embedded", EMBEDDED, LACKING)],
)
def test_the_user_decides(dictionary, geometry, fractions, compositions):
    regions, spectrum = pooled_layers(dictionary, compositions, fractions)
    solution = solve_compositions(regions, dictionary, 2, options=Factorize(geometry=geometry))
    assert solution.ambiguity.is_given
    assert solution.ambiguity.question == ""
    assert geometry in solution.ambiguity.reason
    assert worst_deg(solution, dictionary, spectrum) < 2.0


def test_the_two_readings_change_places(dictionary):
    regions, _ = pooled_layers(dictionary, LACKING, EMBEDDED)
    inside = solve_compositions(regions, dictionary, 2, options=Factorize(geometry="embedded"))
    beside = solve_compositions(regions, dictionary, 2, options=Factorize(geometry="contiguous"))
    scale = beside.coefficient.max()
    assert np.allclose(
        inside.ambiguity.alternative_coefficient, beside.coefficient, atol=0.05 * scale
    )


def test_neighbouring_numbers_of_phases_are_kept(dictionary):
    regions, _ = pooled_layers(dictionary, RATIOS, PURE_ENDS)
    opened = solve_compositions(regions, dictionary, 2).ambiguity
    assert opened.fewer_coefficient.shape == (1, dictionary.n_columns)
    assert opened.more_coefficient.shape == (3, dictionary.n_columns)
    fewer, same, more = opened.order_deviance
    n_free = len(PURE_ENDS) + dictionary.n_columns
    assert fewer - same > 10 * n_free
    assert 0 <= same - more < 5 * n_free


def test_verdicts_and_decisions_name_class_and_question(dictionary):
    regions, _ = pooled_layers(dictionary, RATIOS, EMBEDDED)
    solution = solve_compositions(regions, dictionary, 2)
    verdict = next(v for v in verdicts(solution) if v.name == "geometry")
    decision = next(d for d in decisions(solution, Factorize()) if "geometry" in d.setting)
    assert verdict.status == "warning"
    for text in (verdict.message, decision.reason):
        assert solution.ambiguity.question in text
    assert decision.choice.startswith(solution.ambiguity.geometry_class)


def test_purity_counts_regions_that_a_phase_fills():
    abundance = np.array([[10.0, 0.0], [9.5, 0.5], [5.0, 5.0], [1.0, 4.0]])
    assert purity(abundance) == pytest.approx([19.5 / 25.5, 0.0])


def test_a_phase_is_around_another_one_where_they_share_regions():
    abundance = np.array([[10.0, 0.0, 0.0], [5.0, 5.0, 0.0], [0.0, 0.0, 8.0]])
    expected = np.zeros((3, 3), dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    assert np.array_equal(around(abundance), expected)


def test_two_phases_around_explain_an_element_more():
    fractions = np.array(
        [[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.4, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.5]]
    )
    one = np.array([[10.0, 0.0, 0.0], [6.0, 0.0, 4.0]])
    assert n_lacking(fractions, one)[2] == 2
    both = np.array([[10.0, 0.0, 0.0], [6.0, 0.0, 4.0], [0.0, 6.0, 4.0]])
    assert n_lacking(fractions, both)[2] == 2
    shared = fractions.copy()
    shared[2] = [0.0, 0.0, 0.4, 0.3, 0.3]
    assert n_lacking(shared, both)[2] == 1


@pytest.mark.parametrize(
    ("alone", "apart", "turns", "lacking", "is_steady", "is_clear", "expected"),
    [
        ([1, 1], [9, 9], [9, 9], [0, 0], True, True, "PURE"),
        ([1, 1], [0, 0], [0, 0], [5, 5], False, True, "OPEN"),
        ([1, 0], [0, 1], [0, 3], [0, 0], True, True, "CORNER"),
        ([1, 0], [0, 1], [0, 20], [0, 0], True, True, "OPEN"),
        ([1, 0], [0, 1], [0, 20], [0, 1], True, True, "WEAK"),
        ([1, 0], [0, 9], [0, 20], [0, 2], True, True, "CORNER"),
        ([1, 0], [0, 9], [0, 20], [0, 1], True, True, "WEAK"),
        ([1, 0], [0, 9], [0, 20], [0, 2], True, False, "WEAK"),
        ([1, 0], [0, 9], [0, 20], [0, 3], True, False, "CORNER"),
        ([1, 0, 0], [0, 9, 9], [0, 20, 20], [0, 2, 0], True, True, "OPEN"),
    ],
)
def test_classes(alone, apart, turns, lacking, is_steady, is_clear, expected):
    alone = np.array(alone, dtype=bool)
    doubtful = doubtful_phases(alone, np.array(apart), np.array(turns))
    assert _class(alone, doubtful, evidence(lacking, is_clear=is_clear), is_steady) == expected


@pytest.mark.parametrize(
    ("lacking", "has_own", "hangs", "expected"),
    [(2, False, False, "WEAK"), (3, False, False, "CORNER"), (4, True, True, "WEAK")],
)
def test_evidence_of_an_embedded_phase(lacking, has_own, hangs, expected):
    found = evidence([0, lacking], has_own=has_own, hangs=hangs)
    assert _class(np.array([True, False]), np.array([False, True]), found, True) == expected


def evidence(lacking, *, has_own=True, hangs=False, is_clear=True):
    of_all = (np.full(len(lacking), one) for one in (has_own, hangs, is_clear))
    return Evidence(np.array(lacking), *of_all)


@pytest.mark.parametrize(
    ("doubtful", "apart", "turns", "expected"),
    [
        ([False, True], [0.0, 10.0], [0.0, 12.0], None),
        ([False, True], [0.0, 4.0], [0.0, 12.0], 1),
        ([True, True], [1.0, 1.0], [9.0, 12.0], 1),
        ([True, False], [1.0, 1.0], [9.0, 12.0], 0),
        ([False, False], [0.0, 0.0], [12.0, 12.0], None),
    ],
)
def test_mixing_tells_more_than_a_reading_that_runs_into_the_other(
    doubtful, apart, turns, expected
):
    found = farther_mixed(np.array(doubtful), np.array(apart), np.array(turns))
    assert found == expected


def test_fractions_of_atoms():
    atoms = Atoms(np.array([True, True, False]), np.array([2.0, 1.0, 1.0]))
    assert atoms.fractions(np.array([[0.4, 0.2, 0.4]])) == pytest.approx(np.array([[0.5, 0.5]]))
