# SPDX-License-Identifier: GPL-3.0-or-later
"""Composition and phase of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.elements import check_symbols
from mlatem.errors import InputError

_SCHEMA = "mlatem-pixel-maps/1"


@dataclass(frozen=True)
class PixelMaps:
    """Maps of atomic percent with their standard deviations, and the map of phases."""

    elements: tuple[str, ...]
    n_phases: int
    atomic_percent: NDArray[np.float32]
    """Shape (ny, nx, n_elements), in at%; NaN where a pixel was not quantified."""
    sigma: NDArray[np.float32]
    """Shape (ny, nx, n_elements), in at%; statistical."""
    phase: NDArray[np.int16]
    """Shape (ny, nx); index of the dominating phase from 0, -1 where there is none."""
    y_nm: NDArray[np.float64]
    """Positions of the rows in nm."""
    x_nm: NDArray[np.float64]
    """Positions of the columns in nm."""
    upper_limit: NDArray[np.float32] | None = None
    """Shape (ny, nx, n_elements), in at%, one-sided 95 %; NaN where an element is seen."""
    mask: NDArray[np.bool_] | None = None
    """Shape (ny, nx); True in pixels that are left out; None where all are used."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises
        ------
        InputError
        """
        check_symbols(self.elements)
        shape = (self.y_nm.size, self.x_nm.size)
        for name, expected in {
            "atomic_percent": (*shape, len(self.elements)),
            "sigma": (*shape, len(self.elements)),
            "phase": shape,
            "upper_limit": (*shape, len(self.elements)),
            "mask": shape,
        }.items():
            if getattr(self, name) is None:
                continue
            found = getattr(self, name).shape
            if found != expected:
                raise InputError(f"pixel maps: {name} has shape {found}, expected {expected}")
        if self.phase.size and not -1 <= self.phase.min() <= self.phase.max() < self.n_phases:
            raise InputError(
                f"pixel maps: phases from {self.phase.min()} to {self.phase.max()}, expected -1 "
                f"(none) to {self.n_phases - 1}"
            )

    def to_dataset(self) -> xr.Dataset:
        """Labelled form. There the phases are numbered as in the table of phases, from 1; 0: none.

        Returns
        -------
        dataset : Dataset
            `atomic_percent`, `sigma` and `upper_limit` with dimensions (y, x, element), `phase`
            with (y, x).
        """
        percent = {"units": "at%"}
        dataset = xr.Dataset(
            {
                "atomic_percent": (
                    ("y", "x", "element"),
                    self.atomic_percent,
                    {**percent, "long_name": "atomic percent; NaN where not quantified"},
                ),
                "sigma": (
                    ("y", "x", "element"),
                    self.sigma,
                    {**percent, "long_name": "statistical standard deviation of atomic percent"},
                ),
                "phase": (
                    ("y", "x"),
                    (self.phase + 1).astype(np.int16),
                    {
                        "units": "1",
                        "long_name": "number of the dominating phase, from 1; 0 where none",
                    },
                ),
            },
            coords={
                "y": ("y", self.y_nm, {"units": "nm"}),
                "x": ("x", self.x_nm, {"units": "nm"}),
                "element": ("element", list(self.elements)),
            },
            attrs={"schema": _SCHEMA, "n_phases": self.n_phases},
        )
        if self.upper_limit is not None:
            dataset["upper_limit"] = (
                ("y", "x", "element"),
                self.upper_limit,
                {**percent, "long_name": "upper limit (95 %) of what is not seen; NaN where seen"},
            )
        if self.mask is not None:
            dataset["mask"] = (("y", "x"), self.mask, {"long_name": "pixels that are left out"})
        return dataset

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> PixelMaps:
        """The inverse of `to_dataset`.

        Raises
        ------
        InputError
            If the dataset does not hold pixel maps.
        """
        if dataset.attrs.get("schema") != _SCHEMA:
            raise InputError(
                f"not pixel maps (schema {dataset.attrs.get('schema')!r}): expected what "
                "mlatem.quantify wrote to maps.zarr"
            )
        return cls(
            elements=tuple(str(e) for e in dataset["element"].values),
            n_phases=int(dataset.attrs["n_phases"]),
            atomic_percent=dataset["atomic_percent"].values,
            sigma=dataset["sigma"].values,
            phase=(dataset["phase"].values.astype(np.int16) - 1).astype(np.int16),
            y_nm=dataset["y"].values,
            x_nm=dataset["x"].values,
            upper_limit=dataset["upper_limit"].values if "upper_limit" in dataset else None,
            mask=dataset["mask"].values.astype(bool) if "mask" in dataset else None,
        )
