# SPDX-License-Identifier: GPL-3.0-or-later
"""The records: small frozen containers with units, invariants and `validate()`."""

from mlatem.model.acquisition import Acquisition, Value
from mlatem.model.ambiguity import Ambiguity
from mlatem.model.basis import Basis
from mlatem.model.calibration import Calibration, DetectorAxis, Estimate
from mlatem.model.counts import SparseCounts, thin
from mlatem.model.detector import DescribedDetector, EfficiencyTable, Layer
from mlatem.model.dictionary import Dictionary
from mlatem.model.factor_table import Factor, FactorTable
from mlatem.model.factorization import Factorization
from mlatem.model.identification import FoundElement, Identification
from mlatem.model.leeway import Leeway
from mlatem.model.phase_table import PhaseTable
from mlatem.model.pixel_maps import PixelMaps
from mlatem.model.rare_search import RareSearch
from mlatem.model.spectrum_image import SpectrumImage
from mlatem.model.statistics import (
    RefinementStatistics,
    RegionStatistics,
    StreamedMoment,
    TileStatistics,
)
from mlatem.model.verdict import Decision, Verdict

__all__ = [
    "Acquisition",
    "Ambiguity",
    "Basis",
    "Calibration",
    "Decision",
    "DescribedDetector",
    "DetectorAxis",
    "Dictionary",
    "EfficiencyTable",
    "Estimate",
    "Factor",
    "FactorTable",
    "Factorization",
    "FoundElement",
    "Identification",
    "Layer",
    "Leeway",
    "PhaseTable",
    "PixelMaps",
    "RareSearch",
    "RefinementStatistics",
    "RegionStatistics",
    "SparseCounts",
    "SpectrumImage",
    "StreamedMoment",
    "TileStatistics",
    "Value",
    "Verdict",
    "thin",
]
