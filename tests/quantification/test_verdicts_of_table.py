# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on the table of phases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlatem.model import PhaseTable
from mlatem.quantification.verdicts import verdicts


def table(sigmas):
    n = len(sigmas)
    return PhaseTable(
        pd.DataFrame(
            {
                "dataset": "d",
                "phase": np.arange(1, n + 1),
                "area_fraction": 1.0 / n,
                "element": "O",
                "atomic_percent": 100.0,
                "sigma_stat": sigmas,
                "sigma_sys": 0.0,
                "weight_percent": 100.0,
                "detection_limit": 0.1,
                "line_or_edge": "K",
                "method": "absolute",
                "factor_source": "test",
            }
        )
    )


@pytest.mark.parametrize(
    ("sigmas", "status", "named"), [([0.1, 0.3], "good", "phase 2"), ([30.0, 0.3], "warning", "1")]
)
def test_the_least_certain_phase_is_named(sigmas, status, named):
    (verdict,) = verdicts(table(sigmas))
    assert verdict.status == status
    assert verdict.value == max(sigmas)
    assert named in verdict.message


def test_nothing_quantified_has_no_verdict():
    assert verdicts(table([np.nan])) == ()
