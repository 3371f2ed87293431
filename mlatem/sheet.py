# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample sheet: a row per dataset."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mlatem.elements import check_symbols
from mlatem.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: A column at least this similar to a known one (difflib's ratio) is taken for a slip of the pen;
#: "thickness" for "thickness_nm" has 0.86, "proposal_title" for "proposal_id" 0.72.
_MISSPELT = 0.85


def _split(value: object, separator: str) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(separator) if part.strip())
    return value


#: Columns that decide how a raw file is read.
AXES_COLUMNS = (
    "signal_type",
    "energy_scale_kev",
    "energy_offset_kev",
    "pixel_size_nm",
    "first_frame",
    "last_frame",
)

_FRAMES = ("first_frame", "last_frame")
_CROP = ("crop_y", "crop_x")
#: Columns that decide which pixels of a raw file are kept and used.
PIXEL_COLUMNS = (*_CROP, "mask")
#: Columns that take precedence over the file's acquisition metadata.
ACQUISITION_COLUMNS = (
    "beam_energy_kev",
    "take_off_angle_deg",
    "thickness_nm",
    "density_g_cm3",
    "elevation_deg",
    "azimuth_deg",
    "stage_tilt_deg",
    "stage_tilt_beta_deg",
    "solid_angle_sr",
    "energy_resolution_ev",
    "live_time_s",
    "real_time_s",
    "dwell_time_s",
    "beam_current_na",
    "convergence_mrad",
    "collection_mrad",
)


def _range(value: object) -> object:
    """The ends of "10:200" as numbers; what is of another form is left to the validation."""
    if isinstance(value, str):
        first, separator, end = value.partition(":")
        if not (separator and first.strip().isdigit() and end.strip().isdigit()):
            raise ValueError("expected first and end as 10:200, counted from 0")
        return int(first), int(end)
    return value


