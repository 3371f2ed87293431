# SPDX-License-Identifier: GPL-3.0-or-later
"""The calibration on the page of a dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.model import DetectorAxis, Estimate
from mlatem.reporting import SumFit, render_report
from mlatem.reporting.calibration import correction_ev, factor_rows
from mlatem.reporting.numbers import NOTHING


def detector(name, share):
    return DetectorAxis(
        name,
        share,
        Estimate(-0.0071, 0.0004, "file"),
        Estimate(1e-3, 1e-4, "file"),
        Estimate(44.3, 0.9, "file"),
    )


@pytest.fixture
def fitted(make):
    """A calibration with everything in it, and the fit of its sum spectrum."""
    factorization = make.factorization()
    calibration = make.calibration(
        detectors=(detector("left <1>", 0.6), detector("right", 0.4)),
        line_factors={"Fe L3": Estimate(0.52, 0.08, "file")},
        offset_gain_correlation=-0.7,
        resolution_ev=Estimate(131.2, 0.6, "file"),
        pile_up=Estimate(0.004, 0.001, "file"),
    )
    counts = factorization.dominant_counts.sum(axis=0)
    amounts = factorization.dominant_abundance.sum(axis=0) @ factorization.coefficient
    return calibration, SumFit(factorization.dictionary, counts, amounts)


def test_the_page_shows_spectrum_axis_detectors_and_intensities(make, fitted):
    calibration, fit = fitted
    report = render_report(make.inputs(calibration=calibration, sum_fit=fit))
    assert {"sum_spectrum.png", "axis_correction.png"} <= set(report.figures)
    for text in (
        "left &lt;1&gt;",
        "-7.10 \N{PLUS-MINUS SIGN} 0.40",
        "Fe L3",
        "131.20",
        "sum peaks",
    ):
        assert text in report.html
    assert "correlation of offset and gain" in report.html


def test_the_intensities_that_were_used_stand_beside_those_of_the_sum(make, fitted):
    calibration, _ = fitted
    calibration = replace(
        calibration,
        line_factors={**calibration.line_factors, "Ni L3": Estimate(1.31, 0.05, "file")},
    )
    found = make.factorization()
    again = {"Fe L3": [0.91, 0.03, 0.04], "Fe L1": [1.2, 0.06, 0.08]}
    found = replace(found, attrs={**found.attrs, "line_factors": again})
    rows = {row.name: row for row in factor_rows(calibration, found)}
    assert list(rows) == ["Fe L1", "Fe L3", "Ni L3"]
    assert rows["Fe L3"].used == "0.910 \N{PLUS-MINUS SIGN} 0.050"
    assert rows["Fe L3"].of_sum == "0.520 \N{PLUS-MINUS SIGN} 0.080"
    assert rows["Fe L1"].of_sum == NOTHING
    assert rows["Ni L3"].used == rows["Ni L3"].of_sum
    report = render_report(make.inputs(calibration=calibration, factorization=found))
    assert rows["Fe L3"].used in report.html and rows["Fe L3"].of_sum in report.html
    assert "Not fitted again, and used as the sum spectrum shows them: Ni L3." in report.html


def test_an_axis_that_was_kept_has_no_picture_of_its_correction(make, fitted):
    _, fit = fitted
    kept = make.calibration(
        energy_offset_kev=Estimate(0.0, None, "default"), energy_gain=Estimate(0.0, None, "default")
    )
    report = render_report(make.inputs(calibration=kept, sum_fit=fit))
    assert "axis_correction.png" not in report.figures
    assert "sum_spectrum.png" in report.figures


def test_the_band_holds_the_correlation_of_offset_and_gain(make):
    calibration = make.calibration(offset_gain_correlation=-0.7)
    correction, sigma = correction_ev(calibration, np.array([0.0, 5.0]))
    np.testing.assert_allclose(correction, [3.1, 3.1 - 0.6])
    # 0.4 eV and 2e-5 * 5 keV = 0.1 eV.
    np.testing.assert_allclose(sigma, [0.4, np.sqrt(0.16 + 0.01 - 2 * 0.7 * 0.4 * 0.1)])
