# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of k-factors of the documentation."""

from __future__ import annotations

import k_factors
import numpy as np


def test_every_published_factor_is_compared():
    rows = k_factors.rows()
    assert len(k_factors.table()) == len(rows) > 30
    assert all(np.isfinite(row["ratio"]) and row["source"] for row in rows)


def test_k_lines_agree_with_a_manufacturers_table_as_far_as_yields_are_known():
    ratio = {
        row["element"]: row["ratio"]
        for row in k_factors.rows()
        if row["lines"] == "K" and row["source"] == "Thermo"
    }
    # Neighbours in atomic number share the error of the yields.
    assert abs(ratio["Al"] - 1) < 0.05
    assert abs(ratio["Cu"] / ratio["Fe"] - 1) < 0.05
    assert abs(ratio["Ca"] / ratio["Ti"] - 1) < 0.05
