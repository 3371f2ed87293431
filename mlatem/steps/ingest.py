# SPDX-License-Identifier: GPL-3.0-or-later
"""New files of a drop folder into the sample sheet: made to be run again and again, by cron."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlatem.campaign.schema import sheet_tsv
from mlatem.errors import ConfigError, MlatemError, StoreError
from mlatem.io.atomic import atomic_path, read_json, write_json
from mlatem.io.read import open_raw
from mlatem.io.recognize import FORMATS, folder_suffixes
from mlatem.io.sources import sha256_of, size_bytes
from mlatem.settings import Convert
from mlatem.sheet import append_rows, cells_of_sheet, dataset_name, text_of_sheet

#: Beside FILE, says that FILE is complete.
MARKERS = (".ready", ".done")
#: Columns that a row of an ingested file has.
COLUMNS = ("dataset", "path", "sample_id", "sha256", "guessed")

_SUFFIXES = frozenset(suffix for entry in FORMATS for suffix in entry.suffixes)
#: What programs append or prefix while they copy.
_PARTIAL = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", "~")


class IngestBusyError(ConfigError):
    """Another ingest works on the same sample sheet."""


@dataclass
class Report:
    """What one look at a drop folder did."""

    taken: dict[str, str] = field(default_factory=dict)
    """Name of the dataset by file."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a file is no dataset, by file; each is told once."""
    waiting: list[str] = field(default_factory=list)
    """Files that may still be written to."""


def ingest(
    drop: str | os.PathLike[str],
    sheet: str | os.PathLike[str],
    *,
    settle_s: float = 60.0,
    marker_only: bool = False,
) -> Report:
    """Add a row to the sample sheet for every new and complete file of a drop folder.

    A file counts when a file FILE.ready or FILE.done lies beside it, or when two looks at least
    `settle_s` apart found it unchanged. Its content decides whether it is new: a file that was
    moved, renamed or copied is not taken again. What was seen is kept beside the sheet.

    Parameters
    ----------
    drop : path-like
        Folder, with any folders below it.
    sheet : path-like
        Sample sheet; started if there is none.
    settle_s : float, optional
        Time for which a file has to stay as it is; 0 takes it as it is found.
    marker_only : bool, optional
        Take files with a marker only.

    Raises
    ------
    ConfigError
        If the folder is missing, or the sample sheet cannot be used.
    IngestBusyError
        If another ingest is at work.
    """
    drop, sheet = Path(drop), Path(sheet)
    if not drop.is_dir():
        raise ConfigError(
            f"drop folder {drop} is missing or no folder: name the folder of new files"
        )
    try:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        with _locked(sheet.with_name(f".{sheet.name}.lock")):
            return _Look(drop, sheet, settle_s, marker_only).run()
    except PermissionError as error:
        raise ConfigError(
            f"{error.filename or sheet}: no permission; ingest reads the drop folder, and writes "
            f"into {sheet.parent}"
        ) from None


