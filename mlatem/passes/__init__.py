# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over the tiles of a spectrum image. Each returns sums, or maps of the pixels it saw."""

from mlatem.passes.phases import (
    TileAbundances,
    abundances_pass,
    centroids_pass,
    refinement_pass,
    regions_pass,
)
from mlatem.passes.rare_phases import places_pass, rare_pass
from mlatem.passes.source import Progress, TileSource
from mlatem.passes.sums import (
    block_sums_pass,
    coherence_pass,
    scores_pass,
    statistics_pass,
    sum_spectrum_pass,
)

__all__ = [
    "Progress",
    "TileAbundances",
    "TileSource",
    "abundances_pass",
    "block_sums_pass",
    "centroids_pass",
    "coherence_pass",
    "places_pass",
    "rare_pass",
    "refinement_pass",
    "regions_pass",
    "scores_pass",
    "statistics_pass",
    "sum_spectrum_pass",
]
