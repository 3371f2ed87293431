# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real vendor files; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("MLATEM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set MLATEM_TEST_DATA to the folder of vendor files")
    return folder
