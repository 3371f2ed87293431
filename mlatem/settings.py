# SPDX-License-Identifier: GPL-3.0-or-later
"""All settings: defaults, limits and explanations in one place.

`config/config.yaml`, the JSON schemas in `workflow/schemas/` and the table in the docs are
generated from these models (`mlatem schema`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mlatem.elements import check_symbols
from mlatem.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
Spatial = Literal["wavelet", "total_variation", "none"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Convert(_Record):
    """Reading of raw files."""

    memory_limit_gb: Positive = Field(
        8.0, description="Refuse a file whose conversion is projected to need more memory, GB."
    )
    hash_inputs: bool = Field(True, description="Store the SHA-256 of every raw file.")
    pair_files: bool = Field(
        True,
        description="Add the files beside a .dm3, .dm4 or .ser that are of its acquisition.",
    )
    separate_detectors: bool = Field(
        False, description="Store the counts of each X-ray detector too, where the file has them."
    )
    separate_frames: bool = Field(
        False, description="Store the counts of each frame too, where the file has them."
    )
    first_frame: int | None = Field(
        None, ge=1, description="First frame that is summed, from 1; null for the first of all."
    )
    last_frame: int | None = Field(
        None, ge=1, description="Last frame that is summed; null for the last of all."
    )

    @model_validator(mode="after")
    def _check_frames(self) -> Convert:
        if self.last_frame is not None and self.last_frame < (self.first_frame or 1):
            raise ValueError(
                f"last_frame ({self.last_frame}) must not lie before first_frame "
                f"({self.first_frame})"
            )
        return self


class Preprocess(_Record):
    """What is done to the counts while a raw file is converted; the raw file stays as it is."""

    crop_y: tuple[int, int] | None = Field(
        None,
        description="Rows that are kept, counted from 0, the second not among them: [0, 128]; null "
        "for all. The sample sheet's column takes precedence.",
    )
    crop_x: tuple[int, int] | None = Field(
        None, description="Columns that are kept, as for crop_y; null for all."
    )
    energy_bin: int = Field(
        1, ge=1, le=64, description="Channels of the energy axis that are summed into one."
    )
    bad_pixels: Literal["none", "dead", "dead_and_hot"] = Field(
        "dead",
        description="Pixels that are masked: dead ones, which hold no count amid bright "
        "neighbours; or hot ones too, of which bright particles of one pixel cannot be told.",
    )

    spikes: bool = Field(
        False,
        description="Replace single values far above the channels and the pixels around them by "
        "the median of these pixels.",
    )
    spike_false_alarm: float = Field(
        0.01, gt=0, lt=100, description="Spikes of a whole map that noise alone would give."
    )
    drift: Literal["off", "auto", "image", "counts"] = Field(
        "off",
        description="Frames moved onto each other by whole pixels, where the file tells them "
        "apart: found on the electron image of each frame, on its counts, or auto on the image "
        "where there is one.",
    )

    @field_validator("crop_y", "crop_x")
    @classmethod
    def _check_crop(cls, crop: tuple[int, int] | None) -> tuple[int, int] | None:
        if crop is not None and not 0 <= crop[0] < crop[1]:
            raise ValueError(
                f"{crop[0]} to {crop[1]} holds no pixel: expected the first and, larger, the one "
                "behind the last"
            )
        return crop


class Detector(_Record):
    """X-ray detector. Values in the file's metadata take precedence where the file has them."""

    noise_ev: Positive = Field(50.0, description="Electronic noise, FWHM in eV.")
    fano: Positive = Field(0.118, description="Fano factor of silicon.")
    active_silicon_mm: Positive = Field(0.45, description="Thickness of the active silicon, mm.")
    dead_layer_nm: float = Field(40.0, ge=0, description="Silicon dead layer, nm.")
    aluminium_nm: float = Field(30.0, ge=0, description="Aluminium contact and light shield, nm.")
    window: Literal["none", "polymer", "ap33", "beryllium"] = Field(
        "none",
        description="Entrance window: none (windowless), polymer (0.3 um), ap33 (polymer on a "
        "silicon grid, Moxtek AP3.3), beryllium (8 um).",
    )
    efficiency_file: str | None = Field(
        None,
        description="CSV of your own: a row per layer (material, thickness_nm, density_g_cm3, "
        "open_area), instead of window, aluminium and dead layer; or a table (energy_keV, "
        "efficiency), instead of all layers.",
    )
    take_off_angle_deg: float = Field(
        22.0, gt=0, le=90, description="Take-off angle where the file does not tell it, degrees."
    )
    escape: bool = Field(True, description="Escape peaks of silicon, 1.74 keV below their lines.")
    tail_depth_nm: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="Depth of the layer below the surface from which charge is lost, nm; 0 for "
        "lines without tails.",
    )
    tail_loss: float = Field(
        0.5, gt=0, le=1, description="Share of the charge that is lost at the very surface."
    )


