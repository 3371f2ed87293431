# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a vendor's reader returns (data, axes, metadata) to the records of MLATEM."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.elements import SYMBOLS
from mlatem.errors import ReadError
from mlatem.io.exact_json import dumps
from mlatem.io.views import AxisView
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.model.acquisition import Origin
from mlatem.model.spectrum_image import Technique
from mlatem.units import KEV_PER_UNIT, NM_PER_UNIT

_logger = logging.getLogger(__name__)

Signal = Mapping[str, Any]


@dataclass(frozen=True)
class AxisOverrides:
    """What the user says of the axes; None leaves it to the file."""

    energy_offset_kev: float | None = None
    energy_scale_kev: float | None = None
    pixel_size_nm: float | None = None
    signal_type: str | None = None


@dataclass(frozen=True)
class Axis:
    """A linear axis as the vendor gives it."""

    name: str
    size: int
    offset: float
    scale: float
    units: str

    @classmethod
    def of(cls, axis: Mapping[str, Any], size: int) -> Axis:
        """Parse a reader's axis; the size is that of the data, which some readers contradict."""
        units = axis.get("units")
        return cls(
            name=str(axis.get("name") or ""),
            size=size,
            offset=float(axis.get("offset") or 0.0),
            scale=float(1.0 if axis.get("scale") is None else axis["scale"]),
            units="" if units is None else str(units).strip(),
        )

    @property
    def is_flipped(self) -> bool:
        """Whether the positions fall along the axis."""
        return self.scale < 0

    def values(self, factor: float) -> NDArray[np.float64]:
        """Positions in increasing order, in units that are `factor` of the axis's, (size,)."""
        values = factor * (self.offset + self.scale * np.arange(self.size, dtype=float))
        return values[::-1].copy() if self.is_flipped else values


def spectrum_image(
    signal: Signal,
    path: str,
    *,
    energy_axis: int,
    acquisition: Acquisition,
    overrides: AxisOverrides,
) -> SpectrumImage:
    """A map of spectra with positive scales, nm, and keV (EDXS) or eV (EELS).

    Parameters
    ----------
    signal : mapping
        `data` of 3 dimensions, `axes` in the order of the data, `metadata` (HyperSpy's tree).
    path : str
        For messages.
    energy_axis : int
        Index of the spectral axis; the others are y and x in this order.
    acquisition : Acquisition
    overrides : AxisOverrides

    Raises
    ------
    ReadError
        If an axis has no size, no calibration of energy or an impossible scale.
    """
    data = signal["data"]
    order = [axis for axis in range(3) if axis != energy_axis] + [energy_axis]
    axes = [Axis.of(signal["axes"][axis], int(data.shape[axis])) for axis in order]
    _check_axes(axes, path)
    signal_type = overrides.signal_type or str(
        signal["metadata"].get("Signal", {}).get("signal_type") or ""
    )
    technique = _technique(signal_type, axes[2], path)
    energy = _energy(axes[2], technique, overrides, path)
    (y_nm, x_nm), pixel_size, origin = _positions(axes[:2], overrides)
    flipped = [axis.is_flipped for axis in axes]
    counts = data if order == [0, 1, 2] and not any(flipped) else AxisView(data, order, flipped)
    return SpectrumImage(
        counts=counts,
        energy=energy,
        y_nm=y_nm,
        x_nm=x_nm,
        technique=technique,
        acquisition=acquisition,
        name=title_of(signal),
        attrs={
            "pixel_size_nm": pixel_size,
            "pixel_size_origin": origin,
            "elements_in_file": _elements(signal["metadata"]),
            "hyperspy_metadata": dumps(signal["metadata"]),
        },
    )


def with_warning(image: SpectrumImage, sentence: str) -> SpectrumImage:
    """A spectrum image with one more sentence on what is missing or doubtful."""
    warnings = [*image.attrs.get("warnings", ()), sentence]
    return replace(image, attrs={**image.attrs, "warnings": warnings})


def survey_image(signal: Signal, attrs: Mapping[str, Any] | None = None) -> xr.DataArray | None:
    """An image with its own coordinates in nm; None for complex or empty ones."""
    data = np.asarray(signal["data"])
    if data.ndim != 2 or data.dtype.kind not in "uif" or data.size == 0:
        return None
    axes = [Axis.of(a, n) for a, n in zip(signal["axes"], data.shape, strict=True)]
    if any(axis.scale == 0 or not np.isfinite(axis.scale) for axis in axes):
        return None
    (y_nm, x_nm), _, origin = _positions(axes, AxisOverrides())
    view = data[tuple(slice(None, None, -1 if axis.is_flipped else 1) for axis in axes)]
    return xr.DataArray(
        view,
        dims=("y", "x"),
        coords={"y": y_nm, "x": x_nm},
        name=title_of(signal) or "image",
        attrs={"pixel_size_origin": origin, **(attrs or {})},
    )


def title_of(signal: Signal) -> str:
    """Title of a signal, empty where it has none."""
    return str(signal["metadata"].get("General", {}).get("title") or "")


def ordered_surveys(images: Sequence[xr.DataArray | None]) -> tuple[xr.DataArray, ...]:
    """Survey images, dark-field ones first, else in the order of the file."""
    present = [image for image in images if image is not None]

    def rank(image: xr.DataArray) -> int:
        name = str(image.name).upper()
        return 0 if "HAADF" in name else 1 if "DF" in name else 2

    return tuple(sorted(present, key=rank))


