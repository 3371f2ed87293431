# SPDX-License-Identifier: GPL-3.0-or-later
"""Several datasets in one process: for campaigns of thousands of tiny maps."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path

from mlatem.errors import MlatemError
from mlatem.io.atomic import read_json, write_json
from mlatem.io.datasets import json_safe
from mlatem.io.priors import files_of
from mlatem.io.sources import changed_s, size_bytes
from mlatem.logs import to_file
from mlatem.settings import Settings
from mlatem.sheet import DatasetRow
from mlatem.steps.outcome import DONE, outcome_of
from mlatem.steps.whole import analyse

_logger = logging.getLogger(__name__)


class PartError(MlatemError):
    """Some datasets of a job failed; the others are finished."""


def analyse_part(
    rows: Mapping[str, Mapping[str, str]],
    *,
    settings: Settings,
    results: str | PathLike[str],
    logs: str | PathLike[str],
    done: str | PathLike[str],
    threads: int = 1,
    after_each: Callable[[], object] | None = None,
) -> None:
    """Analyse datasets one after the other, and write `done` if all of them are finished.

    Each has a log of its own, `<logs>/<dataset>/analyse.log`, and fails alone. One that is finished
    already, with these settings, this row and files that did not change since, is left as it is: a
    job that was killed or had a failure goes on where it stopped.

    Parameters
    ----------
    rows : mapping
        Cells of the sample sheet by dataset.
    settings : settings.Settings
    results, logs : path-like
        Folders with a folder for each dataset.
    done : path-like
        File to write last.
    threads : int, optional
        Tiles worked on at a time.
    after_each : callable, optional
        Called when a dataset finished or failed.

    Raises
    ------
    PartError
        If datasets failed, after the others were analysed.
    """
    failed, kept = [], []
    for name, cells in rows.items():
        folder, log = Path(results) / name, Path(logs) / name
        if is_finished(folder, log, cells, settings):
            kept.append(name)
            continue
        if not _analyse_alone(cells, folder, log / "analyse.log", settings, threads):
            failed.append(name)
        if after_each is not None:
            after_each()
    _logger.info("%d datasets, %d finished before", len(rows), len(kept))
    if failed:
        raise PartError(
            f"{len(failed)} of {len(rows)} datasets failed: {', '.join(failed)}; the reasons stand "
            f"in {logs}/<dataset>/analyse.log. The others are finished"
        )
    write_json(done, {"datasets": list(rows)})


def is_finished(folder: Path, logs: Path, cells: Mapping[str, str], settings: Settings) -> bool:
    """Whether a dataset was analysed with this row and these settings, and no file is newer.

    Parameters
    ----------
    folder, logs : Path
        Of the dataset's results and logs.
    cells : mapping
        Its row of the sample sheet.
    settings : settings.Settings
    """
    if outcome_of(folder, logs, "").state != "done":
        return False
    try:
        row = DatasetRow.from_strings(cells)
        made = read_json(folder / DONE)["provenance"]
        sizes = [source["size_bytes"] for source in made["sources"]]
        made_s = (folder / DONE).stat().st_mtime
        return (
            made["sample_sheet"] == json_safe(row.model_dump(mode="json", exclude_none=True))
            and made["settings"] == json_safe(settings.model_dump(mode="json"))
            and all(size_bytes(path) in sizes for path in row.path)
            and all(changed_s(path) <= made_s for path in _inputs_of(row, settings))
        )
    except (MlatemError, OSError, KeyError, TypeError):
        return False


def _inputs_of(row: DatasetRow, settings: Settings) -> list[str]:
    further = (row.mask, row.k_factors, settings.edxs.detector.efficiency_file)
    priors = files_of(row.priors) if row.priors else []
    return [*row.path, *(path for path in further if path), *priors]


def _analyse_alone(
    cells: Mapping[str, str], folder: Path, log: Path, settings: Settings, threads: int
) -> bool:
    """Analyse one dataset; False if it failed, with the reason in its log."""
    try:
        with to_file(log):
            row = DatasetRow.from_strings(cells)
            # Of an earlier run: results that are replaced one by one are not whole.
            (folder / DONE).unlink(missing_ok=True)
            analyse(
                row.path,
                folder,
                row=row,
                settings=settings,
                factors=row.k_factors,
                priors=row.priors,
                mask=row.mask,
                threads=threads,
            )
    except SystemExit:
        return False
    except Exception:
        traceback.print_exc()
        return False
    return True
