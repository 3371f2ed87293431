# SPDX-License-Identifier: GPL-3.0-or-later
"""What a calibration decided, and how good it is, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Calibration, Decision, Estimate, Verdict
from mlatem.preprocessing.axis import AxisFit
from mlatem.preprocessing.poisson_fit import CountsFit

_STAGE = "calibrate"
_FEWEST_COUNTS_PER_PIXEL = 10.0
_DEVIANCE_LIMIT = 2.0
_SHIFT_LIMIT_EV = 20.0
_NAMED_FACTORS = 4


def axis_decision(axis: AxisFit) -> Decision:
    """What became of the energy axis."""
    if not axis.fitted:
        return Decision(
            _STAGE, "energy axis of the file kept as it is", axis.reason, "calibrate.fit"
        )
    stretch = (
        f" and stretched by {1e4 * axis.gain:+.1f}e-4" if axis.gain_sigma is not None else " only"
    )
    return Decision(
        _STAGE,
        f"energy axis shifted by {1e3 * axis.offset_kev:+.1f} eV{stretch}, noise "
        f"{axis.noise_ev:.0f} eV, Fano factor {axis.fano:.3f}",
        axis.reason,
        "calibrate.fit",
    )


def factors_decision(axis: AxisFit) -> tuple[Decision, ...]:
    """What became of the line intensities; nothing where all are as tabulated."""
    if not axis.line_factors:
        return ()
    by_change = sorted(axis.line_factors.items(), key=lambda item: -abs(np.log(item[1].value)))
    named = ", ".join(f"{name} {factor.value:.2f}" for name, factor in by_change[:_NAMED_FACTORS])
    return (
        Decision(
            _STAGE,
            f"intensities of {len(axis.line_factors)} sub-shells taken from the sum spectrum; "
            f"furthest from the tables: {named}",
            "the data know them better than the tables do; the best known family of each element "
            "keeps its intensity",
            "calibrate.line_factors",
        ),
    )


def absorption_decision(thickness_nm: Estimate | None, thickness: Estimate) -> Decision:
    """What became of absorption in the specimen."""
    if thickness_nm is None:
        return Decision(
            _STAGE,
            "absorption in the specimen left out",
            "the thickness is not known; light elements come out too low in a thick specimen",
            "column thickness_nm",
        )
    return Decision(
        _STAGE,
        f"absorption of {thickness_nm.value:g} nm, {1e6 * thickness.value:.0f} mg/m2 "
        "of the mean composition",
        f"thickness given; density {'given' if thickness.origin == 'user' else 'estimated'}",
        "columns thickness_nm, density_g_cm3",
    )


def detectors_decision(calibration: Calibration, pooled: CountsFit) -> tuple[Decision, ...]:
    """What became of several detectors; nothing where the file holds one spectrum."""
    if not calibration.detectors:
        return ()
    offsets = [1e3 * d.energy_offset_kev.value for d in calibration.detectors]
    gains = [1e4 * d.energy_gain.value for d in calibration.detectors]
    return (
        Decision(
            _STAGE,
            f"an axis and a resolution for each of {len(offsets)} detectors",
            f"their shifts span {np.ptp(offsets):.1f} eV, their stretches {np.ptp(gains):.1f}e-4; "
            f"with one axis for all the sum fits with {pooled.deviance_per_dof:.2f} deviance/dof, "
            f"with its own for each with {calibration.deviance_per_dof:.2f}",
            "calibrate.per_detector",
        ),
    )


def verdicts(
    counts: NDArray[np.float64],
    energy: NDArray[np.float64],
    n_pixels: int,
    axis: AxisFit,
    deviance: float,
) -> tuple[Verdict, ...]:
    """Counts, fit and shift, each with the threshold beyond which it is a warning."""
    per_pixel = float(counts.sum() / n_pixels)
    shift_ev = 1e3 * float(np.max(np.abs(energy * axis.gain + axis.offset_kev)))
    return (
        Verdict(
            "counts per pixel",
            per_pixel,
            _FEWEST_COUNTS_PER_PIXEL,
            "",
            "good" if per_pixel >= _FEWEST_COUNTS_PER_PIXEL else "warning",
            "enough to tell phases apart"
            if per_pixel >= _FEWEST_COUNTS_PER_PIXEL
            else "few: phases are found on pooled pixels, single pixels say little",
        ),
        Verdict(
            "fit of the sum spectrum",
            deviance,
            _DEVIANCE_LIMIT,
            "deviance/dof",
            "good" if deviance <= _DEVIANCE_LIMIT else "warning",
            "the elements and the continuum explain the spectrum"
            if deviance <= _DEVIANCE_LIMIT
            else "an element may be missing, or line shapes differ: look at the residuals",
        ),
        Verdict(
            "shift of the energy axis",
            shift_ev,
            _SHIFT_LIMIT_EV,
            "eV",
            "good" if shift_ev <= _SHIFT_LIMIT_EV else "warning",
            "the file's axis was close"
            if shift_ev <= _SHIFT_LIMIT_EV
            else "the file's axis was off and has been corrected: check the residuals",
        ),
    )
