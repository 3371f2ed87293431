# SPDX-License-Identifier: GPL-3.0-or-later
"""Bruker's metadata as MLATEM's acquisition values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlatem.io.formats.common import Signal, acquisition_values
from mlatem.model import Acquisition, Value

#: Where the resolution of X-ray detectors is quoted.
MN_KA_KEV = 5.895
#: What the vendor reader calls a map without a name.
NO_NAME = "Undefined"


def _dwell_time_s(scan: Mapping[str, Any]) -> float | None:
    """Time on a pixel in one frame: `PixelTime` is in us, and repeated for each average."""
    factors = [scan.get(name) for name in ("PixelTime", "PixelAverage", "LineAverage")]
    known = [float(factor) for factor in factors if factor is not None]
    return 1e-6 * math.prod(known) if len(known) == len(factors) else None


def _resolution_ev(spectrum: Mapping[str, Any]) -> float | None:
    """FWHM at Mn Ka from the variance `SigmaAbs` + `SigmaLin` * energy in keV^2."""
    noise, slope = spectrum.get("SigmaAbs"), spectrum.get("SigmaLin")
    if noise is None or slope is None or float(noise) + float(slope) * MN_KA_KEV <= 0:
        return None
    variance = float(noise) + float(slope) * MN_KA_KEV
    return round(1e3 * math.sqrt(8 * math.log(2) * variance), 3)


def acquisition_of(signal: Signal) -> Acquisition:
    """Acquisition values of the map of one detector."""
    tree, metadata = signal["original_metadata"], signal["metadata"]
    analysis, hardware = tree.get("Analysis", {}), tree.get("Hardware", {})
    microscope, stage = tree.get("Microscope", {}), tree.get("Stage", {})
    general = metadata.get("General", {})
    instrument: Mapping[str, Any] = next(
        iter(metadata.get("Acquisition_instrument", {}).values()), {}
    )
    detector = instrument.get("Detector", {}).get("EDS", {})
    sample = metadata.get("Sample", {}).get("name")
    date = "T".join(str(general[key]) for key in ("date", "time") if general.get(key))
    entries = {
        "beam_energy_kev": microscope.get("HV") or analysis.get("PrimaryEnergy"),
        "elevation_deg": analysis.get("ElevationAngle"),
        "azimuth_deg": analysis.get("AzimutAngle"),
        "stage_tilt_deg": stage.get("Tilt"),
        "real_time_s": detector.get("real_time"),
        "live_time_s": detector.get("live_time"),
        "dwell_time_s": _dwell_time_s(tree.get("DSP Configuration", {})),
        "n_frames": np.ravel(tree.get("Line counter", 0)).max(initial=0),
        "n_detectors": hardware.get("DetectorCount"),
        "energy_resolution_ev": _resolution_ev(tree.get("Spectrum", {})),
        "detector": detector.get("detector_type"),
        "signal_type": metadata.get("Signal", {}).get("signal_type"),
        "sample": None if sample == NO_NAME else sample,
        "date": date,
    }
    # Whether the instrument is a SEM or a TEM is a guess from the beam energy.
    return acquisition_values(entries, origins={"signal_type": "default"})


def shared(found: Sequence[Acquisition]) -> Acquisition:
    """What holds for all detectors: their mean clocks, and the values in which they agree."""
    if len(found) == 1:
        return found[0]
    values = {
        name: value
        for name, value in found[0].values_by_name.items()
        if all(other.get(name) == value for other in found)
    }
    for name in ("live_time_s", "real_time_s"):
        numbers = [number for a in found if (number := a.number(name)) is not None]
        if len(numbers) == len(found):
            values[name] = Value(float(np.mean(numbers)), "file")
    return Acquisition({**values, "n_detectors": Value(len(found), "file")})
