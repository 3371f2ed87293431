# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.errors import InputError
from mlatem.model import (
    Acquisition,
    Basis,
    Calibration,
    Decision,
    Dictionary,
    Factorization,
    PhaseTable,
    RareSearch,
    Verdict,
)
from mlatem.model.pixel_maps import PixelMaps


@dataclass(frozen=True)
class Survey:
    """The image of the area, usually HAADF; its grid may differ from that of the spectra."""

    image: NDArray[Any]
    """Shape (ny, nx)."""
    pixel_nm: float
    """Width of a pixel in nm."""
    name: str = "HAADF"

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Check shape and pixel size.

        Raises
        ------
        InputError
        """
        if self.image.ndim != 2 or not self.image.size:
            raise InputError(
                f"survey image has shape {self.image.shape}, expected (ny, nx) with pixels in it"
            )
        if not (np.isfinite(self.pixel_nm) and self.pixel_nm > 0):
            raise InputError(
                f"survey image: pixel is {self.pixel_nm} nm wide, expected more than 0"
            )


@dataclass(frozen=True)
class MassThickness:
    """The map of mass thickness."""

    values: NDArray[np.floating]
    """Shape (ny, nx); NaN where not known."""
    unit: str
    """"kg/m2", or "1" for a relative one."""
    scale: str
    """What it rests on: "dose", "thickness" or "relative"."""


@dataclass(frozen=True)
class DriftCurve:
    """The drift between the frames of the scan; one entry a frame."""

    y_px: tuple[float, ...]
    x_px: tuple[float, ...]
    is_used: tuple[bool, ...]
    reference: str
    """What it was found on."""


@dataclass(frozen=True)
class SumFit:
    """The sum spectrum in the fitted window, and its fit by the calibrated dictionary."""

    dictionary: Dictionary
    counts: NDArray[np.float64]
    """Shape (n_energy,)."""
    coefficient: NDArray[np.float64]
    """Shape (n_columns,)."""


@dataclass(frozen=True)
class ReportInputs:
    """Everything that is shown of one dataset."""

    dataset: str
    factorization: Factorization
    table: PhaseTable
    maps: PixelMaps
    calibration: Calibration
    acquisition: Acquisition = field(default_factory=Acquisition)
    survey: Survey | None = None
    sum_fit: SumFit | None = None
    """For the picture of the calibration."""
    basis: Basis | None = None
    """Of `denoise`, for the order of the signal."""
    decisions: tuple[Decision, ...] = ()
    """Those of the calibration are added where they are not among them."""
    verdicts: tuple[Verdict, ...] = ()
    """Those of the calibration are added where they are not among them."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Source files, their SHA-256, versions, settings, date; may be nested."""
    total_counts: float = float("nan")
    """Counts of the whole spectrum image; NaN where not known."""
    settings: _settings.Report = field(default_factory=_settings.Report)
    mass_thickness: MassThickness | None = None
    rare: RareSearch | None = None
    drift: DriftCurve | None = None
    """Where it was looked for and found."""
    lowrank: xr.Dataset | None = None
    """What `denoise` gave, with its attributes."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def all_decisions(self) -> tuple[Decision, ...]:
        """The calibration's decisions and those of the other stages, each once."""
        return tuple(dict.fromkeys((*self.calibration.decisions, *self.decisions)))

    @property
    def all_verdicts(self) -> tuple[Verdict, ...]:
        """The calibration's verdicts and those of the other stages, each once."""
        return tuple(dict.fromkeys((*self.calibration.verdicts, *self.verdicts)))

    def validate(self) -> None:
        """Check that the parts belong together.

        Raises
        ------
        InputError
        """
        shape = self.factorization.abundance.shape[:2]
        if self.maps.phase.shape != shape or self.maps.n_phases != self.factorization.n_phases:
            raise InputError(
                f"report of {self.dataset}: pixel maps of {self.maps.phase.shape} pixels and "
                f"{self.maps.n_phases} phases, but the factorization has {shape} and "
                f"{self.factorization.n_phases}: quantify it again"
            )
        n_in_table = self.table.frame["phase"].nunique()
        if n_in_table != self.factorization.n_phases:
            raise InputError(
                f"report of {self.dataset}: the table has {n_in_table} phases, the factorization "
                f"{self.factorization.n_phases}: quantify it again"
            )


@dataclass(frozen=True)
class IndexEntry:
    """One dataset on the page of the campaign."""

    dataset: str
    finished: bool
    message: str = ""
    """Why it failed, naming the file and the mend."""
    n_phases: int | None = None
    elements: tuple[str, ...] = ()
    """Main elements first."""
    total_counts: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    thumbnail: bytes | None = None
    """PNG."""
    report: str = ""
    """Relative link; `<dataset>/report.html` if empty and the dataset is finished."""
    seconds: float | None = None
    """Time of all stages together."""


@dataclass(frozen=True)
class Picture:
    """A figure as it goes into a page."""

    png: bytes
    width_px: int
    """Width on the page in CSS pixels (96 an inch)."""
    text: str
    """What it shows, for those who cannot see it."""


@dataclass(frozen=True)
class RenderedReport:
    """A page and its figures."""

    html: str
    """Self-contained: needs neither the figures beside it nor a network."""
    figures: dict[str, bytes]
    """PNG by file name, for example "phase_map.png"."""
    thumbnail: bytes
    """PNG; the phase map in small."""
