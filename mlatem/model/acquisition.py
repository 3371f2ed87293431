# SPDX-License-Identifier: GPL-3.0-or-later
"""Acquisition metadata: every value with its origin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mlatem.errors import InputError

Origin = Literal["file", "default", "user"]

#: Names of the known values, with the label and unit shown to people.
FIELDS: dict[str, tuple[str, str]] = {
    "beam_energy_kev": ("beam energy", "keV"),
    "beam_current_na": ("beam current", "nA"),
    "live_time_s": ("live time", "s"),
    "real_time_s": ("real time", "s"),
    "dwell_time_s": ("dwell time per pixel", "s"),
    "n_frames": ("frames", ""),
    "elevation_deg": ("detector elevation", "deg"),
    "azimuth_deg": ("detector azimuth", "deg"),
    "take_off_angle_deg": ("take-off angle", "deg"),
    "stage_tilt_deg": ("stage tilt", "deg"),
    "solid_angle_sr": ("solid angle", "sr"),
    "energy_resolution_ev": ("energy resolution at Mn Ka", "eV"),
    "convergence_mrad": ("convergence semi-angle", "mrad"),
    "collection_mrad": ("collection semi-angle", "mrad"),
    "microscope": ("microscope", ""),
    "detector": ("detector", ""),
    "n_detectors": ("detectors", ""),
    "signal_type": ("signal type", ""),
    "date": ("date", ""),
    "sample": ("sample", ""),
    "thickness_nm": ("specimen thickness", "nm"),
    "density_g_cm3": ("specimen density", "g/cm3"),
    "stage_tilt_beta_deg": ("stage tilt beta", "deg"),
}


@dataclass(frozen=True)
class Value:
    """A number or text and where it comes from."""

    value: float | str
    origin: Origin


@dataclass(frozen=True)
class Acquisition(Mapping[str, Value]):
    """Acquisition metadata of one signal; a mapping from the names in `FIELDS` to `Value`.

    A value that is not known is absent: nothing is invented.
    """

    values_by_name: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.validate()

    def __getitem__(self, name: str) -> Value:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def number(self, name: str) -> float | None:
        """The value as a float, or None where it is not known.

        Raises
        ------
        InputError
            If the value is a text.
        """
        entry = self.values_by_name.get(name)
        if entry is None:
            return None
        try:
            return float(entry.value)
        except ValueError:
            raise InputError(f"{name} is {entry.value!r}, expected a number") from None

    def updated(self, values: Mapping[str, float | str | None], origin: Origin) -> Acquisition:
        """A copy in which the given values (other than None) replace the present ones."""
        new = {k: Value(v, origin) for k, v in values.items() if v is not None}
        return Acquisition({**self.values_by_name, **new})

    def validate(self) -> None:
        """Check names, origins and numbers.

        Raises
        ------
        InputError
            If a name or an origin is unknown or a number is not finite.
        """
        for name, entry in self.values_by_name.items():
            if name not in FIELDS:
                raise InputError(
                    f"unknown acquisition value {name!r}: expected one of {', '.join(FIELDS)}"
                )
            if entry.origin not in get_args(Origin):
                raise InputError(
                    f"{name} has origin {entry.origin!r}, expected one of "
                    f"{', '.join(get_args(Origin))}"
                )
            if not isinstance(entry.value, str) and not math.isfinite(entry.value):
                raise InputError(
                    f"{FIELDS[name][0]} is {entry.value}: leave out a value that is not known"
                )

    def to_attrs(self) -> dict[str, dict[str, Any]]:
        """JSON-safe form: `{name: {"value": ..., "origin": ...}}`."""
        return {k: {"value": v.value, "origin": v.origin} for k, v in self.values_by_name.items()}

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Mapping[str, Any]]) -> Acquisition:
        """The inverse of `to_attrs`."""
        return cls({k: Value(v["value"], v["origin"]) for k, v in attrs.items()})
