# SPDX-License-Identifier: GPL-3.0-or-later
"""One energy axis and resolution for each of several detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import DetectorAxis, Estimate
from mlatem.preprocessing.axis import AxisFit, fit_axis
from mlatem.preprocessing.split_columns import Builder

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DetectorSpectra:
    """Sum spectra of the detectors whose counts make up the map."""

    names: tuple[str, ...]
    counts: Array
    """Shape (n_detectors, n_energy), on the axis of the file."""

    def __post_init__(self) -> None:
        self.validate()

    def __len__(self) -> int:
        return len(self.names)

    def validate(self) -> None:
        """Check names, shape and signs.

        Raises
        ------
        InputError
        """
        if self.counts.ndim != 2 or len(self.names) != len(self.counts):
            raise InputError(
                f"spectra of the detectors have shape {self.counts.shape} and {len(self.names)} "
                "names: expected (detector, energy) and a name for each"
            )
        if not np.all(np.isfinite(self.counts)) or np.any(self.counts < 0):
            raise InputError(
                "spectra of the detectors hold NaN or negative counts: give raw counts"
            )


#: Where the file does not keep them apart.
NO_DETECTORS = DetectorSpectra((), np.zeros((0, 0)))


def fit_detectors(
    spectra: DetectorSpectra,
    energy: Array,
    window: slice,
    build: Builder,
    *,
    start: AxisFit,
    options: settings.Calibrate,
) -> tuple[DetectorAxis, ...]:
    """Fit the axis of every detector on its own spectrum.

    Parameters
    ----------
    spectra : DetectorSpectra
    energy : ndarray of shape (n_energy,)
        The whole axis of the file, keV.
    window : slice
        Channels that are fitted.
    build : callable
        Dictionary with a column per element and the intensities of the sum spectrum.
    start : AxisFit
        Of the sum: where the fits start, and what a detector with too few counts keeps.
    options : settings.Calibrate

    Returns
    -------
    tuple of DetectorAxis
        Without the detectors that counted nothing.

    Notes
    -----
    Physics is shared: intensities, composition of the absorbing specimen and Fano factor are those
    of the sum. Amounts are free, because each detector sees the specimen, the holder and its shadow
    from another side.
    """
    axes = []
    total = float(spectra.counts[:, window].sum())
    for name, counts in zip(spectra.names, spectra.counts, strict=True):
        own = counts[window]
        if not own.sum() > 0:
            continue
        fit = fit_axis(
            own,
            energy[window],
            build,
            noise_ev=start.noise_ev,
            fano=start.fano,
            options=options,
            start=replace(start, line_factors={}),
            fit_fano=False,
        )
        chosen = fit if fit.fitted else start
        axes.append(
            DetectorAxis(
                name=name,
                share=float(own.sum()) / total,
                energy_offset_kev=_estimate(fit, chosen.offset_kev, fit.offset_sigma_kev),
                energy_gain=_estimate(fit, chosen.gain, fit.gain_sigma),
                noise_ev=_estimate(fit, chosen.noise_ev, fit.noise_sigma_ev),
            )
        )
    return tuple(axes)


def _estimate(fit: AxisFit, value: float, sigma: float | None) -> Estimate:
    return Estimate(value, sigma, "file" if fit.fitted else "default")
