# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the workflow: files in, files out."""

from mlatem.steps.calibrate import calibrate
from mlatem.steps.convert import convert
from mlatem.steps.denoise import denoise
from mlatem.steps.factorize import (
    factorize,
    factorize_settings,
    fit_abundances,
    merge,
    place_regions,
    pool_regions,
    solve_compositions,
)
from mlatem.steps.index import index
from mlatem.steps.quantify import quantify
from mlatem.steps.report import DatasetFiles, report
from mlatem.steps.simulate import simulate
from mlatem.steps.start import check, init

__all__ = [
    "DatasetFiles",
    "calibrate",
    "check",
    "convert",
    "denoise",
    "factorize",
    "factorize_settings",
    "fit_abundances",
    "index",
    "init",
    "merge",
    "place_regions",
    "pool_regions",
    "quantify",
    "report",
    "simulate",
    "solve_compositions",
]
