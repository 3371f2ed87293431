# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample sheet: a row per dataset."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from mlatem.elements import check_symbols
from mlatem.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _split(value: object, separator: str) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(separator) if part.strip())
    return value


Elements = Annotated[tuple[str, ...], BeforeValidator(lambda v: _split(v, ","))]
Paths = Annotated[tuple[str, ...], BeforeValidator(lambda v: _split(v, ";"))]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DatasetRow(BaseModel):
    """One dataset of a campaign. Columns that are not known are carried along as metadata."""

    model_config = ConfigDict(frozen=True, extra="allow")

    dataset: str = Field(description="Name of the dataset: letters, digits, dot, dash, underscore.")
    path: Paths = Field(description="Raw file, relative to the campaign folder; several by ';'.")
    technique: Literal["edxs"] = Field("edxs", description="Spectroscopy of the dataset.")
    elements: Elements = Field((), description="Elements of the specimen, for example O,Si,Fe.")
    system_elements: Elements | None = Field(
        None, description="Elements of the instrument; takes precedence over the configuration."
    )
    n_phases: Literal["auto"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="Number of phases or auto; empty takes the configuration's."
    )
    thickness_nm: Positive | None = Field(None, description="Specimen thickness, nm.")
    density_g_cm3: Positive | None = Field(None, description="Specimen density, g/cm3.")
    beam_energy_kev: Positive | None = Field(None, description="Beam energy, keV.")
    take_off_angle_deg: Annotated[float, Field(gt=0, le=90)] | None = Field(
        None, description="Take-off angle of the X-ray detector, degrees."
    )
    raw_pid: str | None = Field(None, description="Persistent identifier of the raw data.")
    sample_id: str | None = Field(None, description="Sample, shown in the report.")
    proposal_id: str | None = Field(None, description="Proposal or project.")
    instrument_id: str | None = Field(None, description="Instrument.")
    owner_group: str | None = Field(None, description="Group that owns the data.")
    contact_email: str | None = Field(None, description="Person to ask.")
    orcid: str | None = Field(None, description="ORCID of that person.")

    @field_validator("dataset")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"dataset name {name!r} must consist of letters, digits, '.', '-' and '_'"
            )
        return name

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: tuple[str, ...]) -> tuple[str, ...]:
        if not path:
            raise ValueError("path is empty: name the raw file")
        return path

    @field_validator("elements", "system_elements")
    @classmethod
    def _check_elements(cls, elements: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if elements is None else check_symbols(elements)

    @classmethod
    def from_strings(cls, row: Mapping[str, str]) -> DatasetRow:
        """A typed row from the strings of the sheet; empty cells are left out.

        Raises
        ------
        ConfigError
            Naming the dataset, the column and what was expected.
        """
        given = {k: v.strip() for k, v in row.items() if v and v.strip()}
        try:
            return cls(**given)
        except ValidationError as error:
            name = given.get("dataset", "?")
            problems = "; ".join(
                f"{'.'.join(str(part) for part in e['loc'][:1])}: {e['msg']} (found {e['input']!r})"
                for e in error.errors()
            )
            raise ConfigError(
                f"dataset {name}: {problems}. Correct its row in the sample sheet"
            ) from None

    @property
    def acquisition(self) -> dict[str, Any]:
        """Values that override the file's acquisition metadata."""
        names = ("beam_energy_kev", "take_off_angle_deg", "thickness_nm", "density_g_cm3")
        return {name: getattr(self, name) for name in names}


def read_sheet(path: str | PathLike[str]) -> dict[str, dict[str, str]]:
    """Rows of a tab-separated sample sheet by dataset name, as strings.

    Only what concerns the sheet as a whole is checked here, so that one bad row fails its own
    dataset and no other: see `DatasetRow.from_strings`. Lines that start with # are left out.

    Raises
    ------
    ConfigError
        If the file is missing or empty, lacks a column, or a dataset is unnamed or named twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"sample sheet {path} is missing: write it, or start with `mlatem init`"
        ) from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(lines, delimiter="\t")
    columns = [c.strip() for c in reader.fieldnames or []]
    for column in ("dataset", "path"):
        if column not in columns:
            raise ConfigError(
                f"sample sheet {path} lacks the column {column!r} (found: {', '.join(columns)}): "
                "its first line must name the columns, separated by tabs"
            )
    rows: dict[str, dict[str, str]] = {}
    for line, cells in enumerate(reader, start=2):
        if None in cells:
            raise ConfigError(
                f"sample sheet {path}, row {line}: more cells than the first line has columns; "
                "separate cells by single tabs"
            )
        row = {k.strip(): (v or "").strip() for k, v in cells.items()}
        name = row["dataset"]
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"sample sheet {path}, row {line}: dataset name {name!r} must consist of letters, "
                "digits, '.', '-' and '_'"
            )
        if name in rows:
            raise ConfigError(
                f"sample sheet {path}, row {line}: dataset {name} is named twice; names must differ"
            )
        rows[name] = row
    if not rows:
        raise ConfigError(f"sample sheet {path} has no datasets: add a row per raw file")
    return rows