class Edxs(_Record):
    """Physics of the EDXS dictionary."""

    detector: Detector = Detector()
    energy_min_kev: Positive = Field(
        0.35, description="Start of the fitted window; incomplete charge collection below, keV."
    )
    energy_max_kev: Positive | None = Field(
        None, description="End of the fitted window, keV; null for the end of the axis."
    )
    n_background: int = Field(
        9, ge=2, le=12, description="Functions of the continuum (cubic B-splines in ln energy)."
    )
    system_elements: tuple[str, ...] = Field(
        ("Cu",),
        description="Elements of grid, holder and collimator: fitted, left out of the composition.",
    )
    system_thickness_um: float = Field(
        5.0,
        ge=0,
        description="Depth of grid and holder in which their K lines are made and absorbed, um.",
    )
    thickness_from_counts: bool = Field(
        True,
        description="Mass thickness of each phase from its counts, given the mean; false takes "
        "thickness times density.",
    )

    @field_validator("system_elements")
    @classmethod
    def _check_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        return check_symbols(elements)

    @model_validator(mode="after")
    def _check_window(self) -> Edxs:
        if self.energy_max_kev is not None and self.energy_max_kev <= self.energy_min_kev:
            raise ValueError(
                f"energy_max_kev ({self.energy_max_kev}) must lie above energy_min_kev "
                f"({self.energy_min_kev})"
            )
        return self


class Calibrate(_Record):
    """Fit of the energy axis and the detector's resolution on the sum spectrum."""

    fit: bool = Field(
        True, description="Fit offset, gain and resolution; false takes the file's axis."
    )
    min_counts: Positive = Field(
        5000.0, description="Fewest counts in the window on which the axis is fitted."
    )
    max_offset_ev: Positive = Field(40.0, description="Largest shift that is looked for, eV.")
    max_gain: Positive = Field(4e-3, description="Largest relative gain error that is looked for.")
    line_factors: bool = Field(
        True, description="Fit intensities of strong sub-shells; false takes those of the tables."
    )
    per_detector: bool = Field(
        True, description="An axis for each detector whose spectrum the file keeps apart."
    )


class Identify(_Record):
    """Elements found in the data: all where the sample sheet names none, else as a check."""

    check: bool = Field(
        True, description="Compare a list of elements that is given with what the data show."
    )
    threshold: Positive = Field(
        40.0,
        description="Least likelihood ratio (twice its logarithm) of an element that is used.",
    )
    candidate_threshold: Positive = Field(
        15.0, description="Least likelihood ratio of an element that is shown as a candidate."
    )
    model_error: float = Field(
        0.02, ge=0, le=0.5, description="Error of the expected counts that is left, relative."
    )
    major_share: float = Field(
        0.01, gt=0, lt=1, description="Share of the counts of all lines from which one is major."
    )
    rare: bool = Field(
        True, description="Look for elements of small parts of a map, on sums over its blocks."
    )


