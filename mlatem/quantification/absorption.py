# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the X-rays of a phase is absorbed, and what is not known of that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.model import Calibration, Factorization
from mlatem.physics.absorption import mass_absorption_m2_kg, mean_escape
from mlatem.physics.detector import efficiency
from mlatem.physics.lines import Lines, emission_lines
from mlatem.physics.own_columns import phase_composition, phase_mass_thickness
from mlatem.settings import Edxs

Array = NDArray[np.float64]

#: Relative standard uncertainty of a thickness that was given, and of a density that was not.
THICKNESS_SIGMA = 0.20
DENSITY_SIGMA = 0.15

#: Relative standard uncertainty of mass attenuation coefficients by photon energy, keV.
_ABSORPTION_SIGMA_KEV = (1.0, 2.0)
_ABSORPTION_SIGMA = (0.15, 0.04)


def coefficient_sigma(energy_kev: ArrayLike) -> Array:
    """Relative standard uncertainty of mass attenuation coefficients.

    Parameters
    ----------
    energy_kev : array-like

    Returns
    -------
    sigma : ndarray

    Notes
    -----
    4 % above 2 keV and 15 % below 1 keV, linear in between: between the tables of xraylib and of
    NIST (FFAST; C. T. Chantler, J. Phys. Chem. Ref. Data 24 (1995) 71), ratios are 0.87 to 1.0
    from 1.7 to 8 keV and within 18 % near the M edges of heavy elements at 0.5 keV.
    """
    return np.interp(
        np.asarray(energy_kev, dtype=np.float64), _ABSORPTION_SIGMA_KEV, _ABSORPTION_SIGMA
    )


def transmission(factorization: Factorization, calibration: Calibration, edxs: Edxs) -> Array:
    """Share of the photons of every phase and column that leave the specimen.

    Parameters
    ----------
    factorization : Factorization
    calibration : Calibration
    edxs : settings.Edxs

    Returns
    -------
    share : ndarray of shape (n_phases, n_columns)
        1 for columns that are not quantified, and everywhere where the thickness is not known.
    """
    share = np.ones_like(factorization.coefficient)
    for phase, column, lines, film in _films(factorization, calibration, edxs):
        share[phase, column] = film.detected(lines) / film.detected(lines, thicker=0.0)
    return share


def absorption_sigma(factorization: Factorization, calibration: Calibration, edxs: Edxs) -> Array:
    """What the uncertainties of absorption do to the coefficients, relative.

    Parameters
    ----------
    factorization : Factorization
    calibration : Calibration
        The uncertainty of its mass thickness is taken where it has one; else 20 % of a thickness
        that was given, and 15 % in quadrature where the density was estimated.
    edxs : settings.Edxs

    Returns
    -------
    sigma : ndarray of shape (n_phases, n_columns, n_causes)
        Relative change of each coefficient for one standard deviation of each independent cause:
        the thickness, which moves all columns together, then the attenuation coefficient of the
        lines of each column. Zero where the thickness is not known.

    Notes
    -----
    ``c ~ counts / sum_lines w_l A_l``: the change of the sum when the path is longer by the
    uncertainty of the thickness, or every attenuation coefficient larger by its own. The
    composition that absorbs is held.
    """
    n_phases, n_columns = factorization.coefficient.shape
    sigma = np.zeros((n_phases, n_columns, 1 + n_columns))
    relative = _thickness_sigma(calibration)
    for phase, column, lines, film in _films(factorization, calibration, edxs):
        detected = film.detected(lines)
        sigma[phase, column, 0] = 1.0 - film.detected(lines, thicker=1.0 + relative) / detected
        stronger = 1.0 + coefficient_sigma(lines.energy_kev)
        sigma[phase, column, 1 + column] = 1.0 - film.detected(lines, thicker=stronger) / detected
    return sigma


def absorption_covariance(coefficient: Array, sigma: Array) -> Array:
    """Covariance of the coefficients of a phase from `absorption_sigma` of that phase.

    Parameters
    ----------
    coefficient : ndarray of shape (n_columns,)
    sigma : ndarray of shape (n_columns, n_causes)

    Returns
    -------
    covariance : ndarray of shape (n_columns, n_columns)
    """
    moved = coefficient[:, None] * sigma
    covariance: Array = moved @ moved.T
    return covariance


def _thickness_sigma(calibration: Calibration) -> float:
    thickness = calibration.mass_thickness_kg_m2
    if thickness.sigma is not None:
        return thickness.sigma / thickness.value
    return float(np.hypot(THICKNESS_SIGMA, DENSITY_SIGMA * (thickness.origin == "default")))


class _Film:
    """One phase as an absorbing film in front of the detector."""

    def __init__(
        self,
        composition: dict[str, float],
        mass_thickness_kg_m2: float,
        calibration: Calibration,
        edxs: Edxs,
        window: Array,
    ) -> None:
        self._composition = composition
        self._mass_thickness = mass_thickness_kg_m2
        self._take_off = calibration.take_off
        self._edxs = edxs
        self._window = window

    def detected(self, lines: Lines, thicker: float | Array = 1.0) -> float:
        """Barn in the window, with the absorbing path times `thicker` (for each line)."""
        inside = (lines.energy_kev >= self._window[0]) & (lines.energy_kev <= self._window[-1])
        weight = lines.cross_section_barn * efficiency(lines.energy_kev, self._edxs.detector)
        chi = mass_absorption_m2_kg(self._composition, lines.energy_kev)
        chi = chi * self._mass_thickness * thicker
        escaping = mean_escape(chi, self._take_off)
        return float((weight * escaping)[inside].sum())


def _films(
    factorization: Factorization, calibration: Calibration, edxs: Edxs
) -> Iterator[tuple[int, int, Lines, _Film]]:
    """Every phase and quantified column, with the lines of the column and the film it is in."""
    dictionary = factorization.dictionary
    if not calibration.mass_thickness_kg_m2.value > 0:
        return
    beam = calibration.beam_energy_kev.value
    thickness = _mass_thickness(factorization, calibration, edxs)
    for phase, coefficient in enumerate(factorization.coefficient):
        composition = phase_composition(dictionary, coefficient)
        if not composition:
            continue
        film = _Film(composition, thickness[phase], calibration, edxs, dictionary.energy)
        for column in np.flatnonzero(dictionary.quantified):
            yield phase, int(column), emission_lines(dictionary.elements[column], beam), film


def _mass_thickness(factorization: Factorization, calibration: Calibration, edxs: Edxs) -> Array:
    """Where each phase is, kg/m2, shape (n_phases,)."""
    abundance = factorization.abundance.reshape(-1, factorization.n_phases)
    return phase_mass_thickness(
        factorization.dictionary,
        factorization.coefficient,
        abundance,
        factorization.used.ravel().astype(np.int64),
        calibration,
        from_counts=edxs.thickness_from_counts,
    )
