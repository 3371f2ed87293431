# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign: a folder with a configuration, a sample sheet and raw files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from mlatem import settings as settings_module
from mlatem.campaign import resources
from mlatem.errors import ConfigError
from mlatem.settings import Settings
from mlatem.sheet import read_sheet


@dataclass(frozen=True)
class Campaign:
    """Settings and sample sheet of a campaign."""

    root: Path
    """Folder to which the paths of the sample sheet are relative."""
    settings: Settings
    rows: Mapping[str, Mapping[str, str]]
    """Cells of the sample sheet as strings, by dataset and column."""
    _extents: dict[tuple[str, int], resources.Extent] = field(
        default_factory=dict, repr=False, compare=False
    )

    def raw_paths(self, dataset: str) -> list[str]:
        """Raw files of a dataset as the sheet names them, whether they exist or not."""
        cell = self.rows[dataset].get("path", "")
        return [str(self.root / part.strip()) for part in cell.split(";") if part.strip()]

    def factor_path(self, dataset: str) -> str | None:
        """The table of factors of a dataset as the sheet names it, whether it exists or not."""
        cell = self.rows[dataset].get("k_factors", "").strip()
        return str(self.root / cell) if cell else None

    def priors_path(self, dataset: str) -> str | None:
        """The priors of a dataset as the sheet names them, whether they exist or not."""
        cell = self.rows[dataset].get("priors", "").strip()
        return str(self.root / cell) if cell else None

    def mask_path(self, dataset: str) -> str | None:
        """The mask of a dataset as the sheet names it, whether it exists or not."""
        cell = self.rows[dataset].get("mask", "").strip()
        return str(self.root / cell) if cell else None

    def extent(self, dataset: str) -> resources.Extent:
        """Size of a dataset: of its store; before there is one, a guess from its raw files."""
        counts = self.root / "results" / dataset / "spim.zarr" / "edxs" / "counts"
        try:
            changed = (counts / "zarr.json").stat().st_mtime_ns
            if (dataset, changed) not in self._extents:
                self._extents[dataset, changed] = _extent_of_store(counts)
            return self._extents[dataset, changed]
        except (OSError, ValueError, KeyError):
            if (dataset, 0) not in self._extents:
                n_bytes = sum(_size_of(path) for path in self.raw_paths(dataset))
                self._extents[dataset, 0] = resources.extent_of_raw(n_bytes)
            return self._extents[dataset, 0]

    def parts(self) -> Iterator[tuple[str, list[str]]]:
        """The datasets that share a job, in the order of the sheet, by the number of the job."""
        names, size = list(self.rows), self.settings.workflow.datasets_per_job
        for first in range(0, len(names), size):
            yield f"{first // size:05d}", names[first : first + size]

    def cells(self, dataset: str, columns: Sequence[str]) -> dict[str, str]:
        """The named cells of a dataset's row; columns that the sheet lacks are left out."""
        row = self.rows[dataset]
        return {column: row[column] for column in columns if column in row}


def load(config: Mapping[str, Any], *, root: str | PathLike[str] = "") -> Campaign:
    """A campaign from its configuration.

    Parameters
    ----------
    config : mapping
        As read from config/config.yaml.
    root : path-like, optional
        The campaign's folder; the current one by default.

    Raises
    ------
    ConfigError
        If the configuration or the sample sheet as a whole cannot be used. A bad row is not an
        error here: it fails its own dataset.
    """
    settings = settings_module.parse(config)
    return Campaign(Path(root), settings, read_sheet(Path(root) / settings.datasets))


def load_folder(root: str | PathLike[str]) -> Campaign:
    """The campaign of a folder that holds config/config.yaml.

    Raises
    ------
    ConfigError
        If the configuration is missing, no YAML, or cannot be used.
    """
    path = Path(root) / "config" / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is missing: start a campaign with `mlatem init {root}`"
        ) from None
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {words}; correct the marked place") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): write it as UTF-8 text") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: expected keys with values, found {type(config).__name__}")
    return load(config, root=root)


def _extent_of_store(counts: Path) -> resources.Extent:
    """From the array's description alone: opening the store takes a second of imports."""
    ny, nx, n_energy = json.loads((counts / "zarr.json").read_text(encoding="utf-8"))["shape"]
    return resources.Extent(ny * nx, n_energy, _size_of(counts))


def _size_of(path: str | PathLike[str]) -> int:
    """Bytes of a file or of all files below a folder; 0 where there is none."""
    found = Path(path)
    if found.is_dir():
        return sum(file.stat().st_size for file in found.rglob("*") if file.is_file())
    return found.stat().st_size if found.is_file() else 0
