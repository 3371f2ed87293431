# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of `import mlatem`: arrays and datasets in, datasets out, no file written."""

from mlatem.api.denoising import denoise
from mlatem.api.factorization import (
    factorize,
    other_answer,
    patterns_of_phases,
    phases_of,
    refine,
    solve_attrs,
    solve_phases,
    with_geometry_of,
)
from mlatem.api.prepare import calibrate, edxs_dictionary, identify
from mlatem.api.priors import load_priors, named_phases
from mlatem.api.quantification import mass_thickness, quantify, quantify_pixels
from mlatem.api.rare_phases import find_rare_phases
from mlatem.api.reconstruction import reconstruct

__all__ = [
    "calibrate",
    "denoise",
    "edxs_dictionary",
    "factorize",
    "find_rare_phases",
    "identify",
    "load_priors",
    "mass_thickness",
    "named_phases",
    "other_answer",
    "patterns_of_phases",
    "phases_of",
    "quantify",
    "quantify_pixels",
    "reconstruct",
    "refine",
    "solve_attrs",
    "solve_phases",
    "with_geometry_of",
]