class Denoise(_Record):
    """Low-rank product: serves seeds, rank and viewing; the factorisation sees raw counts."""

    method: Literal["low_rank", "binning", "none"] = Field(
        "low_rank",
        description="What is looked at: spectra of low rank, sums over neighbouring pixels and "
        "channels (exact Poisson counts), or the counts as they are.",
    )
    rank: Literal["edge"] | Annotated[int, Field(ge=1)] = Field(
        "edge", description="Number of axes: by the noise edge, or a number."
    )
    max_rank: int = Field(20, ge=1, description="Most axes that are kept.")
    spatial: Spatial = Field(
        "wavelet",
        description="Smoothing of the score maps that are looked at: wavelet shrinkage, "
        "total_variation or none. Pixels that stand out stay as they are.",
    )
    guide: Literal["none", "haadf"] = Field(
        "none",
        description="Image of the area, where the file has one, that tells wavelet smoothing where "
        "maps may change. Nothing of the image enters them.",
    )
    rare: bool = Field(
        True, description="Look for elements that only few pixels hold: an axis for each."
    )
    bin_px: int = Field(2, ge=1, description="Rows and columns of pixels that binning adds up.")
    bin_channels: int = Field(1, ge=1, description="Channels that binning adds up.")
    held_out: bool = Field(
        True,
        description="Denoise one half of the photons and compare with the other; another two "
        "passes over the counts.",
    )


class Factorize(_Record):
    """Phases by tile-wise, physics-guided factorisation."""

    n_phases: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="Number of phases; the sample sheet's column takes precedence."
    )
    geometry: Literal["auto", "embedded", "contiguous"] = Field(
        "auto",
        description="Whether phases occur alone somewhere (contiguous: grains, layers) or, but for "
        "the matrix, never (embedded); auto by the data. The sample sheet's column takes "
        "precedence.",
    )
    blocks: int = Field(
        1, ge=1, description="Jobs into which every map is split; 1 unless maps are very large."
    )
    seed: int = Field(0, ge=0, le=2**53, description="Seed of thinning and clustering.")
    n_thinnings: int = Field(4, ge=1, description="Seeds whose answers are combined by the median.")
    counts_per_region: Positive = Field(
        4500.0, description="Counts that a pooled region should hold at least."
    )
    max_regions: int = Field(64, ge=2, description="Most regions into which pixels are pooled.")
    rare_false_alarm: float = Field(
        0.02, gt=0, lt=1, description="Chance that a map without rare phases gives a candidate."
    )
    max_rounds: int = Field(500, ge=1, description="Most rounds of the central solve.")
    tolerance: Positive = Field(
        1e-5, description="Stop when no phase spectrum changes by a larger angle (radian) a round."
    )


class Quantify(_Record):
    """Composition of phases and pixels."""

    min_pixel_counts: float = Field(
        3.0, ge=0, description="Pixels with fewer expected line counts stay unquantified (NaN)."
    )
    method: Literal["absolute", "cliff_lorimer", "zeta", "cross_section"] = Field(
        "absolute",
        description="Absolute columns; or by the factors of the sample sheet's k_factors of that "
        "kind. Without dose and solid angle all give ratios only, and say so.",
    )
    oxygen: Literal["measured", "stoichiometry"] = Field(
        "measured", description="Oxygen from its line, or from the valences of the other elements."
    )
    valences: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="Valences in place of the usual ones, for example {Fe: 3}."
    )

    @field_validator("valences")
    @classmethod
    def _check_valences(cls, valences: dict[str, float]) -> dict[str, float]:
        check_symbols(valences)
        return valences


class Report(_Record):
    """Pages for people."""

    title: str = Field("", description="Heading of the campaign's page.")
    figure_dpi: int = Field(110, ge=50, le=400, description="Resolution of maps in the report.")
    figure_files: bool = Field(
        False, description="Also write the figures of a report as files beside it: some 30 more."
    )


