# SPDX-License-Identifier: GPL-3.0-or-later
"""What a raw file holds, as records: the same whatever the vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError, ReadError
from mlatem.io.identity import Identity
from mlatem.model import SpectrumImage


@dataclass(frozen=True)
class Split:
    """The X-ray map taken apart along one more axis; the parts add up to it."""

    axis: Literal["detector", "frame"]
    labels: tuple[str | int, ...]
    """Names of the detectors, or numbers of the frames from 1."""
    parts: tuple[Any, ...]
    """Counts of shape (ny, nx, n_energy) of each, like those of the map."""

    @property
    def group(self) -> str:
        """Group of the store."""
        return f"edxs_{self.axis}s"

    def images(self, image: SpectrumImage) -> list[SpectrumImage]:
        """The parts as spectrum images on the grid of the map."""
        return [replace(image, counts=part) for part in self.parts]


#: By how many rows and columns each frame is moved; None for one that is left out.
Moves = Sequence[tuple[int, int] | None]


@dataclass(frozen=True)
class Frames:
    """The frames of an X-ray map, one by one, and summed after each was moved."""

    n_frames: int
    totals_of: Callable[[int], NDArray[np.int64]]
    """Counts of the pixels (ny, nx) of a frame, from 0."""
    moved: Callable[[Moves], Any]
    """Counts of shape (ny, nx, n_energy), lazy, of the frames as they were moved: event by event,
    without interpolation. What leaves the map is lost, what is not covered holds no counts."""
    image_of: Callable[[int], NDArray[Any]] | None = None
    """Electron image (ny, nx) that was recorded with a frame; None where there is none."""
    image_name: str = ""


@dataclass(frozen=True)
class RawSignals:
    """Spectrum images, survey images and metadata of one dataset."""

    spectrum_images: tuple[SpectrumImage, ...]
    """At most one of each grid name (see `group_names`)."""
    surveys: tuple[xr.DataArray, ...] = ()
    """Images with dims (y, x), coordinates in nm and a name; the best survey image first."""
    original_metadata: Mapping[str, Any] = field(default_factory=dict)
    """The vendor's tree, exactly as the file has it."""
    sources: tuple[Mapping[str, Any], ...] = ()
    """Of each raw file: file (name), sha256, size_bytes, reader, versions; JSON-safe."""
    path: str = ""
    """File that messages name; empty for signals that come from no file."""
    resident_bytes: int = 0
    """Memory that the signals hold while they are open."""
    files_beside: tuple[Path, ...] = ()
    """Files that `path` names and that were read with it."""
    identity: Identity | None = None
    """Which acquisition the file is part of; None where it does not tell."""
    detector_spectra: xr.DataArray | None = None
    """Sum spectrum of each X-ray detector (detector, energy) as it went into the map; None where
    the file does not tell detectors apart."""
    splits: tuple[Split, ...] = ()
    """Detectors and frames of the X-ray map, where they were asked for and the file has them."""
    frames: Frames | None = None
    """Those that are summed in the X-ray map, where the file tells several apart."""
    n_frames: int | None = None
    """Frames that the file tells apart; None where it knows only their sum."""
    holds: str = ""
    """What the file holds, in words, for the message that it has no spectrum image."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def group_names(self) -> tuple[str, ...]:
        """Group of the store for each spectrum image: "edxs", "eels_core" or "eels_lowloss".

        Where a detector records several ranges of core losses at once, the second is "eels_core_2".
        """
        kinds = [group_of(image) for image in self.spectrum_images]
        earlier = [kinds[:index].count(kind) for index, kind in enumerate(kinds)]
        return tuple(f"{k}_{n + 1}" if n else k for k, n in zip(kinds, earlier, strict=True))

    def validate(self) -> None:
        """Check that every signal has a place of its own in a store.

        Raises
        ------
        InputError
            If two spectrum images claim one group, or an image lacks its axes.
        """
        kinds = [group_of(image) for image in self.spectrum_images]
        for kind in ("edxs", "eels_lowloss"):
            if kinds.count(kind) > 1:
                raise InputError(
                    f"{self.path or 'signals'}: {kinds.count(kind)} spectrum images of one kind "
                    f"({kind}); expected one: make a dataset of each"
                )
        for survey in self.surveys:
            if survey.dims != ("y", "x") or not {"y", "x"} <= set(survey.coords):
                raise InputError(
                    f"survey image {survey.name!r} has dimensions {survey.dims}, expected ('y', "
                    "'x') with coordinates in nm"
                )

    @property
    def xray_map(self) -> SpectrumImage | None:
        """The X-ray map; None where there is none."""
        found = (image for image in self.spectrum_images if image.technique == "edxs")
        return next(found, None)

    def refuse(self, cause: str, mend: str) -> NoReturn:
        """Raise a `ReadError` that names the file, or an `InputError` where there is none."""
        if self.path:
            raise ReadError(self.path, cause, mend)
        raise InputError(f"{cause}. {mend}")


def detector_spectra(names: Sequence[str], spectra: Any) -> xr.DataArray:
    """Sum spectra of detectors with their names, which a number makes unique.

    Parameters
    ----------
    names : sequence of str
    spectra : array-like of shape (n_detectors, n_energy)
        Along the axis of the map.
    """
    return xr.DataArray(
        np.asarray(spectra, dtype=np.uint64),
        dims=("detector", "energy"),
        coords={"detector": unique_names(names)},
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of detectors: those without one, or with that of another, get a number."""
    found: list[str] = []
    for number, name in enumerate(names, start=1):
        is_alone = bool(name) and list(names).count(name) == 1
        found.append(name if is_alone else f"{name or 'detector'} {number}")
    return found


def group_of(image: SpectrumImage) -> str:
    """Group of a spectrum image by its technique and its axis: the low loss covers 0 eV."""
    if image.technique == "edxs":
        return "edxs"
    return "eels_lowloss" if image.energy[0] <= 0 <= image.energy[-1] else "eels_core"


def with_grid_warnings(images: Sequence[SpectrumImage]) -> tuple[SpectrumImage, ...]:
    """Spectrum images of several files; where their sizes differ, all carry a warning."""
    sizes = {group_of(image): image.shape[:2] for image in images}
    if len(set(sizes.values())) < 2:
        return tuple(images)
    found = " but ".join(f"{group} has {ny} x {nx} pixels" for group, (ny, nx) in sizes.items())
    sentence = f"{found}: they are not of one scan and cannot be compared pixel by pixel"
    return tuple(
        replace(
            image, attrs={**image.attrs, "warnings": [*image.attrs.get("warnings", ()), sentence]}
        )
        for image in images
    )
