# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of `import mlatem`: arrays and datasets in, datasets out, no file written."""

from mlatem.api.denoising import denoise, reconstruct
from mlatem.api.factorization import (
    factorize,
    patterns_of_phases,
    plan_regions,
    refine,
    solve_attrs,
    solve_phases,
)
from mlatem.api.prepare import calibrate, edxs_dictionary, identify
from mlatem.api.priors import load_priors, named_phases
from mlatem.api.quantification import mass_thickness, quantify, quantify_pixels

__all__ = [
    "calibrate",
    "denoise",
    "edxs_dictionary",
    "factorize",
    "identify",
    "load_priors",
    "mass_thickness",
    "named_phases",
    "patterns_of_phases",
    "plan_regions",
    "quantify",
    "quantify_pixels",
    "reconstruct",
    "refine",
    "solve_attrs",
    "solve_phases",
]