class _Look:
    """One look at a drop folder."""

    def __init__(self, drop: Path, sheet: Path, settle_s: float, marker_only: bool) -> None:
        self.drop, self.sheet = drop, sheet
        self.settle_s, self.marker_only = settle_s, marker_only
        self.memory = sheet.with_name(f".{sheet.name}.seen.json")
        self.seen = _load_memory(self.memory)
        self.text = text_of_sheet(sheet) if sheet.exists() else sheet_tsv()
        rows = cells_of_sheet(self.text, f"sample sheet {sheet}")
        self.names = {row["dataset"] for row in rows}
        self.datasets = {row["sha256"]: row["dataset"] for row in rows if row.get("sha256")}
        self.report = Report()

    def run(self) -> Report:
        rows = [row for path in _raw_files(self.drop) if (row := self._row(path)) is not None]
        if rows:
            # Somebody may have saved the sheet in the meantime: the rows go to what stands there.
            current = text_of_sheet(self.sheet) if self.sheet.exists() else sheet_tsv()
            text = append_rows(current, rows, f"sample sheet {self.sheet}")
            with atomic_path(self.sheet) as partial:
                partial.write_text(text, encoding="utf-8")
        write_json(self.memory, self.seen)
        return self.report

    def _row(self, path: Path) -> dict[str, str] | None:
        """The row of a file that is new and complete."""
        key = str(path.resolve())
        stamp = _stamp(path)
        known = self.seen.get(key)
        is_unchanged = known is not None and known["stamp"] == stamp
        if known is None or not is_unchanged:
            known = self.seen[key] = {"stamp": stamp, "seen": time.time()}
        if "outcome" in known:
            return None
        if not self._is_complete(path, known["seen"], is_unchanged):
            self.report.waiting.append(str(path))
            return None
        digest = sha256_of(path)
        if digest in self.datasets:
            known["outcome"] = f"the content of dataset {self.datasets[digest]}"
            return None
        try:
            row = self._described(path, digest)
        except MlatemError as error:
            known["outcome"] = self.report.refused[str(path)] = " ".join(str(error).split())
            return None
        if _stamp(path) != stamp:  # it changed while it was read
            del self.seen[key]
            self.report.waiting.append(str(path))
            return None
        self.names.add(row["dataset"])
        self.datasets[digest] = row["dataset"]
        known["outcome"] = f"taken as {row['dataset']}"
        self.report.taken[str(path)] = row["dataset"]
        return row

    def _is_complete(self, path: Path, seen: float, is_unchanged: bool) -> bool:
        if any(path.with_name(path.name + marker).exists() for marker in MARKERS):
            return True
        if self.marker_only:
            return False
        return self.settle_s == 0 or (is_unchanged and time.time() - seen >= self.settle_s)

    def _described(self, path: Path, digest: str) -> dict[str, str]:
        cell = self._cell(path)
        signals = open_raw(path, settings=Convert(hash_inputs=False))
        if signals.xray_map is None:
            raise ConfigError(
                f"{path}: has no X-ray map, only {', '.join(signals.group_names)}, which is not "
                "analysed: nothing to do"
            )
        acquisition = signals.xray_map.acquisition
        guesses = {"dataset": self._new_name(path)}
        if "sample" in acquisition:
            sample = str(acquisition["sample"].value)
        else:
            sample = path.parent.name if path.parent != self.drop else ""
            guesses |= {"sample_id": sample} if sample else {}
        return {
            "dataset": guesses["dataset"],
            "path": cell,
            "sample_id": " ".join(sample.split()),
            "sha256": digest,
            "guessed": ",".join(guesses),
        }

    def _cell(self, path: Path) -> str:
        """The file as the sheet names it: relative to the campaign's folder where it lies there."""
        folder = self.sheet.parent
        root = (folder.parent if folder.name == "config" else folder).resolve()
        full = path.resolve()
        cell = str(full.relative_to(root) if full.is_relative_to(root) else full)
        if any(character in cell for character in ";\t\r\n"):
            raise ConfigError(
                f"{path}: a name with a semicolon, tab or line break cannot stand in a sample "
                "sheet: rename the file or folder"
            )
        return cell

    def _new_name(self, path: Path) -> str:
        name = first = dataset_name(path.stem)
        number = 1
        while name in self.names:
            number += 1
            name = f"{first}-{number}"
        return name


def _raw_files(drop: Path) -> Iterator[Path]:
    """Files, and folders that are one dataset, whose names are of a supported format."""
    for place, folders, names in os.walk(drop):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        units = [name for name in folders if Path(name).suffix.lower() in folder_suffixes()]
        folders[:] = [name for name in folders if name not in units]
        for name in sorted([*names, *units]):
            path = Path(place) / name
            hidden = name.startswith((".", "~")) or name.lower().endswith(_PARTIAL)
            if hidden or path.suffix.lower() not in _SUFFIXES or _belongs_to_another(path):
                continue
            yield path


def _belongs_to_another(path: Path) -> bool:
    """Whether a file is named by another one: the .ser files of an .emi file."""
    stem = path.stem.rsplit("_", 1)[0]
    return path.suffix.lower() == ".ser" and path.with_name(f"{stem}.emi").exists()


def _stamp(path: Path) -> list[int]:
    """What changes while a file is written."""
    return [size_bytes(path), path.stat().st_mtime_ns]


def _load_memory(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = read_json(path)
    except StoreError:
        # Written whole or not at all; whatever it is, all files are looked at anew.
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a", encoding="utf-8") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IngestBusyError(
                f"{path}: another ingest is at work on this sample sheet; this one did nothing"
            ) from None
        yield
