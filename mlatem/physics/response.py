# SPDX-License-Identifier: GPL-3.0-or-later
"""What the silicon makes of a line: escape peak and tail of lost charge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.physics.detector import fwhm_ev, photo_absorption_silicon_m2_kg
from mlatem.physics.layers import KG_M2_PER_NM_G_CM3, SILICON_G_CM3
from mlatem.physics.relaxation import fluorescence_yield
from mlatem.units import FWHM_PER_SIGMA

#: Energies of silicon: K alpha, and the K edge below which no K photon is made, keV.
SILICON_K_ALPHA_KEV = 1.740
SILICON_K_EDGE_KEV = 1.839

_SILICON = 14
#: The tail is divided into so many peaks; losses below this part of the line's standard deviation
#: are one with the line.
_TAIL_PEAKS = 16
_UNRESOLVED_SIGMAS = 0.7
#: Widening of the parts of the tail, so that they join without ripple.
_TAIL_OVERLAP = 1.5
#: Escape peaks and parts of tails below this part of their group stay in their line.
_LEAST_SHARE = 1e-6


class Peaks(NamedTuple):
    """Peaks in the spectrum, Gaussian but for the natural width of lines."""

    line: NDArray[np.intp]
    """Shape (n_peaks,); the line that each peak belongs to."""
    energy_kev: NDArray[np.float64]
    sigma_kev: NDArray[np.float64]
    area: NDArray[np.float64]
    half_width_kev: NDArray[np.float64]
    """Half of the natural width at half maximum; 0 for escape peaks and parts of tails."""


def escape_fraction(energy_kev: ArrayLike) -> NDArray[np.float64]:
    """Share of the counts of a line that are in its escape peak.

    Parameters
    ----------
    energy_kev : array-like
        Energy of the line.

    Returns
    -------
    ndarray
        Of the shape of `energy_kev`; zero up to the K edge of silicon.

    Notes
    -----
    ``(1/2) w r [1 - (mu_K / mu) ln(1 + mu / mu_K)]``: the K photons of silicon that leave through
    the front face, for normal incidence (S. J. B. Reed and N. G. Ware, Journal of Physics E 5
    (1972) 582). w is the K fluorescence yield of silicon, r the share of the K shell in its
    absorption, mu and mu_K the attenuation of the line and of Si K alpha.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    above = energy > SILICON_K_EDGE_KEV
    jump = float(xraylib.JumpFactor(_SILICON, xraylib.K_SHELL))
    share = 0.5 * fluorescence_yield("Si", "K") * (1.0 - 1.0 / jump)
    ratio = photo_absorption_silicon_m2_kg(SILICON_K_ALPHA_KEV) / photo_absorption_silicon_m2_kg(
        np.where(above, energy, 2.0)
    )
    return np.where(above, share * (1.0 - ratio * np.log1p(1.0 / ratio)), 0.0)


def detector_peaks(
    energy_kev: NDArray[np.float64],
    area: NDArray[np.float64],
    resolution: tuple[float, float],
    detector: settings.Detector,
    share: NDArray[np.float64] | None = None,
    natural_width_kev: NDArray[np.float64] | None = None,
) -> Peaks:
    """Peaks that lines make in the spectrum, with their escape peaks and tails.

    Parameters
    ----------
    energy_kev, area : ndarray of shape (n_lines,)
    resolution : (float, float)
        Noise (FWHM, eV) and Fano factor.
    detector : settings.Detector
        Its `escape`, `tail_depth_nm` and `tail_loss` are used.
    share : ndarray of shape (n_lines,), optional
        Of each line in its group, such as a family; 1 if not given. Peaks of less than a millionth
        of the group are not made: their counts stay in their line.
    natural_width_kev : ndarray of shape (n_lines,), optional
        Full width at half maximum; 0 if not given.

    Returns
    -------
    Peaks
        The peaks of a line add up to its area.
    """
    line = np.arange(energy_kev.size)
    share = np.ones(energy_kev.size) if share is None else share
    width = np.zeros(line.size) if natural_width_kev is None else natural_width_kev
    peaks = Peaks(line, energy_kev, _sigma_kev(energy_kev, resolution), area, 0.5 * width)
    if detector.tail_depth_nm > 0:
        peaks = _with_tails(peaks, share, resolution, detector.tail_depth_nm, detector.tail_loss)
    if detector.escape:
        peaks = _with_escapes(peaks, share, energy_kev, area, resolution)
    return peaks


