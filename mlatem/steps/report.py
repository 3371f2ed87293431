# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of one dataset, and DONE.json."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

import mlatem
from mlatem import settings as _settings
from mlatem.factorization.rare_candidates import verdict as rare_verdict
from mlatem.io.atomic import atomic_path, read_json, write_json
from mlatem.io.datasets import json_safe, load_dataset
from mlatem.io.detector_tables import with_detector_file
from mlatem.io.sources import package_versions, sha256_of_file
from mlatem.io.store import load_survey, open_store
from mlatem.io.verdicts import verdicts as raw_verdicts
from mlatem.model import (
    Basis,
    Calibration,
    Decision,
    Factorization,
    PhaseTable,
    PixelMaps,
    RareSearch,
    SpectrumImage,
    Verdict,
)
from mlatem.physics.dictionary import dictionary_from_calibration
from mlatem.preparation import DETAILS
from mlatem.preparation import decisions_of as preprocessing_decisions
from mlatem.preparation import verdicts_of as preprocessing_verdicts
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.quantification.verdicts import decisions as quantification_decisions
from mlatem.quantification.verdicts import verdicts as quantification_verdicts
from mlatem.reporting import (
    DriftCurve,
    MassThickness,
    ReportInputs,
    SumFit,
    Survey,
    main_elements,
    render_report,
)
from mlatem.sheet import DatasetRow, dataset_name
from mlatem.steps.inputs import content_of, load_calibration, open_source
from mlatem.steps.outcome import DONE, THUMBNAIL

_PACKAGES = ("numpy", "numba", "scipy", "xarray", "zarr", "xraylib", "rosettasciio", "snakemake")


@dataclass(frozen=True)
class DatasetFiles:
    """Where the results of a dataset lie."""

    store: str | PathLike[str]
    calibration: str | PathLike[str]
    lowrank: str | PathLike[str]
    factorization: str | PathLike[str]
    table: str | PathLike[str]
    maps: str | PathLike[str]
    rare: str | PathLike[str]

    @classmethod
    def in_folder(cls, folder: str | PathLike[str]) -> DatasetFiles:
        """The files of a dataset's folder under the names that the workflow gives them."""
        folder = Path(folder)
        return cls(
            store=folder / "spim.zarr",
            calibration=folder / "calibration.json",
            lowrank=_product(folder, "lowrank"),
            factorization=_product(folder, "factorization"),
            table=folder / "phases.csv",
            maps=_product(folder, "maps"),
            rare=_product(folder, "rare"),
        )


def _product(folder: Path, name: str) -> Path:
    """One file, as the workflow writes it, unless there is only a folder, as made by hand."""
    packed, unpacked = folder / f"{name}.zarr.zip", folder / f"{name}.zarr"
    return unpacked if unpacked.exists() and not packed.exists() else packed


def report(
    files: DatasetFiles,
    *,
    page: str | PathLike[str],
    done: str | PathLike[str],
    row: DatasetRow,
    settings: _settings.Settings,
) -> None:
    """Write the page of a dataset, its thumbnail beside, and last of all DONE.json.

    Parameters
    ----------
    files : DatasetFiles
        What the earlier steps wrote.
    page, done : path-like
        Files to write. Beside the page: thumbnail.png for the page of the campaign, and where
        the settings want its figures as files, the folder figures.
    row : DatasetRow
    settings : settings.Settings
        Kept with the results.
    """
    folder = Path(page).parent
    inputs = _inputs(files, row, settings)
    rendered = render_report(inputs)
    if settings.report.figure_files:
        with atomic_path(folder / "figures") as partial:
            partial.mkdir()
            for name, picture in rendered.figures.items():
                (partial / name).write_bytes(picture)
    with atomic_path(folder / THUMBNAIL) as partial:
        partial.write_bytes(rendered.thumbnail)
    with atomic_path(page) as partial:
        partial.write_text(rendered.html, encoding="utf-8")
    write_json(done, json_safe(_summary(inputs, files)))


def report_folder(folder: str | PathLike[str]) -> Path:
    """Write the page of a dataset's folder again, with the row and settings that DONE.json keeps.

    Returns
    -------
    page : Path

    Raises
    ------
    StoreError
        If a result is missing or damaged.
    """
    folder = Path(folder)
    name = dataset_name(folder.resolve().name)
    row, settings = DatasetRow(dataset=name, path=(name,)), _settings.Settings()
    done = folder / DONE
    if done.is_file():
        with content_of(done, "a summary of a dataset", "snakemake"):
            provenance = read_json(done)["provenance"]
            row = DatasetRow(**provenance["sample_sheet"])
            settings = _settings.Settings(**provenance["settings"])
    page = folder / "report.html"
    report(
        DatasetFiles.in_folder(folder),
        page=page,
        done=done,
        row=row,
        settings=settings,
    )
    return page