def _check_range(value: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= value[0] < value[1]:
        raise ValueError(f"{value[0]}:{value[1]} holds no pixel: expected a larger end, as 10:200")
    return value


PixelRange = Annotated[tuple[int, int], BeforeValidator(_range), AfterValidator(_check_range)]
Elements = Annotated[tuple[str, ...], BeforeValidator(lambda v: _split(v, ","))]
Paths = Annotated[tuple[str, ...], BeforeValidator(lambda v: _split(v, ";"))]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Angle = Annotated[float, Field(ge=-360, le=360)]
#: Of several detectors, in any order.
Azimuths = Annotated[str, Field(pattern=r"^-?[\d.]+([ ,;]+-?[\d.]+)+$")]


class DatasetRow(BaseModel):
    """One dataset of a campaign. Columns that are not known are carried along as metadata."""

    model_config = ConfigDict(frozen=True, extra="allow")

    dataset: str = Field(description="Name of the dataset: letters, digits, dot, dash, underscore.")
    path: Paths = Field(description="Raw file, relative to the campaign folder; several by ';'.")
    technique: Literal["edxs"] = Field("edxs", description="Spectroscopy of the dataset.")
    elements: Elements = Field(
        (), description="Elements of the specimen, for example O,Si,Fe; empty to identify them."
    )
    system_elements: Elements | None = Field(
        None, description="Elements of the instrument; takes precedence over the configuration."
    )
    n_phases: Literal["auto"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="Number of phases or auto; empty takes the configuration's."
    )
    geometry: Literal["auto", "embedded", "contiguous"] | None = Field(
        None,
        description="embedded, contiguous or auto: whether phases occur alone somewhere; empty "
        "takes the configuration's.",
    )
    thickness_nm: Positive | None = Field(None, description="Specimen thickness, nm.")
    density_g_cm3: Positive | None = Field(None, description="Specimen density, g/cm3.")
    beam_energy_kev: Positive | None = Field(None, description="Beam energy, keV.")
    take_off_angle_deg: Annotated[float, Field(gt=0, le=90)] | None = Field(
        None, description="Take-off angle of the X-ray detector, degrees."
    )
    elevation_deg: Angle | None = Field(
        None, description="Elevation of the X-ray detector, degrees; the take-off angle if alone."
    )
    azimuth_deg: Angle | Azimuths | None = Field(
        None, description="Azimuth of the X-ray detector, degrees; several as 45, 135, 225, 315."
    )
    stage_tilt_deg: Angle | None = Field(None, description="Tilt of the stage (alpha), degrees.")
    stage_tilt_beta_deg: Angle | None = Field(
        None, description="Second tilt of the stage (beta), degrees."
    )
    solid_angle_sr: Annotated[float, Field(gt=0, le=12.6)] | None = Field(
        None, description="Solid angle of the X-ray detectors together, sr."
    )
    energy_resolution_ev: Positive | None = Field(
        None, description="Energy resolution (FWHM) at Mn Ka, eV."
    )
    live_time_s: Positive | None = Field(
        None, description="Live time of all frames that are summed, s."
    )
    real_time_s: Positive | None = Field(
        None, description="Real time of all frames that are summed, s."
    )
    dwell_time_s: Positive | None = Field(None, description="Dwell time per pixel and frame, s.")
    beam_current_na: Positive | None = Field(None, description="Beam current, nA.")
    convergence_mrad: Positive | None = Field(None, description="Convergence semi-angle, mrad.")
    collection_mrad: Positive | None = Field(
        None, description="Collection semi-angle of the spectrometer, mrad."
    )
    signal_type: Literal["EDS_TEM", "EDS_SEM"] | None = Field(
        None, description="EDS_TEM or EDS_SEM, where the file does not say it or says it wrongly."
    )
    energy_scale_kev: Positive | None = Field(
        None, description="Width of a channel, keV, for files without calibration."
    )
    energy_offset_kev: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="Energy of the first channel, keV; 0 where only its width is given."
    )
    pixel_size_nm: Positive | None = Field(
        None, description="Height and width of a pixel, nm, for files without calibration."
    )
    first_frame: Annotated[int, Field(ge=1)] | None = Field(
        None, description="First frame that is summed; takes precedence over the configuration."
    )
    last_frame: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Last frame that is summed, for example before the specimen drifted."
    )
    crop_y: PixelRange | None = Field(
        None,
        description="Rows that are kept, as 10:200: from 0, without the last; takes precedence "
        "over the configuration.",
    )
    crop_x: PixelRange | None = Field(
        None, description="Columns that are kept, as 10:200; takes precedence."
    )
    mask: str | None = Field(
        None,
        description="Pixels to leave out: .npy, .png or .tif of the size of the whole map, not "
        "zero where a pixel is left out; relative to the campaign folder.",
    )
    k_factors: str | None = Field(
        None,
        description="Table of k-, zeta- or cross-section factors (CSV), relative to the campaign "
        "folder.",
    )
    priors: str | None = Field(
        None,
        description="What is known of the phases (YAML), relative to the campaign folder.",
    )
    oxygen: Literal["measured", "stoichiometry"] | None = Field(
        None, description="How oxygen is told; takes precedence over the configuration."
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

    @model_validator(mode="after")
    def _check_roles(self) -> DatasetRow:
        both = sorted(set(self.elements) & set(self.system_elements or ()))
        if both:
            raise ValueError(
                f"{', '.join(both)} is named in both elements and system_elements: keep it in one"
            )
        return self

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
            return cls.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(_problems(error))
            raise ConfigError(
                f"dataset {given.get('dataset', '?')}: {problems}. "
                "Correct its row in the sample sheet"
            ) from None

    @model_validator(mode="after")
    def _check_clocks(self) -> DatasetRow:
        if self.live_time_s and self.real_time_s and self.live_time_s > self.real_time_s:
            raise ValueError(
                f"live_time_s ({self.live_time_s:g}) is longer than real_time_s "
                f"({self.real_time_s:g})"
            )
        return self

    @property
    def acquisition(self) -> dict[str, Any]:
        """Values that override the file's acquisition metadata."""
        return {name: getattr(self, name) for name in ACQUISITION_COLUMNS}

    @property
    def axes(self) -> dict[str, Any]:
        """Values that override the file's axes and type of signal."""
        return {name: getattr(self, name) for name in AXES_COLUMNS if name not in _FRAMES}

    @property
    def frames(self) -> dict[str, int]:
        """The frames to sum, as far as the row names them: settings of the conversion."""
        found = {name: getattr(self, name) for name in _FRAMES}
        return {name: frame for name, frame in found.items() if frame is not None}

    @property
    def crop(self) -> dict[str, tuple[int, int]]:
        """The rows and columns to keep, as far as the row names them."""
        found = {name: getattr(self, name) for name in _CROP}
        return {name: ends for name, ends in found.items() if ends is not None}


def _problems(error: ValidationError) -> list[str]:
    # Every branch of a union reports for itself, and pydantic prefixes our own words: merge, strip.
    messages: dict[str, list[str]] = {}
    for entry in error.errors():
        column = str(entry["loc"][0]) if entry["loc"] else ""
        found = f" (found {entry['input']!r})" if isinstance(entry["input"], str) else ""
        message = entry["msg"].removeprefix("Value error, ") + found
        messages.setdefault(column, []).append(message)
    return [
        f"{column}: {' or: '.join(parts)}" if column else " ".join(parts)
        for column, parts in messages.items()
    ]


def read_sheet(path: str | PathLike[str]) -> dict[str, dict[str, str]]:
    """Rows of a tab-separated sample sheet by dataset name, as strings.

    Only what concerns the sheet as a whole is checked here, so that one bad row fails its own
    dataset and no other: see `DatasetRow.from_strings`. Lines that start with # are left out.

    Raises
    ------
    ConfigError
        If the file is missing or empty, lacks a column or has a misspelt one, or a dataset is
        unnamed or named twice.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(_read_text(Path(path)).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    numbers = [number for number, _ in numbered]
    reader = csv.reader((line for _, line in numbered), delimiter="\t")
    table = [(numbers[reader.line_num - 1], cells) for cells in reader]
    if not table:
        raise ConfigError(
            f"sample sheet {path} is empty: its first line must name the columns (dataset, path, "
            "...) separated by tabs, and each further line is a dataset"
        )
    columns = [cell.strip() for cell in table[0][1]]
    _check_columns(columns, f"sample sheet {path}")
    rows: dict[str, dict[str, str]] = {}
    for number, cells in table[1:]:
        row = _row(cells, columns, f"sample sheet {path}, line {number}")
        if row["dataset"] in rows:
            raise ConfigError(
                f"sample sheet {path}, line {number}: dataset {row['dataset']} is named twice; "
                "names must differ"
            )
        rows[row["dataset"]] = row
    if not rows:
        raise ConfigError(f"sample sheet {path} has no datasets: add a row per raw file")
    return rows


def cells_of_sheet(text: str, label: str) -> list[dict[str, str]]:
    """Rows of a sample sheet that may have none yet, as they stand there, by column.

    Raises
    ------
    ConfigError
        If the first line does not name the columns.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = list(csv.reader(lines, delimiter="\t"))
    columns = [cell.strip() for cell in table[0]] if table else []
    _check_columns(columns, label)
    return [_row(cells, columns, label) for cells in table[1:]]


def append_rows(text: str, rows: Sequence[Mapping[str, str]], label: str) -> str:
    """A sample sheet with further rows, and columns where it lacks some of theirs.

    What stands in the sheet stays as it is, comments included.

    Raises
    ------
    ConfigError
        If the first line does not name the columns.
    """
    cells_of_sheet(text, label)
    lines = text.splitlines()
    place = next(
        number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")
    )
    columns = [cell.strip() for cell in lines[place].split("\t")]
    added = dict.fromkeys(name for row in rows for name in row if name not in columns)
    columns += added
    lines[place] = "\t".join(columns)
    lines += ["\t".join(row.get(column, "") for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def dataset_name(text: str) -> str:
    """A possible name of a dataset from any text, for example the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "dataset"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"sample sheet {path} is missing: write it, or start with `mlatem init`"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"sample sheet {path} is not UTF-8 text: save it as tab-separated text in UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"sample sheet {path} cannot be read: {error.strerror}. Give the path of a text file"
        ) from None


def _check_columns(columns: Sequence[str], label: str) -> None:
    for column in ("dataset", "path"):
        if column not in columns:
            raise ConfigError(
                f"{label} lacks the column {column!r} (found: {', '.join(columns)}): "
                "its first line must name the columns, separated by tabs"
            )
    known = list(DatasetRow.model_fields)
    for column in columns:
        if columns.count(column) > 1:
            raise ConfigError(f"{label} has two columns {column!r}: keep one")
        near = difflib.get_close_matches(column.lower(), known, n=1, cutoff=_MISSPELT)
        if near and column not in known:
            raise ConfigError(
                f"{label}: column {column!r} looks like {near[0]!r}: correct it, or give further "
                "metadata a name of its own"
            )


def _row(cells: Sequence[str], columns: Sequence[str], label: str) -> dict[str, str]:
    if len(cells) > len(columns):
        raise ConfigError(
            f"{label}: {len(cells)} cells for {len(columns)} columns; separate cells by single tabs"
        )
    filled = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
    row = dict(zip(columns, filled, strict=True))
    if not _NAME.fullmatch(row["dataset"]):
        raise ConfigError(
            f"{label}: dataset name {row['dataset']!r} must consist of letters, digits, '.', '-' "
            "and '_'"
        )
    return row
