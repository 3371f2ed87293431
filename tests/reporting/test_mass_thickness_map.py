# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of mass thickness in a report."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.reporting import MassThickness, render_report


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ("dose", "that of beam current"),
        ("thickness", "Its mean is the thickness that was given"),
        ("relative", "It is relative, with mean one"),
    ],
)
def test_the_map_says_what_its_scale_rests_on(make, scale, said):
    factorization = make.factorization()
    values = np.full(factorization.abundance.shape[:2], 2e-4)
    values[0, 0] = np.nan
    unit = "1" if scale == "relative" else "kg/m2"
    report = render_report(make.inputs(mass_thickness=MassThickness(values, unit, scale)))
    assert "mass_thickness.png" in report.figures
    assert said in report.html


def test_without_a_map_nothing_is_said(make):
    report = render_report(make.inputs())
    assert "mass_thickness.png" not in report.figures
    assert "Mass thickness along the beam" not in report.html
