# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of phases and pixels, and mass thickness."""

import xarray as xr

from mlatem import settings as _settings
from mlatem.api.data import factorization_record
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import (
    Calibration,
    Factorization,
    PhaseTable,
)
from mlatem.physics.calibrated_factors import calibrated_family_factors
from mlatem.physics.standardless import usual_lines
from mlatem.quantification.absorption import absorption_sigma, transmission
from mlatem.quantification.edxs import quantify as quantify_phases
from mlatem.quantification.factor_effects import factor_effects
from mlatem.quantification.maps import pixel_maps
from mlatem.quantification.mass_thickness import mass_thickness_map
from mlatem.quantification.methods import Method, method_of


def quantify(
    factorization: xr.Dataset | Factorization,
    *,
    calibration: Calibration | None = None,
    dataset: str = "",
    edxs: _settings.Edxs | None = None,
    settings: _settings.Quantify | None = None,
) -> PhaseTable:
    """Atomic and weight percent of every phase.

    Parameters
    ----------
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, `sigma_sys` holds the uncertainty of the absorption, and
        errors of line intensities are weighed as the lines weigh in the fit; where the dose and
        the solid angle are known, mass thicknesses are told.
    dataset : str, optional
        Name written into the table.
    edxs, settings : settings records, optional

    Returns
    -------
    PhaseTable
    """
    result = factorization_record(factorization)
    settings = settings or _settings.Quantify()
    if calibration is None:
        method = method_of(settings, None, solid_angle_sr=None)
        return quantify_phases(result, dataset=dataset, settings=settings, method=method)
    edxs = with_detector_file(edxs)
    return quantify_phases(
        result,
        dataset=dataset,
        settings=settings,
        absorption_sigma=absorption_sigma(result, calibration, edxs),
        effects=factor_effects(result, calibration, edxs),
        method=_method(calibration, edxs, settings),
        transmission=transmission(result, calibration, edxs),
    )


def quantify_pixels(
    factorization: xr.Dataset | Factorization,
    *,
    settings: _settings.Quantify | None = None,
) -> xr.Dataset:
    """Maps of atomic percent with their standard deviations, and the phase map.

    Parameters
    ----------
    factorization, settings
        As for `quantify`.

    Returns
    -------
    maps : Dataset
        `atomic_percent` and `sigma` (y, x, element), `phase` (y, x); see `mlatem.model.PixelMaps`.
    """
    return pixel_maps(factorization_record(factorization), settings=settings).to_dataset()


def mass_thickness(
    factorization: xr.Dataset | Factorization,
    calibration: Calibration,
    *,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Quantify | None = None,
) -> xr.Dataset:
    """Mass thickness of every pixel along the beam, from its counts.

    Parameters
    ----------
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    calibration : Calibration
        From `mlatem.calibrate`; where it knows dose and solid angle, the map is absolute.
    edxs, settings : settings records, optional

    Returns
    -------
    maps : Dataset
        `mass_thickness_kg_m2` and its sigma (y, x), or `relative_mass_thickness` where neither dose
        nor thickness is known; see `mlatem.quantification.mass_thickness`.
    """
    method = _method(calibration, with_detector_file(edxs), settings or _settings.Quantify())
    return mass_thickness_map(
        factorization_record(factorization),
        calibration,
        counts_per_atom_barn=method.counts_per_atom_barn,
    )


def _method(calibration: Calibration, edxs: _settings.Edxs, settings: _settings.Quantify) -> Method:
    """The method with the solid angle that the factors imply, or else that of the acquisition."""
    elements = calibration.elements
    families = [
        f"{e} {f}" for e in elements for f in usual_lines(e, calibration.beam_energy_kev.value)
    ]
    implied = calibrated_family_factors(families, calibration, edxs.detector).solid_angle_sr
    angle = implied or calibration.solid_angle_sr
    if angle is None:
        return method_of(settings, calibration, solid_angle_sr=None)
    return method_of(
        settings,
        calibration,
        solid_angle_sr=angle.value,
        solid_angle_sigma=(angle.sigma or 0.0) / angle.value,
    )