def named_trees(entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Metadata trees by title; a title that comes twice gets a number."""
    trees: dict[str, Any] = {}
    for title, tree in entries:
        key, number = title or "signal", 2
        while key in trees:
            key, number = f"{title or 'signal'} {number}", number + 1
        trees[key] = tree
    return trees


def acquisition_values(
    entries: Mapping[str, Any],
    origin: Origin = "file",
    *,
    origins: Mapping[str, Origin] | None = None,
) -> Acquisition:
    """Acquisition of the entries that hold something; what is empty or not a number is left out.

    Parameters
    ----------
    entries : mapping
        Name (see `mlatem.model.acquisition.FIELDS`) to vendor value.
    origin : str, optional
        Of every value.
    origins : mapping, optional
        Origins that differ.
    """
    values = {}
    for name, raw in entries.items():
        value = _clean(name, raw)
        if value is not None:
            values[name] = Value(value, (origins or {}).get(name, origin))
    return Acquisition(values)


_TEXTS = ("microscope", "detector", "signal_type", "date", "sample")
#: Values of zero that mean "not known".
_POSITIVE = (
    "beam_energy_kev",
    "beam_current_na",
    "live_time_s",
    "real_time_s",
    "dwell_time_s",
    "n_frames",
    "n_detectors",
    "solid_angle_sr",
    "energy_resolution_ev",
    "convergence_mrad",
    "collection_mrad",
)


def _clean(name: str, raw: Any) -> float | str | None:
    if raw is None or isinstance(raw, Mapping):
        return None
    if name in _TEXTS:
        return str(raw).strip() or None
    try:
        number = float(raw)
    except (TypeError, ValueError):
        return None
    if not np.isfinite(number) or (name in _POSITIVE and number <= 0):
        return None
    return int(number) if name in ("n_frames", "n_detectors") else number


def _elements(metadata: Mapping[str, Any]) -> list[str]:
    """Elements that somebody picked in the vendor's software; nothing says that they are right."""
    found = metadata.get("Sample", {}).get("elements")
    return [] if found is None else [str(e) for e in np.ravel(found) if str(e) in SYMBOLS]


def _check_axes(axes: Sequence[Axis], path: str) -> None:
    for axis in axes:
        if axis.size == 0:
            raise ReadError(path, f"axis {axis.name!r} is empty", "Export the map again")
        if axis.scale == 0 or not np.isfinite([axis.scale, axis.offset]).all():
            raise ReadError(
                path,
                f"axis {axis.name!r} has scale {axis.scale:g} and offset {axis.offset:g}",
                "Calibrate the axis in the vendor's software and export again",
            )


def _technique(signal_type: str, axis: Axis, path: str) -> Technique:
    kind = signal_type.upper()
    if kind.startswith("EDS"):
        return "edxs"
    if kind.startswith("EELS"):
        return "eels"
    if kind == "" and axis.units == "keV":
        return "edxs"
    raise ReadError(
        path,
        f"signal type {signal_type!r} with energies in {axis.units or 'no unit'!r} is neither EDS "
        "nor EELS",
        "Give signal_type in the sample sheet, or set it in the file (EDS_TEM, EDS_SEM or EELS)",
    )


def _energy(
    axis: Axis, technique: Technique, overrides: AxisOverrides, path: str
) -> NDArray[np.float64]:
    per_kev = 1.0 if technique == "edxs" else 1e3
    if overrides.energy_scale_kev is not None:
        offset = overrides.energy_offset_kev or 0.0
        return per_kev * (offset + overrides.energy_scale_kev * np.arange(axis.size, dtype=float))
    if axis.units not in KEV_PER_UNIT:
        raise ReadError(
            path,
            f"the energy axis {axis.name!r} is not calibrated (unit {axis.units!r}, scale "
            f"{axis.scale:g})",
            "Give energy_scale_kev and energy_offset_kev in the sample sheet, or write them into "
            "the file (Ripple headers: depth-origin, depth-scale, depth-units)",
        )
    if overrides.energy_offset_kev is not None:
        axis = replace(axis, offset=overrides.energy_offset_kev / KEV_PER_UNIT[axis.units])
    return axis.values(per_kev * KEV_PER_UNIT[axis.units])


def _positions(
    axes: Sequence[Axis], overrides: AxisOverrides
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], list[float], Origin]:
    """Positions of rows and columns in nm, the pixel's height and width, and their origin.

    Without a known unit of length a pixel counts as 1 nm, with origin "default".
    """
    if overrides.pixel_size_nm is not None:
        size = float(overrides.pixel_size_nm)
        y, x = (size * np.arange(axis.size, dtype=float) for axis in axes)
        return (y, x), [size, size], "user"
    factors = [NM_PER_UNIT.get(axis.units) for axis in axes]
    if None in factors:
        y, x = (np.arange(axis.size, dtype=float) for axis in axes)
        return (y, x), [1.0, 1.0], "default"
    y, x = (axis.values(f) for axis, f in zip(axes, factors, strict=True) if f is not None)
    sizes = [abs(axis.scale) * f for axis, f in zip(axes, factors, strict=True) if f is not None]
    return (y, x), sizes, "file"
