# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that were compiled once are compiled by no job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlatem

ROOT = Path(__file__).resolve().parents[2]
ANALYSE = """
import sys
from mlatem import settings
from mlatem.kernels.compiled import cache_use
from mlatem.sheet import DatasetRow
from mlatem.steps.whole import analyse
row = {"dataset": "small", "path": sys.argv[1], "elements": "O,Si,Ti,Fe", "n_phases": "3"}
analyse([sys.argv[1]], sys.argv[2], row=DatasetRow.from_strings(row), settings=settings.Settings(),
        threads=2)
print(cache_use().n_compiled)
"""


def test_an_analysis_compiles_nothing_after_a_warm_up(tmp_path):
    command = [str(Path(sys.executable).with_name("mlatem")), "warm-up"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert " kernels compiled, " in said
    mlatem.simulate(ROOT / "examples" / "specimens" / "small.yaml", tmp_path, name="small")
    arguments = [str(tmp_path / "small.hspy"), str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-c", ANALYSE, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "0"
