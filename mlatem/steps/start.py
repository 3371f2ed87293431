# SPDX-License-Identifier: GPL-3.0-or-later
"""A new campaign folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mlatem.campaign.schema import config_yaml, sheet_tsv
from mlatem.errors import ConfigError
from mlatem.io.atomic import atomic_path


def init(folder: str | PathLike[str]) -> list[Path]:
    """Start a campaign folder with the default configuration and an empty sample sheet.

    Returns
    -------
    paths : list of Path
        The files written.

    Raises
    ------
    ConfigError
        If the folder already holds one of them: nothing is overwritten.
    """
    config = Path(folder) / "config"
    files = {config / "config.yaml": config_yaml(), config / "datasets.tsv": sheet_tsv()}
    for path in files:
        if path.exists():
            raise ConfigError(f"{path} exists: choose another folder, or edit the file")
    for path, text in files.items():
        with atomic_path(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return list(files)
