# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates for rare phases in a report."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.factorization.rare_candidates import verdict
from mlatem.model import RareSearch
from mlatem.reporting import render_report


@pytest.fixture
def search(make):
    factorization = make.factorization()
    shape = factorization.abundance.shape[:2]
    candidate = np.zeros(shape, dtype=np.int32)
    candidate[2:4, 5] = 1
    counts = 50.0 * factorization.spectrum[:1]
    return RareSearch(
        excess=np.where(candidate > 0, 2.5, 0.3).astype(np.float32),
        candidate=candidate,
        counts=2 * counts,
        expected=counts,
        element_score=np.array([[0.5, -2.0, 9.0]]),
        atomic_percent_region=np.array([[60.0, 20.0, 20.0]]),
        atomic_percent_excess=np.array([[55.0, 0.0, 45.0]]),
        elements=("O", "Si", "Fe"),
        energy=factorization.dictionary.energy,
        y_nm=factorization.y_nm,
        x_nm=factorization.x_nm,
        false_alarm=0.02,
    )


def none_found(search):
    none = {
        name: getattr(search, name)[:0]
        for name in (
            "counts",
            "expected",
            "element_score",
            "atomic_percent_region",
            "atomic_percent_excess",
        )
    }
    return RareSearch(**{**vars(search), **none, "candidate": 0 * search.candidate})


def test_a_candidate_has_a_row_and_a_picture(make, search):
    report = render_report(make.inputs(rare=search, verdicts=(verdict(search),)))
    assert {"rare_excess.png", "rare_spectrum_1.png"} <= set(report.figures)
    assert "Fe (9 \N{GREEK SMALL LETTER SIGMA})" in report.html
    plain = report.html.replace("\N{EN DASH}", "-")
    assert "O 55-60, Si 0-20, Fe 20-45" in plain
    assert "more than the phases hold: Fe on 2 pixels" in report.html


def test_none_found_is_said(make, search):
    report = render_report(make.inputs(rare=none_found(search)))
    assert "No pixel, and no window" in report.html
    assert verdict(none_found(search)).status == "good"


def test_without_a_search_there_is_no_section(make):
    assert 'id="rare"' not in render_report(make.inputs()).html
