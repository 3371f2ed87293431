# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user knows of phases beforehand: the content of a dataset's priors file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from mlatem.elements import check_symbols
from mlatem.errors import ConfigError

Percent = Annotated[float, Field(ge=0, le=100)]
Size = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


def _number_as_value(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"value": value}
    return value


def _one_as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str | Mapping | BaseModel) else value


def _array_as_list(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_array_as_list)]
Texts = Annotated[
    tuple[str, ...], BeforeValidator(_one_as_tuple, json_schema_input_type=str | tuple[str, ...])
]
#: A path in a file; an array of shape (ny, nx), not zero where the region is, once it is read.
MaskOrPath = Annotated[Any, WithJsonSchema({"type": "string"})]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Interval(_Record):
    """A value with its uncertainty, or limits, or both."""

    @model_validator(mode="after")
    def _check_limits(self) -> _Interval:
        value, low, high = (getattr(self, name) for name in ("value", "min", "max"))
        if value is None and low is None and high is None:
            raise ValueError("give a value (a bare number will do), min or max")
        if value is None and getattr(self, "sigma", None) is not None:
            raise ValueError("sigma is that of a value: give the value too, or leave it out")
        if low is not None and high is not None and low > high:
            raise ValueError(f"min ({low:g}) lies above max ({high:g}): exchange or correct them")
        for name, limit, wrong in (("min", low, -1), ("max", high, 1)):
            if value is not None and limit is not None and wrong * (value - limit) > 0:
                side = "below" if name == "min" else "above"
                raise ValueError(
                    f"value ({value:g}) lies {side} {name} ({limit:g}): correct one of them"
                )
        return self


class Amount(_Interval):
    """Atomic percent of an element."""

    value: Percent | None = Field(None, description="Expected value, at%; exact without sigma.")
    sigma: Size | None = Field(None, description="Standard deviation of the value, at%.")
    min: Percent | None = Field(None, description="At least so much, at%.")
    max: Percent | None = Field(None, description="At most so much, at%.")


class Ratio(_Interval):
    """Number of atoms of one element over that of another."""

    value: Size | None = Field(None, description="Expected value; exact without sigma.")
    sigma: Size | None = Field(None, description="Standard deviation of the value.")
    min: Size | None = Field(None, description="At least so much.")
    max: Size | None = Field(None, description="At most so much.")


Amounts = Annotated[
    Amount, BeforeValidator(_number_as_value, json_schema_input_type=float | Amount)
]
Ratios = Annotated[Ratio, BeforeValidator(_number_as_value, json_schema_input_type=float | Ratio)]


class KnownSpectrum(_Record):
    """The spectrum of a phase: coefficients of the dictionary's columns, or counts."""

    coefficients: dict[str, NotNegative] | None = Field(
        None, description="Amount of each column of the dictionary by its name, on any scale."
    )
    counts: Numbers | None = Field(
        None, description="Counts per channel, on any scale, on the axis of the dictionary."
    )
    energy_kev: Numbers | None = Field(None, description="Centres of the channels of `counts`.")
    file: str | None = Field(
        None, description="CSV with the columns energy_kev and counts, instead of the two lists."
    )

    @model_validator(mode="after")
    def _check_kind(self) -> KnownSpectrum:
        kinds = ("coefficients", "counts", "file")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"gives {' and '.join(given) or 'nothing'}: expected one of {', '.join(kinds)}"
            )
        for name in ("coefficients", "counts"):
            found = getattr(self, name)
            values = np.array(list(found.values()) if isinstance(found, dict) else found or [1.0])
            if np.any(values < 0) or not values.sum() > 0:
                raise ValueError(f"{name} are negative or all zero: expected amounts")
        if self.energy_kev is not None and len(self.energy_kev) != len(self.counts or ()):
            raise ValueError(
                f"energy_kev has {len(self.energy_kev)} channels, counts {len(self.counts or ())}"
            )
        return self


class Rectangle(_Record):
    """A rectangle of pixels, counted from 0; the second number of a pair is the first outside."""

    y: tuple[int, int] = Field(description="First row, and the row after the last.")
    x: tuple[int, int] = Field(description="First column, and the column after the last.")

    @model_validator(mode="after")
    def _check_order(self) -> Rectangle:
        for name, (first, stop) in (("y", self.y), ("x", self.x)):
            if not 0 <= first < stop:
                raise ValueError(
                    f"{name} goes from {first} to {stop}: expected pixels from 0, the second "
                    "number larger than the first"
                )
        return self


class Mask(_Record):
    """Pixels that an image marks."""

    mask: MaskOrPath = Field(
        description="NumPy file (.npy) of the shape of the map, not 0 where the region is."
    )


Region = Rectangle | Mask
Place = str | Rectangle | Mask
Places = Annotated[
    tuple[Place, ...],
    BeforeValidator(_one_as_tuple, json_schema_input_type=Place | tuple[Place, ...]),
]


class PhasePlaces(_Record):
    """Where a phase is, by names of regions, rectangles or masks; several are taken together."""

    only_in: Places = Field((), description="The phase is nowhere else.")
    not_in: Places = Field((), description="The phase is not there.")
    pure_in: Places = Field((), description="No other phase is there.")


