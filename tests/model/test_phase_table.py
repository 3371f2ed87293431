# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlatem.errors import InputError
from mlatem.model import PhaseTable
from mlatem.model.phase_table import COLUMNS


def frame(**changes: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "dataset": "a",
            "phase": ["P1", "P1", "P2", "P2"],
            "area_fraction": [0.75, 0.75, 0.25, 0.25],
            "element": ["O", "Fe", "O", "Fe"],
            "atomic_percent": [60.0, 40.0, 0.0, 100.0],
            "sigma_stat": [1.0, 1.0, np.nan, np.nan],
            "sigma_sys": [2.0, 2.0, 2.0, 2.0],
            "weight_percent": [30.0, 70.0, 0.0, 100.0],
            "detection_limit": [0.1, 0.1, 0.2, 0.2],
            "line_or_edge": ["K", "K", "K", "K"],
            "method": "absolute",
            "factor_source": "Bote 2009",
        }
    )
    return table.assign(**changes)


def test_columns_are_those_of_the_file_format():
    assert tuple(frame().columns) == COLUMNS
    PhaseTable(frame())


def test_pivot_keeps_the_order():
    wide = PhaseTable(frame()).pivot()  # noqa: PD010
    assert list(wide.index) == ["P1", "P2"]
    assert list(wide.columns) == ["O", "Fe"]
    assert wide.loc["P1", "Fe"] == 40.0
    sigma = PhaseTable(frame()).pivot("sigma_stat")  # noqa: PD010
    assert np.isnan(sigma.loc["P2", "O"])


def test_unquantified_phase_is_nan():
    PhaseTable(frame(atomic_percent=[60.0, 40.0, np.nan, np.nan]))


def test_missing_column():
    with pytest.raises(InputError, match="lacks the columns sigma_sys, method"):
        PhaseTable(frame().drop(columns=["sigma_sys", "method"]))


def test_sums_are_checked():
    with pytest.raises(InputError, match="atomic_percent of phase P2 adds up to 90, expected 100"):
        PhaseTable(frame(atomic_percent=[60.0, 40.0, 0.0, 90.0]))


def test_negative_percentages():
    with pytest.raises(InputError, match="weight_percent is negative"):
        PhaseTable(frame(weight_percent=[-10.0, 110.0, 0.0, 100.0]))


def test_rounding_to_the_digits_of_a_file_is_no_error():
    values = [41.5841335, 14.7924415, 58.4158675, 85.2075605]
    shares = [values[0], values[2] + 5e-7, values[1], values[3] + 5e-7]
    PhaseTable(frame(atomic_percent=shares))
    with pytest.raises(InputError, match="expected 100"):
        PhaseTable(frame(atomic_percent=[60.0, 40.01, 0.0, 100.0]))