def _sigma_kev(
    energy_kev: NDArray[np.float64], resolution: tuple[float, float]
) -> NDArray[np.float64]:
    return 1e-3 * fwhm_ev(energy_kev, *resolution) / FWHM_PER_SIGMA


def _with_escapes(
    peaks: Peaks,
    share: NDArray[np.float64],
    energy: NDArray[np.float64],
    area: NDArray[np.float64],
    resolution: tuple[float, float],
) -> Peaks:
    fraction = escape_fraction(energy)
    fraction[fraction * share <= _LEAST_SHARE] = 0.0
    escaping = np.flatnonzero(fraction)
    position = energy[escaping] - SILICON_K_ALPHA_KEV
    return Peaks(
        np.concatenate([peaks.line, escaping]),
        np.concatenate([peaks.energy_kev, position]),
        np.concatenate([peaks.sigma_kev, _sigma_kev(position, resolution)]),
        np.concatenate([peaks.area * (1.0 - fraction[peaks.line]), (fraction * area)[escaping]]),
        np.concatenate([peaks.half_width_kev, np.zeros(escaping.size)]),
    )


def _with_tails(
    peaks: Peaks,
    share_of_line: NDArray[np.float64],
    resolution: tuple[float, float],
    depth_nm: float,
    loss: float,
) -> Peaks:
    """Each peak as a core and peaks of lost charge.

    Notes
    -----
    A photon that is absorbed at depth z loses the share ``s exp(-z/d)`` of its charge (after M.
    Popp et al., Nuclear Instruments and Methods A 439 (2000) 567). With the absorption coefficient
    mu and ``a = mu d`` the losses L at energy E are distributed as ``P(L < l) = (l / sE)^a``. The
    distribution is divided at l in geometric steps; each part becomes a Gaussian at its mean, half
    as wide again as the part, and widened by the detector's resolution.
    """
    exponent = (
        photo_absorption_silicon_m2_kg(peaks.energy_kev)
        * (SILICON_G_CM3 * KG_M2_PER_NM_G_CM3 * depth_nm)
    )[:, None]
    exponent = np.maximum(exponent, 1e-12)
    most = loss * peaks.energy_kev
    least = np.minimum(_UNRESOLVED_SIGMAS * peaks.sigma_kev, most)
    steps = np.linspace(0.0, 1.0, _TAIL_PEAKS + 1)
    limits = least[:, None] * (most / least)[:, None] ** steps
    limits = np.concatenate([np.zeros((most.size, 1)), limits], axis=1)
    share, first, second = (
        np.diff(limits**n * (limits / most[:, None]) ** exponent, axis=1)
        * (exponent / (exponent + n))
        for n in range(3)
    )
    weight = np.maximum(share, 1e-300)
    mean = first / weight
    variance = np.maximum(second / weight - mean**2, 0.0)
    energy = peaks.energy_kev[:, None] - mean
    variance[:, 1:] *= _TAIL_OVERLAP**2
    sigma = np.sqrt(_sigma_kev(energy, resolution) ** 2 + variance)
    keep = share_of_line[:, None] * share > _LEAST_SHARE
    keep[:, 0] = True
    share[:, 0] += np.where(keep, 0.0, share).sum(axis=1)
    half_width = np.zeros(share.shape)
    half_width[:, 0] = peaks.half_width_kev
    return Peaks(
        np.broadcast_to(peaks.line[:, None], share.shape)[keep],
        energy[keep],
        sigma[keep],
        (peaks.area[:, None] * share)[keep],
        half_width[keep],
    )
