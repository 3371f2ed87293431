# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing from a dictionary, told from the axes outside of its span."""

import numpy as np
import pytest

from mlatem.denoising.axis_error import axis_error
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.denoising.residuals import LineGroups, suggest
from mlatem.denoising.scores import scores
from mlatem.denoising.verdicts import residual_verdict
from mlatem.errors import InputError
from mlatem.model import Dictionary
from mlatem.passes.score_maps import score_moment
from mlatem.settings import Denoise

N_ENERGY = 512


@pytest.fixture(scope="module")
def lines(dictionary):
    """Every element of the specimens, each as one group."""
    known = dictionary(N_ENERGY)
    names = [e for e in known.elements if e]
    rows = [known.names.index(name) for name in names]
    return LineGroups(tuple(names), ("K",) * len(names), known.columns[rows])


def moved(dictionary, shift_kev):
    """The dictionary as it is for energies that are too high by the shift."""
    rows = [
        np.interp(dictionary.energy + shift_kev, dictionary.energy, row)
        for row in dictionary.columns
    ]
    return Dictionary.from_arrays(
        rows, dictionary.energy, dictionary.names, dictionary.kinds, dictionary.elements
    )


def test_nothing_is_suggested_for_a_complete_dictionary(specimen, dictionary, lines):
    _, statistics, _ = specimen(dose=300.0)
    complete = dictionary(N_ENERGY)
    found = suggest(low_rank(statistics, complete), complete, lines)
    assert found == ()
    assert residual_verdict(found, None).status == "good"


@pytest.mark.parametrize("element", ["Fe", "Si"])
def test_missing_element_is_named(specimen, dictionary, lines, element):
    _, statistics, _ = specimen(dose=300.0)
    partial = dictionary(N_ENERGY, without=(element,))
    found = suggest(low_rank(statistics, partial), partial, lines)
    # The mean spectrum is in the basis; the element is what the dictionary lacks of it.
    assert found[0].axis == 0
    assert found[0].kind == "element" and found[0].names[0] == element
    assert found[0].share > 0.8
    verdict = residual_verdict(found, None)
    assert verdict.status == "warning" and f"missing element: {element}" in verdict.message


def test_missing_rare_element_is_named(specimen, dictionary, lines):
    _, statistics, _ = specimen(side=48, dose=500.0, n_rare=16)
    partial = dictionary(N_ENERGY, without=("Zr",))
    named = [s.names[0] for s in suggest(low_rank(statistics, partial), partial, lines) if s.names]
    assert named[:1] == ["Zr"]


@pytest.mark.parametrize("shift_kev", [0.008, -0.012])
def test_wrong_offset_is_measured(specimen, dictionary, lines, shift_kev):
    counts, statistics, _ = specimen(side=48, dose=500.0)
    wrong = moved(dictionary(N_ENERGY), shift_kev)
    basis = low_rank(statistics, wrong)
    found = suggest(basis, wrong, lines)
    axes = [s.axis for s in found if s.kind == "axis"]
    assert axes and all(s.kind == "axis" for s in found)
    error = axis_error(*score_moment(scores(counts, basis)[None]), basis, wrong, axes)
    assert error.cause == "offset"
    # To first order, and interpolating the columns widens the lines: good to a quarter.
    assert error.value == pytest.approx(-shift_kev, rel=0.25)
    assert "energy axis off by about" in residual_verdict(found, error).message


def test_what_nothing_explains_is_said(specimen, dictionary):
    _, statistics, _ = specimen(dose=300.0)
    partial = dictionary(N_ENERGY, without=("Fe", "Ti"))
    found = suggest(low_rank(statistics, partial), partial)
    assert [s.kind for s in found] == ["unknown"]
    assert min(abs(found[0].energy - line) for line in (4.51, 6.4)) < 0.2
    assert "not explained: largest at" in residual_verdict(found, None).message


def test_axes_near_the_edge_are_uncertain(specimen, dictionary):
    _, statistics, _ = specimen()
    basis = low_rank(statistics, dictionary(N_ENERGY), Denoise(rank=5))
    assert basis.is_uncertain.tolist() == [False, False, False, True, True]
    decided = rank_decision(low_rank(statistics, dictionary(N_ENERGY)), Denoise())
    assert "uncertain" not in decided.reason


def test_lines_on_other_channels_are_refused(specimen, dictionary, lines):
    _, statistics, _ = specimen(n_energy=256)
    other = dictionary(256)
    with pytest.raises(InputError, match="lines on 512 channels, the basis has 256"):
        suggest(low_rank(statistics, other), other, lines)
