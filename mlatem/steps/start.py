# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a run: a new campaign folder, and the check of an existing one."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mlatem import campaign as _campaign
from mlatem.errors import ConfigError, MlatemError
from mlatem.io.atomic import atomic_path
from mlatem.io.read import open_raw
from mlatem.schema import config_yaml, sheet_tsv
from mlatem.settings import Convert
from mlatem.sheet import DatasetRow


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


def check(folder: str | PathLike[str]) -> list[str]:
    """Everything that would make a dataset of a campaign fail, as far as it shows beforehand.

    Every raw file is opened, none is converted.

    Returns
    -------
    problems : list of str
        One message per problem; empty where all is in order.
    """
    try:
        campaign = _campaign.load_folder(folder)
    except ConfigError as error:
        return [str(error)]
    problems = []
    for name, cells in campaign.rows.items():
        try:
            row = DatasetRow.from_strings(cells)
            if not row.elements:
                problems.append(
                    f"{name}: the column elements is empty: name the elements of the specimen"
                )
            signals = open_raw(
                campaign.raw_paths(name),
                acquisition_overrides=row.axes,
                settings=Convert(hash_inputs=False),
            )
            if "edxs" not in signals.group_names:
                problems.append(
                    f"{name}: has no X-ray map, only {', '.join(signals.group_names)}, which is "
                    "converted but not analysed: add the file of an EDS map to its path"
                )
        except MlatemError as error:
            problems.append(f"{name}: {error}")
    return problems