class PhasePrior(_Record):
    """What is known of one phase."""

    like: str | None = Field(
        None, description="Phase of the library that it is; what is given beside replaces its part."
    )
    present: Texts = Field((), description="Elements that it holds, however little.")
    absent: Texts = Field((), description="Elements that it lacks.")
    composition: dict[str, Amounts] = Field(
        {}, description="at% of some or all elements: a number, or value, sigma, min, max."
    )
    ratios: dict[str, Ratios] = Field(
        {}, description="Ratios of atoms such as Sr/Ti: a number, or value, sigma, min, max."
    )
    spectrum: KnownSpectrum | None = Field(None, description="Its spectrum, where it is known.")
    regions: PhasePlaces = PhasePlaces()

    @field_validator("present", "absent")
    @classmethod
    def _check_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        return check_symbols(elements)

    @field_validator("composition")
    @classmethod
    def _check_composition(cls, composition: dict[str, Amount]) -> dict[str, Amount]:
        check_symbols(composition)
        return composition

    @field_validator("ratios")
    @classmethod
    def _check_ratios(cls, ratios: dict[str, Ratio]) -> dict[str, Ratio]:
        for name in ratios:
            pair = name.split("/")
            if len(pair) != 2 or pair[0] == pair[1]:
                raise ValueError(f"ratio {name!r}: expected two elements, for example Sr/Ti")
            check_symbols(pair)
        return ratios

    @property
    def elements(self) -> tuple[str, ...]:
        """All elements that the prior names."""
        of_ratios = (element for name in self.ratios for element in name.split("/"))
        return tuple(dict.fromkeys((*self.present, *self.absent, *self.composition, *of_ratios)))

    @property
    def held(self) -> tuple[str, ...]:
        """Elements that the phase holds by what the prior says."""
        of_ratios = (element for name in self.ratios for element in name.split("/"))
        given = (e for e, a in self.composition.items() if (a.value or 0) > 0 or (a.min or 0) > 0)
        return tuple(dict.fromkeys((*self.present, *given, *of_ratios)))

    def over(self, library: PhasePrior) -> PhasePrior:
        """The prior where it says something, else that of the library."""
        own = {name: getattr(self, name) for name in self.model_fields_set if name != "like"}
        return library.model_copy(update=own)


class Priors(_Record):
    """Priors of a dataset's phases."""

    library: Texts = Field(
        (), description="Files of phases that several datasets share, beside this one."
    )
    regions: dict[str, Region] = Field({}, description="Parts of the map, by name.")
    geometry: Literal["embedded", "contiguous"] | None = Field(
        None,
        description="Whether phases occur alone somewhere (contiguous) or, but for the matrix, "
        "never (embedded).",
    )
    phases: dict[str, PhasePrior] = Field({}, description="Priors by name of the phase.")

    @model_validator(mode="after")
    def _check_regions(self) -> Priors:
        known = ", ".join(self.regions) or "none"
        for name, phase in self.phases.items():
            for kind in PhasePlaces.model_fields:
                for place in getattr(phase.regions, kind):
                    if isinstance(place, str) and place not in self.regions:
                        raise ValueError(
                            f"phase {name!r}: {kind} names region {place!r}, but `regions` "
                            f"describes {known}: describe it there, or correct the name"
                        )
        return self

    def with_library(self, library: Mapping[str, PhasePrior]) -> Priors:
        """Priors in which no phase refers to the library any more.

        Raises
        ------
        ConfigError
            If a phase is like one that the library lacks.
        """
        phases = {}
        for name, phase in self.phases.items():
            if phase.like is not None and phase.like not in library:
                found = ", ".join(library) or "nothing"
                files = ", ".join(self.library) or "no file"
                raise ConfigError(
                    f"phase {name!r} is like {phase.like!r}, but the library ({files}) holds "
                    f"{found}: correct the name, or add the file to `library`"
                )
            phases[name] = phase if phase.like is None else phase.over(library[phase.like])
        return self.model_copy(update={"phases": phases, "library": ()})


def parse_priors(content: Mapping[str, Any], *, source: str = "priors") -> Priors:
    """Priors from the content of a file, or a dict of the same form.

    Raises
    ------
    ConfigError
        Naming every misspelt key with the nearest known one, and every value that is not possible.
    """
    try:
        return Priors.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_explain(entry) for entry in error.errors()))
        raise ConfigError(f"{source}: {problems}") from None


def _explain(error: ErrorDetails) -> str:
    kinds = (Rectangle.__name__, Mask.__name__, "str")  # of a union: no keys of the user's
    key = ".".join(str(part) for part in error["loc"] if part not in kinds)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(), n=1)
        return f"unknown key {key}: " + (f"did you mean {near[0]}?" if near else "remove it")
    if error["type"] == "missing":
        return f"{key} is missing: give it"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _known_keys() -> list[str]:
    records = (Priors, PhasePrior, PhasePlaces, Amount, Ratio, KnownSpectrum, Rectangle, Mask)
    return list(dict.fromkeys(name for record in records for name in record.model_fields))


def described(prior: PhasePrior) -> tuple[str, ...]:
    """What a prior says, beside its statements about the composition, in words."""
    words = []
    if prior.spectrum is not None:
        words.append("its spectrum is known")
    for kind in PhasePlaces.model_fields:
        places = getattr(prior.regions, kind)
        if places:
            words.append(f"{kind.replace('_', ' ')} {', '.join(_place(place) for place in places)}")
    return tuple(words)


def _place(place: str | Rectangle | Mask) -> str:
    if isinstance(place, str):
        return place
    if isinstance(place, Mask):
        return "a mask"
    return f"y {place.y[0]} to {place.y[1]}, x {place.x[0]} to {place.x[1]}"
