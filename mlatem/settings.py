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


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Convert(_Record):
    """Reading of raw files."""

    memory_limit_gb: Positive = Field(
        8.0, description="Refuse a file whose conversion is projected to need more memory, GB."
    )
    hash_inputs: bool = Field(True, description="Store the SHA-256 of every raw file.")


class Detector(_Record):
    """X-ray detector. Values in the file's metadata take precedence where the file has them."""

    noise_ev: Positive = Field(50.0, description="Electronic noise, FWHM in eV.")
    fano: Positive = Field(0.118, description="Fano factor of silicon.")
    active_silicon_mm: Positive = Field(0.45, description="Thickness of the active silicon, mm.")
    dead_layer_nm: float = Field(40.0, ge=0, description="Silicon dead layer, nm.")
    aluminium_nm: float = Field(30.0, ge=0, description="Aluminium contact and light shield, nm.")
    window: Literal["none", "polymer", "beryllium"] = Field(
        "none",
        description="Entrance window: none (windowless), polymer (0.3 um), beryllium (8 um).",
    )
    take_off_angle_deg: float = Field(
        22.0, gt=0, le=90, description="Take-off angle where the file does not tell it, degrees."
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
        6, ge=2, le=12, description="Functions of the continuum (cubic B-splines in ln energy)."
    )
    system_elements: tuple[str, ...] = Field(
        ("Cu",),
        description="Elements of grid, holder and collimator: fitted, left out of the composition.",
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

    fit: bool = Field(True, description="Fit offset, gain and noise; false takes the file's axis.")
    min_counts: Positive = Field(
        5000.0, description="Fewest counts in the window on which the axis is fitted."
    )
    max_offset_ev: Positive = Field(40.0, description="Largest shift that is looked for, eV.")
    max_gain: Positive = Field(4e-3, description="Largest relative gain error that is looked for.")


class Denoise(_Record):
    """Low-rank product: serves seeds, rank and viewing; the factorisation sees raw counts."""

    rank: Literal["edge"] | Annotated[int, Field(ge=1)] = Field(
        "edge", description="Number of axes: by the noise edge, or a number."
    )
    max_rank: int = Field(20, ge=1, description="Most axes that are kept.")


class Factorize(_Record):
    """Phases by tile-wise, physics-guided factorisation."""

    n_phases: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="Number of phases; the sample sheet's column takes precedence."
    )
    blocks: int = Field(
        1, ge=1, description="Jobs into which every map is split; 1 unless maps are very large."
    )
    seed: int = Field(0, ge=0, description="Seed of thinning and clustering.")
    n_thinnings: int = Field(4, ge=1, description="Seeds whose answers are combined by the median.")
    counts_per_region: Positive = Field(
        9000.0, description="Counts that a pooled region should hold at least."
    )
    max_regions: int = Field(32, ge=2, description="Most regions into which pixels are pooled.")
    max_rounds: int = Field(500, ge=1, description="Most rounds of the central solve.")
    tolerance: Positive = Field(
        1e-5, description="Stop when no phase spectrum changes by a larger angle (radian) a round."
    )


class Quantify(_Record):
    """Composition of phases and pixels."""

    min_pixel_counts: float = Field(
        10.0, ge=0, description="Pixels with fewer expected line counts stay unquantified (NaN)."
    )


class Report(_Record):
    """Pages for people."""

    title: str = Field("", description="Heading of the campaign's page.")
    figure_dpi: int = Field(110, ge=50, le=400, description="Resolution of maps in the report.")


class Settings(_Record):
    """The whole configuration of a campaign."""

    datasets: str = Field("config/datasets.tsv", description="Sample sheet, a row per dataset.")
    convert: Convert = Convert()
    edxs: Edxs = Edxs()
    calibrate: Calibrate = Calibrate()
    denoise: Denoise = Denoise()
    factorize: Factorize = Factorize()
    quantify: Quantify = Quantify()
    report: Report = Report()


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
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _keys_of(path[:-1]), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_keys_of(path[:-1]))}"
        return f"unknown key {key}: {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {error['input']!r})"


