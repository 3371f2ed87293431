# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem.model import Ambiguity
from mlatem.reporting import render_report
from mlatem.reporting.ambiguity import ambiguity_section


@pytest.fixture
def opened(make):
    """Inputs whose second phase may hold silicon, as the first one does."""
    inputs = make.inputs()
    factorization = inputs.factorization
    first, second = factorization.coefficient
    sums = factorization.columns.sum(axis=-1)[0]
    other = np.stack([first, (second + 0.3 * first) / 1.3])
    assert other @ sums == pytest.approx(np.ones(2))
    record = Ambiguity(
        geometry_class="OPEN",
        alternative="contiguous",
        is_given=False,
        reason="phase 2, seen nowhere alone, may hold all elements of what is around",
        question="is Si present in phase 2? This answer has 0.0 at%, the other one 8.0 at%",
        purity=np.array([0.95, 0.3]),
        n_lacking=np.array([3, 0]),
        is_alone=np.array([True, False]),
        mixing_low=np.array([[0.0, 0.0], [-0.004, 0.0]]),
        mixing_high=np.array([[0.0, 0.0], [1.0, 0.0]]),
        alternative_coefficient=other,
        alternative_scale=factorization.columns.sum(axis=-1),
        fewer_coefficient=first[None],
        more_coefficient=np.zeros((0, first.size)),
        order_deviance=np.array([5000.0, 900.0, np.nan]),
    )
    return replace(inputs, factorization=replace(factorization, ambiguity=record))


def test_both_answers_and_intervals_in_words(opened):
    section = ambiguity_section(opened.factorization)
    assert section.is_open
    assert [row.angle != "0.0" for row in section.answers] == [False, True]
    silicon = section.elements.index("Si")
    assert section.answers[1].here[silicon] == "0.0"
    assert float(section.answers[1].there[silicon]) > 5
    (row,) = section.mixing
    assert (row.phase, row.other) == (2, 1)
    assert row.amount == "0 counts less to any amount more"
    assert "Si 0.0 to" in row.effect
    assert [row.n_phases for row in section.orders] == [1, 2]
    assert section.orders[1].gained.replace("\N{NARROW NO-BREAK SPACE}", "").endswith("100")


def test_another_reading_that_tells_little_is_not_said_to_be_one(opened):
    factorization = opened.factorization
    assert "contiguous" in ambiguity_section(factorization).other
    record = replace(factorization.ambiguity, alternative="mixed")
    section = ambiguity_section(replace(factorization, ambiguity=record))
    assert "embedded" in section.taken
    assert "as far mixed with another as the counts allow" in section.other


def test_the_page_asks_the_question_and_shows_both_spectra(opened):
    report = render_report(opened)
    assert "is Si present in phase 2?" in report.html
    assert "<details open><summary>Both answers" in report.html
    assert "alternative_2.png" in report.figures
    assert "alternative_1.png" not in report.figures
    assert 'href="#ambiguity"' in report.html


def test_two_whole_answers_stand_side_by_side_on_one_scale(opened):
    factorization = opened.factorization
    other = factorization.abundance.copy()
    other[..., 1] += 0.5 * factorization.abundance[..., 0]
    other[..., 0] *= 0.5
    whole = replace(
        factorization,
        alternative_abundance=other,
        alternative_deviance=factorization.deviance + 1,
    )
    compared = ambiguity_section(whole).differences
    assert compared.rows[0].share == ("50.0", "25.0")
    assert compared.rows[0].elements == ""
    assert compared.rows[1].elements.startswith("Fe 40.0 or ")
    assert compared.fit == f"this answer's deviance is lower by {factorization.deviance.size}"
    report = render_report(replace(opened, factorization=whole))
    for phase in (1, 2):
        for answer in ("this", "other"):
            assert f"{answer}_answer_{phase}.png" in report.figures
    assert "50.0 or 25.0" in report.html
    plain = render_report(opened)
    assert ambiguity_section(factorization).differences is None
    assert "this_answer_1.png" not in plain.figures


def test_a_geometry_that_was_given_is_not_open(opened):
    record = replace(opened.factorization.ambiguity, is_given=True, question="")
    factorization = replace(opened.factorization, ambiguity=record)
    assert not ambiguity_section(factorization).is_open


def test_no_section_where_nothing_was_looked_for(make):
    inputs = make.inputs()
    assert ambiguity_section(inputs.factorization) is None
    assert 'id="ambiguity"' not in render_report(inputs).html
