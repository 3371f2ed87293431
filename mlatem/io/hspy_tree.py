# SPDX-License-Identifier: GPL-3.0-or-later
"""HyperSpy's metadata tree and axes of the signals of a store."""

from __future__ import annotations

from typing import Any

import xarray as xr

from mlatem.io.exact_json import loads
from mlatem.io.hspy_file import axis
from mlatem.model import SpectrumImage, Value

#: Places of acquisition values below `Acquisition_instrument.TEM` (or `SEM`).
_INSTRUMENT = {
    "beam_energy_kev": ("beam_energy",),
    "beam_current_na": ("beam_current",),
    "convergence_mrad": ("convergence_angle",),
    "microscope": ("microscope",),
    "stage_tilt_deg": ("Stage", "tilt_alpha"),
}
_EDXS = {
    "elevation_deg": ("Detector", "EDS", "elevation_angle"),
    "azimuth_deg": ("Detector", "EDS", "azimuth_angle"),
    "energy_resolution_ev": ("Detector", "EDS", "energy_resolution_MnKa"),
    "live_time_s": ("Detector", "EDS", "live_time"),
    "real_time_s": ("Detector", "EDS", "real_time"),
    "dwell_time_s": ("Detector", "EDS", "dwell_time"),
    "n_frames": ("Detector", "EDS", "number_of_frames"),
    "detector": ("Detector", "EDS", "detector_type"),
}
_EELS = {
    "collection_mrad": ("Detector", "EELS", "collection_angle"),
    "dwell_time_s": ("Detector", "EELS", "dwell_time"),
}


def metadata_of_image(image: SpectrumImage) -> dict[str, Any]:
    """HyperSpy's tree of a spectrum image.

    It is the tree that came with the raw file. Acquisition values that it lacks, or that the user
    corrected, are put in; assumed ones are not. Pixels that are left out are
    `MLATEM.navigation_mask`, the name under which HyperSpy's `decomposition` takes it.
    """
    stored = image.attrs.get("hyperspy_metadata")
    tree: dict[str, Any] = loads(stored) if stored else {}
    _put(tree, ("General", "title"), Value(image.name, "file"))
    acquisition = image.acquisition
    fallback = Value("EDS_TEM" if image.technique == "edxs" else "EELS", "default")
    _put(tree, ("Signal", "signal_type"), acquisition.get("signal_type", fallback))
    kind = "SEM" if str(tree["Signal"]["signal_type"]).endswith("SEM") else "TEM"
    present = tree.get("Acquisition_instrument") or {}
    kind = next((name for name in ("TEM", "SEM") if present.get(name)), kind)
    places = _INSTRUMENT | (_EDXS if image.technique == "edxs" else _EELS)
    for name, place in places.items():
        if name in acquisition and acquisition[name].origin != "default":
            _put(tree, ("Acquisition_instrument", kind, *place), acquisition[name])
    if "sample" in acquisition:
        _put(tree, ("Sample", "name"), acquisition["sample"])
    if "date" in acquisition:
        day, _, clock = str(acquisition["date"].value).partition("T")
        for key, text in (("date", day), ("time", clock)):
            if text:
                _put(tree, ("General", key), Value(text, acquisition["date"].origin))
    return tree if image.mask is None else {**tree, "MLATEM": {"navigation_mask": image.mask}}


def axes_of_image(image: SpectrumImage) -> list[dict[str, Any]]:
    """HyperSpy's axes of a spectrum image: y, x in nm, Energy in keV or Energy loss in eV."""
    spectral = "Energy" if image.technique == "edxs" else "Energy loss"
    return [
        axis("y", image.y_nm, "nm", is_spectral=False, is_navigation=True),
        axis("x", image.x_nm, "nm", is_spectral=False, is_navigation=True),
        axis(spectral, image.energy, image.energy_unit, is_spectral=True, is_navigation=False),
    ]


def metadata_of_survey(survey: xr.DataArray) -> dict[str, Any]:
    """HyperSpy's tree of a survey image; its title is the array's name."""
    return {"General": {"title": str(survey.name or "")}, "Signal": {"signal_type": ""}}


def axes_of_survey(survey: xr.DataArray) -> list[dict[str, Any]]:
    """HyperSpy's axes of a survey image: y and x in nm."""
    return [
        axis(name, survey[name].to_numpy(), "nm", is_spectral=False, is_navigation=False)
        for name in ("y", "x")
    ]


def _put(tree: dict[str, Any], place: tuple[str, ...], value: Value) -> None:
    """Set a value where there is none, or where the user knows better."""
    *branches, leaf = place
    for branch in branches:
        below = tree.get(branch)
        tree[branch] = below if isinstance(below, dict) else {}
        tree = tree[branch]
    if value.origin == "user" or tree.get(leaf) in (None, ""):
        tree[leaf] = value.value