def _keys_of(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        model = cast(type[BaseModel], model.model_fields[part].annotation)
    return list(model.model_fields)


# A specimen is described in a file of its own (`mlatem simulate specimen.yaml OUT`), apart from the
# configuration of a campaign.

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Fill(_Record):
    """Everything that later phases do not displace."""

    kind: Literal["fill"] = "fill"


class Grains(_Record):
    """Grains of a polycrystal, with sharp borders."""

    kind: Literal["grains"]
    grain_nm: Size = Field(60.0, description="Size of a grain, nm.")
    area_fraction: Share = Field(0.25, description="Share of the map that the grains cover.")
    interface_nm: NotNegative = Field(0.0, description="Gaussian width of interdiffusion, nm.")


class Particles(_Record):
    """Round particles, embedded in the foil or reaching through it."""

    kind: Literal["particles"]
    number: int = Field(12, ge=1, le=10000, description="Number of particles.")
    radius_nm: Size = Field(30.0, description="Mean radius, nm.")
    radius_spread: Share = Field(0.2, description="Standard deviation of the radius over its mean.")
    embedded: bool = Field(
        True, description="Spheres inside the foil (smooth rim); false: cylinders (sharp rim)."
    )
    interface_nm: NotNegative = Field(0.0, description="Gaussian width of interdiffusion, nm.")


class Layer(_Record):
    """A layer that crosses the map."""

    kind: Literal["layer"]
    centre: Share = Field(0.8, description="Place along its normal, 0 to 1 across the map.")
    width_nm: Size = Field(60.0, description="Width, nm.")
    angle_deg: Finite = Field(0.0, description="Direction of its normal: 0 along y, 90 along x.")
    waviness_nm: NotNegative = Field(0.0, description="Standard deviation of its path, nm.")
    interface_nm: NotNegative = Field(0.0, description="Gaussian width of interdiffusion, nm.")


class Gradient(_Record):
    """A smooth rise across the map."""

    kind: Literal["gradient"]
    start: Finite = Field(0.3, description="Where the rise starts, 0 to 1 across the map.")
    stop: Finite = Field(0.7, description="Where the rise ends, 0 to 1 across the map.")
    angle_deg: Finite = Field(90.0, description="Direction of the rise: 0 along y, 90 along x.")
    maximum: Share = Field(1.0, description="Volume fraction at the end of the rise.")

    @model_validator(mode="after")
    def _check_order(self) -> Gradient:
        if self.stop <= self.start:
            raise ValueError(f"stop ({self.stop}) must lie above start ({self.start})")
        return self


class SpecimenPhase(_Record):
    """One phase of a simulated specimen."""

    name: str = Field(min_length=1, description="Name of the phase.")
    atomic_percent: dict[str, Size] = Field(description="Atomic percent by element; sum 100.")
    density_g_cm3: Size = Field(description="Density, g/cm3.")
    shape: Annotated[Fill | Grains | Particles | Layer | Gradient, Field(discriminator="kind")] = (
        Field(Fill(), description="Where the phase is.")
    )

    @model_validator(mode="after")
    def _check_composition(self) -> SpecimenPhase:
        check_symbols(self.atomic_percent)
        total = sum(self.atomic_percent.values())
        if abs(total - 100.0) > 0.05:
            raise ValueError(
                f"phase {self.name!r}: atomic_percent adds up to {total:.6g}, expected 100"
            )
        return self


class FoilThickness(_Record):
    """Thickness of a simulated specimen."""

    mean_nm: Size = Field(80.0, description="Mean thickness, nm.")
    wedge: float = Field(
        0.0, gt=-2, lt=2, description="Difference between right and left end over the mean."
    )
    bumps: Share = Field(0.0, description="Relative standard deviation of smooth variations.")
    bump_nm: Size = Field(60.0, description="Size of the variations, nm.")


class SpecimenPhysics(_Record):
    """How counts arise in a simulation; may differ from the model that fits them."""

    ionization: Literal["bote_salvat", "casnati"] = Field(
        "bote_salvat",
        description="Ionisation cross-sections; casnati changes the K shell, L and M stay.",
    )
    family_sigma: dict[Literal["K", "L", "M"], NotNegative] = Field(
        {}, description="Relative error of the intensity of an element's lines, by family."
    )
    continuum: Literal["kramers", "power"] = Field(
        "kramers", description="Shape of the continuum: (E0-E)/E, or E to the -continuum_exponent."
    )
    continuum_exponent: Finite = Field(1.2, description="Exponent of the power continuum.")
    continuum_fraction: float = Field(
        0.3, ge=0, lt=1, description="Share of the continuum in the specimen's counts."
    )
    absorption: bool = Field(
        True, description="Self-absorption: each phase's own composition, local mass thickness."
    )
    system_fraction: dict[str, Size] = Field(
        {"Cu": 0.02},
        description="Counts of stray lines of the instrument, over the specimen's counts.",
    )
    axis_offset_ev: Finite = Field(0.0, description="True energy minus the file's at 0 keV, eV.")
    axis_gain: float = Field(0.0, gt=-0.1, lt=0.1, description="Relative error of the file's axis.")
    detector: Detector = Detector()

    @model_validator(mode="after")
    def _check_system(self) -> SpecimenPhysics:
        check_symbols(self.system_fraction)
        return self


class Simulate(_Record):
    """A simulated specimen and how it is measured."""

    name: str = Field(
        "specimen", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the files."
    )
    description: str = Field("", description="What the specimen stands for.")
    phases: tuple[SpecimenPhase, ...] = Field(
        min_length=1, description="Phases in the order in which they are painted; first the fill."
    )
    thickness: FoilThickness = FoilThickness()
    n_rows: int = Field(128, ge=1, description="Rows of the map.")
    n_columns: int = Field(128, ge=1, description="Columns of the map.")
    pixel_nm: Size = Field(4.0, description="Distance of the pixels, nm.")
    probe_fwhm_nm: NotNegative = Field(2.0, description="Full width of the probe, nm.")
    n_channels: int = Field(2048, ge=16, le=65536, description="Channels of the spectrum.")
    channel_ev: Size = Field(10.0, description="Width of a channel, eV.")
    first_channel_kev: Finite = Field(-0.2, description="Centre of the first channel, keV.")
    beam_energy_kev: float = Field(200.0, ge=20, le=400, description="Beam energy, keV.")
    counts_per_pixel: Size = Field(100.0, description="Mean counts per pixel on the whole axis.")
    live_time_s: Size = Field(600.0, description="Live time of the map, metadata only, s.")
    haadf_noise: NotNegative = Field(0.02, description="Noise of the HAADF image over its mean.")
    physics: SpecimenPhysics = SpecimenPhysics()

    @model_validator(mode="after")
    def _check_phases(self) -> Simulate:
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"phase {', '.join(twice)} is named twice: give each its own name")
        for index, phase in enumerate(self.phases):
            if (phase.shape.kind == "fill") != (index == 0):
                raise ValueError(
                    f"phase {phase.name!r} (number {index + 1}) has shape {phase.shape.kind}: "
                    "expected fill for the first phase and another shape for all others"
                )
        if self.first_channel_kev + self.n_channels * self.channel_ev * 1e-3 < 1.0:
            raise ValueError("the energy axis ends below 1 keV: give more or wider channels")
        return self
