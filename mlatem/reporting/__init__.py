# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and pictures for people."""

from mlatem.reporting.index import campaign_frame, render_index
from mlatem.reporting.inputs import (
    DriftCurve,
    IndexEntry,
    MassThickness,
    RenderedReport,
    ReportInputs,
    SumFit,
    Survey,
)
from mlatem.reporting.page import render_report
from mlatem.reporting.tables import main_elements

__all__ = [
    "DriftCurve",
    "IndexEntry",
    "MassThickness",
    "RenderedReport",
    "ReportInputs",
    "SumFit",
    "Survey",
    "campaign_frame",
    "main_elements",
    "render_index",
    "render_report",
]
