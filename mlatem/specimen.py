# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a simulated specimen: a file of its own, apart from a campaign's settings."""

from __future__ import annotations

import difflib
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from mlatem.elements import check_symbols
from mlatem.errors import ConfigError
from mlatem.settings import Detector

#: Atomic percent may add up to 100 plus or minus this much (printed values are rounded).
ROUNDING_PERCENT = 0.5

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    density_g_cm3: Size | None = Field(
        None, description="Density, g/cm3; null for an estimate from the composition."
    )
    shape: Annotated[Fill | Grains | Particles | Layer | Gradient, Field(discriminator="kind")] = (
        Field(Fill(), description="Where the phase is.")
    )

    @model_validator(mode="after")
    def _check_composition(self) -> SpecimenPhase:
        check_symbols(self.atomic_percent)
        total = sum(self.atomic_percent.values())
        if abs(total - 100.0) > ROUNDING_PERCENT:
            raise ValueError(
                f"phase {self.name!r}: atomic_percent adds up to {total:.6g}, expected 100 within "
                f"{ROUNDING_PERCENT}: correct it or add what is missing"
            )
        return self

    @property
    def composition(self) -> dict[str, float]:
        """Atomic fractions, adding up to 1."""
        total = sum(self.atomic_percent.values())
        return {element: percent / total for element, percent in self.atomic_percent.items()}


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
    seed: int = Field(0, ge=0, description="Seed of the geometry, the counts and the errors.")
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

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of all phases, in the order in which they appear."""
        return tuple(dict.fromkeys(e for phase in self.phases for e in phase.atomic_percent))


def load_specimen(path: str | PathLike[str]) -> Simulate:
    """The description of a specimen from a YAML file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Simulate

    Raises
    ------
    ConfigError
        If the file is missing or no YAML, naming every misspelt key with the nearest known one and
        every value that is not possible.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name the YAML file of a specimen") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a YAML file") from error
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({words}); correct the marked place") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: holds {type(content).__name__}, expected keys such as `phases`; see "
            "examples/demo/specimen.yaml"
        )
    try:
        return Simulate.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_explain(entry, content) for entry in error.errors()))
        raise ConfigError(f"{path}: {problems}") from None


def _explain(error: ErrorDetails, content: dict[str, Any]) -> str:
    key = _key(error["loc"], content)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(), n=1)
        return f"unknown key {key}: " + (f"did you mean {near[0]}?" if near else "remove it")
    if error["type"] == "missing":
        return f"{key} is missing: give it"
    message = error["msg"].removeprefix("Value error, ")
    if "ctx" in error and "error" in error["ctx"]:
        return f"{key}: {message}" if key else message
    return f"{key}: {message} (found {error['input']!r})"


def _key(location: tuple[int | str, ...], content: dict[str, Any]) -> str:
    """Path of a key, phases by name; without the branch that pydantic adds for a union."""
    found: Any = content
    words: list[str] = []
    for part in location:
        if isinstance(part, int):
            entry = found[part] if isinstance(found, list) and part < len(found) else None
            name = entry.get("name") if isinstance(entry, dict) else None
            words[-1] += f"[{name or part + 1}]"
            found = entry
        elif isinstance(found, dict) and found.get("kind") == part:
            continue
        else:
            words.append(part)
            found = found.get(part) if isinstance(found, dict) else None
    return ".".join(words)


def _known_keys() -> list[str]:
    shapes = (Fill, Grains, Particles, Layer, Gradient)
    models = (Simulate, SpecimenPhase, SpecimenPhysics, FoilThickness, Detector, *shapes)
    return list(dict.fromkeys(name for model in models for name in model.model_fields))