class Workflow(_Record):
    """How the work of a campaign is cut into jobs."""

    jobs: Literal["stage", "dataset"] = Field(
        "stage",
        description="A job for each stage of a dataset, or one for all its stages: for many small "
        "maps, where any change redoes all of a dataset.",
    )
    datasets_per_job: int = Field(
        1,
        ge=1,
        le=1000,
        description="With jobs: dataset, how many rows of the sheet one job and process works on, "
        "one after the other: for thousands of maps that take seconds. Each still fails alone.",
    )
    dask: str = Field(
        "threads",
        description="Where the tiles of a map are worked on: threads of its job, processes on its "
        "machine, or the workers of a Dask scheduler, by address (tcp://host:8786) or scheduler "
        "file (*.json). The numbers are the same.",
    )
    max_memory_mb: int | None = Field(
        None, ge=500, description="Most memory that a job asks a cluster for, MB; null: no limit."
    )
    max_minutes: int | None = Field(
        None,
        ge=5,
        description="Longest time that a job asks a cluster for, minutes: that of the partition, "
        "where jobs that ask for more would wait for ever; null for no limit.",
    )

    @field_validator("dask")
    @classmethod
    def _check_dask(cls, value: str) -> str:
        if re.fullmatch(r"threads|processes|(tcp|tls|ucx|ws|wss)://\S+:\d+|.+\.json", value):
            return value
        raise ValueError(
            "expected threads, processes, the address of a Dask scheduler like tcp://host:8786, or "
            "a scheduler file (*.json)"
        )


class Settings(_Record):
    """The whole configuration of a campaign."""

    datasets: str = Field("config/datasets.tsv", description="Sample sheet, a row per dataset.")
    convert: Convert = Convert()
    preprocess: Preprocess = Preprocess()
    edxs: Edxs = Edxs()
    calibrate: Calibrate = Calibrate()
    identify: Identify = Identify()
    denoise: Denoise = Denoise()
    factorize: Factorize = Factorize()
    quantify: Quantify = Quantify()
    report: Report = Report()
    workflow: Workflow = Workflow()

    @model_validator(mode="after")
    def _check_blocks(self) -> Settings:
        if self.workflow.jobs == "dataset" and self.factorize.blocks > 1:
            raise ValueError(
                f"workflow.jobs is dataset, but factorize.blocks is {self.factorize.blocks}: very "
                "large maps need jobs for stages; set workflow.jobs to stage"
            )
        if self.workflow.jobs == "stage" and self.workflow.datasets_per_job > 1:
            raise ValueError(
                f"workflow.datasets_per_job is {self.workflow.datasets_per_job}, but workflow.jobs "
                "is stage: set workflow.jobs to dataset, or leave datasets_per_job out"
            )
        return self


def with_frames(settings: Convert, frames: Mapping[str, int]) -> Convert:
    """The settings with the frames that a row of the sample sheet names in place of theirs.

    Raises
    ------
    ConfigError
        If the last frame lies before the first.
    """
    values = {**settings.model_dump(), **frames}
    return parse({"convert": values}, source="first_frame, last_frame").convert


def with_crop(settings: Preprocess, crop: Mapping[str, tuple[int, int]]) -> Preprocess:
    """The settings with the rows and columns that a row of the sample sheet keeps."""
    return settings.model_copy(update=dict(crop))


def parse(config: Mapping[str, Any], *, source: str = "config/config.yaml") -> Settings:
    """The settings from a configuration as read from YAML.

    Parameters
    ----------
    config : mapping
        Sections and keys as in `Settings`; what is absent or empty takes its default.
    source : str, optional
        Where the configuration comes from, for the message.

    Raises
    ------
    ConfigError
        Naming every misspelt key, with the nearest known one, and every value out of its limits.
    """
    try:
        return Settings.model_validate({k: v for k, v in config.items() if v is not None})
    except ValidationError as error:
        # Every branch of a union reports for itself.
        problems = "; ".join(dict.fromkeys(_explain(e) for e in error.errors()))
        raise ConfigError(f"{source}: {problems}") from None


def _explain(error: ErrorDetails) -> str:
    # Pydantic adds the branch of a union to the path ("literal['auto']"): not a key of the user's.
    path = [str(part) for part in error["loc"] if re.fullmatch(r"\w+", str(part))]
    key = ".".join(path)
    if error["type"] == "extra_forbidden" and not path:
        return f"unknown key {error['loc'][-1]!r}: known: {', '.join(_keys_of([]))}"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _keys_of(path[:-1]), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_keys_of(path[:-1]))}"
        return f"unknown key {key}: {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {error['input']!r})" if key else message


def _keys_of(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        model = cast(type[BaseModel], model.model_fields[part].annotation)
    return list(model.model_fields)
