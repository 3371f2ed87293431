# SPDX-License-Identifier: GPL-3.0-or-later
"""The calibration in pictures and tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mlatem.model import Calibration, Estimate, Factorization
from mlatem.reporting.colors import phase_color
from mlatem.reporting.drawing import FONT_PT, INK, finish, new_figure
from mlatem.reporting.inputs import Picture, SumFit
from mlatem.reporting.numbers import NOTHING, fixed
from mlatem.reporting.spectra import PhaseSpectrum, dress, fit_picture
from mlatem.reporting.tables import estimate_row

_WIDTH_IN, _HEIGHT_IN = 5.2, 2.9
_COLOR = "#0072B2"


def calibration_pictures(
    calibration: Calibration, fit: SumFit | None, *, dpi: int
) -> dict[str, Picture]:
    """Sum spectrum with its model, and the correction of the axis; what there is of them."""
    if fit is None:
        return {}
    parts = fit.coefficient[:, None] * fit.dictionary.columns
    spectrum = PhaseSpectrum(fit.dictionary.energy, fit.counts, parts)
    pictures = {
        "sum_spectrum": fit_picture(
            spectrum,
            fit.dictionary,
            color=_COLOR,
            dpi=dpi,
            text="sum spectrum with the model and the residual",
        )
    }
    if calibration.energy_offset_kev.sigma is not None:
        pictures["axis_correction"] = _axis_picture(calibration, fit.dictionary.energy, dpi=dpi)
    return pictures


def correction_ev(
    calibration: Calibration, energy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What was added to the file's energies, and its standard deviation, eV.

    Parameters
    ----------
    calibration : Calibration
    energy : ndarray of shape (n_energy,)
        Of the file, keV.

    Returns
    -------
    correction, sigma : ndarray of shape (n_energy,)
        ``offset + gain E``; the variance holds the covariance of offset and gain.
    """
    offset, gain = calibration.energy_offset_kev, calibration.energy_gain
    offset_sigma, gain_sigma = offset.sigma or 0.0, gain.sigma or 0.0
    covariance = (calibration.offset_gain_correlation or 0.0) * offset_sigma * gain_sigma
    variance = offset_sigma**2 + 2 * covariance * energy + (gain_sigma * energy) ** 2
    return 1e3 * (offset.value + gain.value * energy), 1e3 * np.sqrt(np.maximum(variance, 0.0))


def _axis_picture(calibration: Calibration, energy: NDArray[np.float64], *, dpi: int) -> Picture:
    of_file = calibration.on_file_axis(energy)
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    axes = figure.add_axes((0.12, 0.16, 0.85, 0.8))
    for index, detector in enumerate(calibration.detectors):
        shift = 1e3 * (detector.corrected(of_file) - of_file)
        axes.plot(of_file, shift, color=phase_color(index), linewidth=1, label=detector.name)
    _draw_sum(axes, calibration, of_file)
    axes.axhline(0, color="#9AA0A8", linewidth=0.6)
    axes.set_xlim(of_file[0], of_file[-1])
    dress(axes, "correction / eV")
    axes.yaxis.set_label_coords(-0.09, 0.5)
    axes.set_xlabel("energy of the file / keV", fontsize=FONT_PT, color=INK)
    if calibration.detectors:
        axes.legend(fontsize=FONT_PT, frameon=False)
    return finish(figure, dpi=dpi, text="correction of the energy axis with its uncertainty")


def _draw_sum(axes: Axes, calibration: Calibration, of_file: NDArray[np.float64]) -> None:
    correction, sigma = correction_ev(calibration, of_file)
    axes.fill_between(
        of_file, correction - sigma, correction + sigma, color=INK, alpha=0.2, linewidth=0
    )
    axes.plot(of_file, correction, color=INK, linewidth=1.6, label="sum")


def detector_rows(calibration: Calibration) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Name, and share, offset, gain and noise as text, of each detector."""
    return tuple(
        (
            detector.name,
            (
                fixed(100 * detector.share, 1),
                _text(detector.energy_offset_kev, 1e3),
                _text(detector.energy_gain, 1e3),
                _text(detector.noise_ev, 1.0),
            ),
        )
        for detector in calibration.detectors
    )


def _text(estimate: Estimate, scale: float) -> str:
    return estimate_row("", estimate, "", scale).value


@dataclass(frozen=True)
class FactorRow:
    """Intensity of a sub-shell's lines over the tabulated one."""

    name: str
    used: str
    """In the columns of the phases."""
    of_sum: str
    """As the sum spectrum shows it, with the absorption in the mean composition."""
    fitted_again: bool
    """Whether it was fitted together with the phases; if not, that of the sum was used."""


def factor_rows(calibration: Calibration, factorization: Factorization) -> tuple[FactorRow, ...]:
    """The intensities of sub-shells that were used, beside those of the sum spectrum."""
    again = factorization.line_factors
    rows = []
    for name in sorted({*calibration.line_factors, *again}):
        of_sum = used = calibration.line_factors.get(name)
        if name in again:
            value, counts, tables = again[name]
            used = Estimate(value, math.hypot(counts, tables), "file")
        rows.append(FactorRow(name, _factor_text(used), _factor_text(of_sum), name in again))
    return tuple(rows)


def _factor_text(factor: Estimate | None) -> str:
    return NOTHING if factor is None else _text(factor, 1.0)
