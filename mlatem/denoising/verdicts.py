# SPDX-License-Identifier: GPL-3.0-or-later
"""What a low-rank product says of itself, of the dictionary and of the energy axis, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlatem import settings
from mlatem.denoising.axis_error import AxisError
from mlatem.denoising.held_out import HeldOutSums
from mlatem.denoising.rare_axes import RareAxis, words
from mlatem.denoising.residuals import Suggestion
from mlatem.model import Verdict
from mlatem.model.verdict import Status
from mlatem.units import FWHM_PER_SIGMA

_STAGE_HINT = "add what is in the specimen to elements, what is in the instrument to "
_EV_PER_KEV = 1e3
_HALF_ENDING = {"one half of the photons": ", denoised, against the other"}
#: Resolution at which an error of the width is told, eV FWHM: that of the manganese line.
_FWHM_EV = 130.0


def residual_verdict(suggestions: Sequence[Suggestion], error: AxisError | None) -> Verdict:
    """What the axes outside the dictionary's span look like.

    Parameters
    ----------
    suggestions : sequence of Suggestion
        Of all such axes.
    error : AxisError, optional
        Where some look like a wrong energy axis; the dictionary is in keV.
    """
    n = sum(suggestion.axis > 0 for suggestion in suggestions)
    if not suggestions:
        message = "the dictionary explains all that stands above the noise"
        return Verdict("axes outside the dictionary", 0.0, 0.0, "", "good", message)
    parts = [_missing(s) for s in suggestions if s.kind == "element"]
    if parts:
        parts[-1] += f": {_STAGE_HINT}system_elements"
    ratios = [name for s in suggestions if s.kind == "lines" for name in s.names]
    if ratios:
        named = ", ".join(dict.fromkeys(ratios))
        parts.append(f"lines of {named} in other ratios than the dictionary's")
    if error is not None:
        parts.append(axis_words(error))
    parts += [
        f"axis {s.axis + 1} is not explained: largest at {s.energy:.2f} keV"
        for s in suggestions
        if s.kind == "unknown"
    ]
    message = "; ".join(parts)
    return Verdict("axes outside the dictionary", float(n), 0.0, "", "warning", message)


def rare_verdict(axes: Sequence[RareAxis]) -> Verdict:
    """Elements that only few pixels hold."""
    n_missing = sum(not axis.is_listed for axis in axes)
    message = words(axes) or "no element stands out in few pixels beyond the axes"
    if n_missing:
        message += f": {_STAGE_HINT}system_elements"
    status: Status = "warning" if n_missing else "good"
    return Verdict("elements in few pixels", float(len(axes)), None, "", status, message)


def suggestion_words(suggestion: Suggestion, error: AxisError | None) -> str:
    """What one axis may be, for a caption."""
    if suggestion.kind == "element":
        return _missing(suggestion)
    if suggestion.kind == "lines":
        return f"lines of {suggestion.names[0]} in other ratios"
    if suggestion.kind == "axis" and error is not None:
        return axis_words(error)
    return "not explained"


def axis_words(error: AxisError) -> str:
    """The error of the axis or the lines in words and eV."""
    if error.cause == "offset":
        return (
            f"energy axis off by about {_EV_PER_KEV * error.value:+.1f} eV: calibrate again, with "
            "calibrate.fit true"
        )
    if error.cause == "gain":
        return (
            f"gain of the energy axis off by about {error.value:+.1e}: calibrate again, with "
            "calibrate.fit true"
        )
    fwhm_change = _EV_PER_KEV**2 * error.value * FWHM_PER_SIGMA**2 / (2.0 * _FWHM_EV)
    wider = "wider" if fwhm_change > 0 else "narrower"
    return (
        f"lines are {wider} than the dictionary's, as by {abs(fwhm_change):.1f} eV of "
        f"{_FWHM_EV:.0f} eV: calibrate again"
    )


def held_out_verdict(
    sums: HeldOutSums,
    methods: Sequence[str],
    options: settings.Denoise,
    halves: str = "one half of the photons",
) -> Verdict:
    """Chi-square per voxel of one half, denoised, against the other.

    Parameters
    ----------
    sums : HeldOutSums
    methods : sequence of str
        Their names, in the order of the sums.
    options : settings.Denoise
    halves : str, optional
        What the halves are.
    """
    chi2, sigma = 1.0 + sums.relative, sums.sigma
    chosen = list(methods).index(options.method)
    best = int(np.argmin(chi2))
    names = {
        "none": "counts as they are",
        "binning": f"binning by {options.bin_px} px and {options.bin_channels} channels",
        "low_rank": "low rank",
    }
    told = ", ".join(
        f"{names[method]} {chi2[i]:.4f} \N{PLUS-MINUS SIGN} {sigma[i]:.4f}"
        for i, method in enumerate(methods)
    )
    is_beaten = chi2[chosen] - chi2[best] > 5.0 * (sigma[chosen] + sigma[best])
    other = f"; denoise.method {methods[best]} is nearer to the truth" if is_beaten else ""
    return Verdict(
        "held-out chi-square per voxel",
        float(chi2[chosen]),
        float(chi2[list(methods).index("none")]),
        "",
        "warning" if is_beaten and options.method == "low_rank" else "good",
        f"{halves}{_HALF_ENDING.get(halves, ', the first denoised')} (1: noise alone): "
        f"{told}{other}",
    )


def _missing(suggestion: Suggestion) -> str:
    named = " with ".join(suggestion.names)
    where = f"axis {suggestion.axis + 1}" if suggestion.axis else "what the mean spectrum lacks"
    other = f"; or {', '.join(suggestion.alternatives)}" if suggestion.alternatives else ""
    return (
        f"candidate missing element: {named} ({100 * suggestion.share:.0f} % of {where}, "
        f"{suggestion.strength:.1f} times the edge{other})"
    )
