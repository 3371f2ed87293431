# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product in a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.reporting import render_report


@pytest.fixture
def lowrank(make):
    """Six axes: two in the span, two outside, of which one uncertain, and two in few pixels."""
    factorization = make.factorization()
    shape = factorization.abundance.shape[:2]
    basis = replace(
        make.basis(),
        axes=np.eye(6, 230),
        eigenvalue=np.array([900.0, 80.0, 60.0, 15.0, 4.0, 5.0]),
        edge=np.full(6, 10.0),
        in_span=np.array([True, True, False, False, True, False]),
        n_rare=2,
    )
    product = basis.to_dataset()
    scores = np.random.default_rng(0).standard_normal((*shape, 6)).astype(np.float32)
    scores[0, 0] = np.nan
    guard = np.zeros(shape, dtype=np.uint8)
    guard[3, 4:6] = 1
    product["scores"] = product["smoothed_scores"] = (("y", "x", "axis"), scores)
    product["guard"] = (("y", "x"), guard)
    product.attrs["suggestions"] = [
        {"axis": 2, "words": "candidate missing element: Zr (97 % of axis 3)"},
        {"axis": 3, "words": "not explained"},
    ]
    product.attrs["rare_axes"] = [
        {"element": "Co", "is_listed": True, "n_pixels": 7},
        {"element": "Hf", "is_listed": False, "n_pixels": 12},
    ]
    return product


def test_axes_maps_spectra_and_guard_are_shown(make, lowrank):
    report = render_report(make.inputs(lowrank=lowrank))
    wanted = {f"score_{k}.png" for k in range(1, 7)}
    wanted |= {"residual_axis_3.png", "residual_axis_4.png", "residual_axis_6.png", "guard.png"}
    assert wanted <= set(report.figures)
    assert "residual_axis_2.png" not in report.figures
    for words in (
        "candidate missing element: Zr",
        "uncertain: below twice the edge",
        "Co in about 7 pixels",
        "candidate missing element: Hf in about 12 pixels",
        "2 pixels kept as measured",
    ):
        assert words in report.html
    assert report.html.count("eigenvalues of the signal and the edges of the noise") == 1


def test_without_smoothing_there_is_no_guard_map(make, lowrank):
    report = render_report(make.inputs(lowrank=lowrank.drop_vars(["smoothed_scores", "guard"])))
    assert "guard.png" not in report.figures and "score_1.png" in report.figures


def test_without_a_product_the_scree_stays_with_the_residuals(make):
    report = render_report(make.inputs())
    assert 'id="denoising"' not in report.html and "scree.png" in report.figures
