# SPDX-License-Identifier: GPL-3.0-or-later
"""The spectrum image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model.acquisition import Acquisition

Technique = Literal["edxs", "eels"]


@dataclass(frozen=True)
class SpectrumImage:
    """Spectra on a grid of probe positions.

    Nothing here loads the counts: they may be a numpy array, a memory map, an HDF5 or Zarr array
    or a Dask array.
    """

    counts: Any
    """Array of shape (ny, nx, n_energy); detected counts, not negative."""
    energy: NDArray[np.float64]
    """Centres of the channels, increasing and evenly spaced; keV for EDXS, eV (loss) for EELS."""
    y_nm: NDArray[np.float64]
    """Positions of the rows, increasing, in nm."""
    x_nm: NDArray[np.float64]
    """Positions of the columns, increasing, in nm."""
    technique: Technique = "edxs"
    acquisition: Acquisition = field(default_factory=Acquisition)
    name: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON-safe attributes (source file, reader, HyperSpy metadata tree...)."""
    mask: NDArray[np.bool_] | None = None
    """Shape (ny, nx); True in pixels that are left out. None where all are used."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(ny, nx, n_energy)."""
        ny, nx, n_energy = self.counts.shape
        return int(ny), int(nx), int(n_energy)

    @property
    def n_scan_pixels(self) -> int:
        """Pixels among which the clocks of the acquisition are shared: those before cropping."""
        return int(self.attrs.get("n_scan_pixels", self.shape[0] * self.shape[1]))

    @property
    def energy_name(self) -> str:
        """Name of the spectral dimension: "energy" or "energy_loss"."""
        return "energy" if self.technique == "edxs" else "energy_loss"

    @property
    def energy_unit(self) -> str:
        """Unit of the spectral dimension: "keV" or "eV"."""
        return "keV" if self.technique == "edxs" else "eV"

    def validate(self) -> None:
        """Check shapes and axes; the counts themselves are checked where they are read.

        Raises
        ------
        InputError
            Naming the axis, what was found and what was expected.
        """
        label = f"spectrum image {self.name!r}" if self.name else "spectrum image"
        if self.technique not in get_args(Technique):
            raise InputError(
                f"{label}: technique {self.technique!r}, expected one of "
                f"{', '.join(get_args(Technique))}"
            )
        if self.counts.ndim != 3:
            raise InputError(
                f"{label}: counts have {self.counts.ndim} dimensions, expected 3 (y, x, energy)"
            )
        axes = {"y": self.y_nm, "x": self.x_nm, self.energy_name: self.energy}
        for size, (axis, values) in zip(self.counts.shape, axes.items(), strict=True):
            check_axis(values, size, axis, label)
        if self.mask is not None:
            check_mask(self.mask, self.shape[:2], label)


def check_mask(mask: NDArray[Any], shape: tuple[int, int], label: str) -> None:
    """Check that a mask of pixels has the shape (ny, nx) of the map and leaves some of them.

    Raises
    ------
    InputError
    """
    if mask.shape != shape:
        raise InputError(
            f"{label}: the mask has shape {mask.shape}, but the map has {shape[0]} rows and "
            f"{shape[1]} columns: draw it on the whole map"
        )
    if mask.dtype != np.bool_:
        raise InputError(f"{label}: the mask is of type {mask.dtype}, expected True and False")
    if mask.all():
        raise InputError(
            f"{label}: the mask leaves out all {mask.size} pixels: True, or more than 0, marks the "
            "pixels to leave out, so it may be the wrong way round"
        )


def check_axis(values: NDArray[np.float64], size: int, axis: str, label: str) -> None:
    """Check that an axis has the given size, is finite, increasing and evenly spaced."""
    if size == 0:
        raise InputError(f"{label}: axis {axis} is empty; there is nothing to analyse")
    if values.shape != (size,):
        raise InputError(
            f"{label}: axis {axis} has {values.shape} values for {size} positions in the counts"
        )
    if not np.all(np.isfinite(values)):
        raise InputError(f"{label}: axis {axis} holds NaN or infinite values; mend the calibration")
    if size == 1:
        return
    steps = np.diff(values)
    if np.any(steps <= 0):
        raise InputError(f"{label}: axis {axis} does not increase; flip it together with the data")
    if np.ptp(steps) > 1e-3 * steps.mean():
        raise InputError(f"{label}: axis {axis} is not evenly spaced; resample it first")
