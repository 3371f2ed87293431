# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples run as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlatem
from mlatem.specimen import load_specimen

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "examples/notebook.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def compositions(printed: str) -> list[list[float]]:
    """Rows of the first printed table, at% of O, Si, Ti and Fe: glass, rutile and iron."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("element"))
    rows = [line.split() for line in lines[start + 2 : start + 5]]
    return sorted(
        ([float(cell) for cell in row[1:]] for row in rows),
        key=lambda row: [round(v) for v in row[::-1]],
    )


def test_notebook_simulates_and_quantifies(tmp_path):
    done = run(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    glass, rutile, iron = compositions(done.stdout)
    assert iron == pytest.approx([0, 0, 0, 100], abs=4)
    assert rutile == pytest.approx([66.7, 0, 33.3, 0], abs=4)
    assert glass == pytest.approx([66.7, 33.3, 0, 0], abs=4)


def test_notebook_takes_a_file_of_ones_own(tmp_path):
    mlatem.simulate(ROOT / "examples" / "specimens" / "small.yaml", tmp_path, name="own")
    done = run(str(tmp_path / "own.hspy"), "O,Si,Ti,Fe", "3", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(compositions(done.stdout)) == 3


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "examples" / "specimens").glob("*.yaml")),
        *sorted((ROOT / "examples" / "demo").glob("*.yaml")),
    ],
    ids=lambda path: path.name,
)
def test_specimens_are_valid(path):
    assert load_specimen(path).phases
