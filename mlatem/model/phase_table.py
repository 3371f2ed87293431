# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of quantified phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlatem.errors import InputError

COLUMNS = (
    "dataset",
    "phase",
    "area_fraction",
    "element",
    "atomic_percent",
    "sigma_stat",
    "sigma_sys",
    "weight_percent",
    "detection_limit",
    "line_or_edge",
    "method",
    "factor_source",
)

#: Columns that a table may have beside `COLUMNS`.
OPTIONAL_COLUMNS = (
    "atomic_percent_low",
    "atomic_percent_high",
    "atomic_percent_low_68",
    "atomic_percent_high_68",
    "weight_percent_low",
    "weight_percent_high",
    "name",
    "upper_limit",
    "mass_thickness_kg_m2",
    "mass_thickness_sigma_kg_m2",
    "absorption_factor",
    "oxide",
    "oxide_weight_percent",
)

#: A file keeps eight digits of every element: sums of many are off by their rounding.
_SUM_TOLERANCE_PERCENT = 1e-4


@dataclass(frozen=True)
class PhaseTable:
    """Composition of every phase, tidy: one row per phase and element.

    `atomic_percent`, `sigma_stat`, `sigma_sys` and `detection_limit` are in at%; `weight_percent`
    in wt%; `area_fraction` from 0 to 1. What was not quantified is NaN, never 0. `sigma_stat` is
    one standard deviation from the counting statistics, `sigma_sys` from the factors.

    Optional: `name` of the phase, where priors name it; the ends of intervals of 95 %,
    `atomic_percent_low` and `atomic_percent_high`, the same of `weight_percent`, and with `_68` of
    68 %; they hold statistics, lost elements and the scatter of the thinnings. `upper_limit` (at%,
    one-sided 95 %) of what lies below its detection limit or whose interval reaches zero, NaN for
    what was seen; `mass_thickness_kg_m2` of the phase where it has the most counts, and its sigma;
    `absorption_factor`, the share of an element's photons that leave the phase; `oxide` and
    `oxide_weight_percent` where oxygen comes by stoichiometry.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        self.validate()

    def pivot(self, value: str = "atomic_percent") -> pd.DataFrame:
        """Phases down, elements across, in the order of the table."""
        wide = self.frame.set_index(["phase", "element"])[value].unstack()  # noqa: PD010
        return wide.loc[self.frame["phase"].unique(), self.frame["element"].unique()]

    def validate(self) -> None:
        """Check columns and sums.

        Raises
        ------
        InputError
            If a column is missing, or the at% or wt% of a phase are negative or do not add up to
            100.
        """
        missing = [c for c in COLUMNS if c not in self.frame.columns]
        if missing:
            raise InputError(
                f"phase table lacks the columns {', '.join(missing)}: expected {', '.join(COLUMNS)}"
            )
        for value in ("atomic_percent", "weight_percent"):
            if np.any(self.frame[value] < 0):
                raise InputError(
                    f"phase table: {value} is negative; expected 0 to 100, NaN where not quantified"
                )
            sums = self.frame.groupby("phase")[value].sum(min_count=1).dropna()
            off = sums[np.abs(sums - 100) > _SUM_TOLERANCE_PERCENT]
            if len(off):
                raise InputError(
                    f"phase table: {value} of phase {off.index[0]} adds up to {off.iloc[0]:.6g}, "
                    "expected 100"
                )