def _inputs(files: DatasetFiles, row: DatasetRow, settings: _settings.Settings) -> ReportInputs:
    image, _ = open_source(files.store)
    calibration = load_calibration(files.calibration)
    lowrank = load_dataset(files.lowrank)
    with content_of(files.lowrank, "a low-rank product", "mlatem denoise"):
        basis = Basis.from_dataset(lowrank)
    with content_of(files.factorization, "a factorisation", "mlatem factorize"):
        factorization = Factorization.from_dataset(load_dataset(files.factorization))
    with content_of(files.table, "a table of phases", "mlatem quantify"):
        table = PhaseTable(pd.read_csv(files.table))
    with content_of(files.maps, "maps of a specimen", "mlatem quantify"):
        stored = load_dataset(files.maps)
        maps = PixelMaps.from_dataset(stored)
    with content_of(files.rare, "a search for rare phases", "mlatem find-rare-phases"):
        rare = RareSearch.from_dataset(load_dataset(files.rare))
    return ReportInputs(
        dataset=row.dataset,
        factorization=factorization,
        table=table,
        maps=maps,
        calibration=calibration,
        acquisition=image.acquisition.updated(row.acquisition, "user"),
        survey=_survey(load_survey(files.store)),
        sum_fit=_sum_fit(image.energy, calibration, settings),
        basis=basis,
        decisions=(
            *preprocessing_decisions(image),
            *_decisions(calibration, lowrank, factorization),
            *quantification_decisions(table),
        ),
        verdicts=(
            *raw_verdicts(image),
            *preprocessing_verdicts(image),
            *calibration.verdicts,
            *(Verdict(**verdict) for verdict in lowrank.attrs["verdicts"]),
            *(Verdict(**verdict) for verdict in factorization.attrs["verdicts"]),
            rare_verdict(rare),
            *quantification_verdicts(table),
        ),
        provenance=_provenance(files, image, row, settings),
        total_counts=float(open_store(files.store)["edxs"]["counts"].attrs["total_counts"]),
        settings=settings.report,
        mass_thickness=_mass_thickness(stored),
        rare=rare,
        drift=_drift(image),
        lowrank=lowrank,
    )


def _drift(image: SpectrumImage) -> DriftCurve | None:
    found = image.attrs.get(DETAILS, {}).get("drift")
    if found is None:
        return None
    curves = {name: tuple(found[name]) for name in ("y_px", "x_px", "is_used")}
    return DriftCurve(**curves, reference=found["reference"])


def _mass_thickness(maps: xr.Dataset) -> MassThickness | None:
    for name in ("mass_thickness_kg_m2", "relative_mass_thickness"):
        if name in maps:
            found = maps[name]
            return MassThickness(found.values, found.attrs["units"], found.attrs["scale"])
    return None


def _sum_fit(
    energy: NDArray[np.float64], calibration: Calibration, settings: _settings.Settings
) -> SumFit | None:
    if not calibration.spectrum:
        return None
    dictionary = dictionary_from_calibration(energy, calibration, with_detector_file(settings.edxs))
    counts = np.array(calibration.spectrum)[calibration.window]
    return SumFit(dictionary, counts, fit_counts(counts, dictionary.columns).coefficient)


def _decisions(
    calibration: Calibration, lowrank: xr.Dataset, factorization: Factorization
) -> tuple[Decision, ...]:
    found = [*lowrank.attrs["decisions"], *factorization.attrs["decisions"]]
    return (*calibration.decisions, *(Decision(**decision) for decision in found))


def _survey(image: xr.DataArray | None) -> Survey | None:
    if image is None:
        return None
    x_nm = image["x"].values
    return Survey(
        image=np.asarray(image.values, dtype=np.float64),
        pixel_nm=float(np.diff(x_nm).mean()) if x_nm.size > 1 else 1.0,
        name=str(image.attrs.get("long_name", "survey")),
    )


def _provenance(
    files: DatasetFiles, image: SpectrumImage, row: DatasetRow, settings: _settings.Settings
) -> dict[str, Any]:
    return {
        "sources": open_store(files.store).attrs["source"],
        "versions": {"mlatem": mlatem.__version__, **package_versions(_PACKAGES)},
        "settings": settings.model_dump(mode="json"),
        "settings_sha256": _digest(settings),
        "further_inputs": _further_inputs(row, settings),
        "sample_sheet": row.model_dump(mode="json", exclude_none=True),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "map": list(image.shape),
    }


def _digest(settings: _settings.Settings) -> str:
    """What tells at a glance whether two results were made with the same settings."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _further_inputs(row: DatasetRow, settings: _settings.Settings) -> dict[str, str]:
    """SHA-256 of what was read beside the raw files, by name."""
    named = (row.mask, row.k_factors, row.priors, settings.edxs.detector.efficiency_file)
    return {name: sha256_of_file(name) for name in named if name and Path(name).is_file()}


def _summary(inputs: ReportInputs, files: DatasetFiles) -> dict[str, Any]:
    return {
        "dataset": inputs.dataset,
        "n_phases": inputs.factorization.n_phases,
        "elements": list(main_elements(inputs.table)),
        "total_counts": inputs.total_counts,
        "verdicts": [asdict(verdict) for verdict in inputs.verdicts],
        "decisions": [asdict(decision) for decision in inputs.decisions],
        "provenance": dict(inputs.provenance),
        "outputs": {Path(files.table).name: sha256_of_file(files.table)},
    }
