# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a spectrum image: what is known of it, its sum spectrum, and the physics."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model import (
    Acquisition,
    Calibration,
    Decision,
    Dictionary,
    Estimate,
    FactorTable,
    SpectrumImage,
)
from mlatem.passes import TileSource, sum_spectrum_pass
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.detector import fwhm_ev
from mlatem.physics.dictionary import dictionary_from_calibration, edxs_dictionary
from mlatem.physics.dose import electrons_per_pixel
from mlatem.physics.family_factors import corrected_line_factors
from mlatem.physics.geometry import Geometry, geometry_of
from mlatem.preprocessing.calibrate import Known, Physics
from mlatem.preprocessing.calibrate import calibrate as calibrate_spectrum
from mlatem.preprocessing.detectors import NO_DETECTORS, DetectorSpectra
from mlatem.units import mass_thickness_kg_m2

_logger = logging.getLogger(__name__)

_MN_K_ALPHA_KEV = 5.8988
_SILICON_PAIR_EV = 3.66
_DISPERSION = 8.0 * math.log(2.0)


def calibrate_image(
    image: SpectrumImage,
    *,
    elements: Sequence[str],
    system_elements: Sequence[str] | None,
    acquisition: Mapping[str, float | str | None],
    edxs: _settings.Edxs,
    settings: _settings.Calibrate,
    factor_table: FactorTable | None = None,
    detector_spectra: DetectorSpectra | None = None,
    **options: Any,
) -> Calibration:
    """Calibrate a spectrum image on its sum spectrum.

    Parameters
    ----------
    image : SpectrumImage
    elements : sequence of str
        Elements of the specimen.
    system_elements : sequence of str or None
        Elements of the instrument; None takes those of `edxs` that the specimen does not hold.
    acquisition : mapping
        Values of the user that take precedence over the file's.
    edxs, settings : settings records
    factor_table : FactorTable, optional
        Factors in place of the computed intensities of lines; needs one for every element.
    detector_spectra : DetectorSpectra, optional
        Where the file keeps the spectra of several detectors apart.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown or named in both lists, the sum
        spectrum cannot be used, or the table lacks an element or the beam energy.
    """
    known_values = image.acquisition.updated(acquisition, "user")
    source = TileSource(
        image.counts, slice(0, image.shape[2]), label=image.name or "counts", **options
    )
    geometry = geometry_of(known_values, edxs.detector.take_off_angle_deg)
    known = replace(
        _known(image, known_values, elements, system_elements, edxs, geometry),
        detectors=_checked_detectors(detector_spectra, image.shape[2]),
        factor_table=factor_table,
    )
    if factor_table is not None:
        factor_table.at(known.beam_energy_kev.value).check_elements(known.elements)
    calibration = calibrate_spectrum(
        sum_spectrum_pass(source),
        image.energy,
        known,
        _physics(known, _density(known_values), edxs),
        edxs=edxs,
        options=settings,
    )
    table_decisions = () if factor_table is None else (_factor_decision(factor_table),)
    calibration = replace(
        calibration,
        electrons_per_pixel=electrons_per_pixel(known_values, known.n_pixels),
        solid_angle_sr=_solid_angle(known_values),
        decisions=(*calibration.decisions, *table_decisions, _take_off_decision(geometry)),
        verdicts=(*calibration.verdicts, *geometry.warnings),
    )
    _logger.info(
        "calibrated %s: offset %.1f eV, gain %.1e, noise %.0f eV, deviance per dof %.2f",
        image.shape,
        1e3 * calibration.energy_offset_kev.value,
        calibration.energy_gain.value,
        calibration.noise_ev.value,
        calibration.deviance_per_dof,
    )
    return calibration


def detectors_from_array(spectra: xr.DataArray) -> DetectorSpectra:
    """Spectra of detectors from a labelled array of dimensions detector and energy.

    Raises
    ------
    InputError
        If the dimensions are others, or counts are negative.
    """
    if set(spectra.dims) != {"detector", "energy"}:
        raise InputError(
            f"spectra of the detectors have dimensions {spectra.dims}: expected detector and energy"
        )
    counts = np.asarray(spectra.transpose("detector", "energy").values, dtype=np.float64)
    names = spectra["detector"].values if "detector" in spectra.coords else range(len(counts))
    return DetectorSpectra(tuple(str(name) for name in names), counts)


def _physics(known: Known, density: Estimate | None, edxs: _settings.Edxs) -> Physics:
    """The functions of physics for one dataset."""

    def mass_thickness(composition: Mapping[str, float]) -> Estimate:
        if known.thickness_nm is None:
            return Estimate(0.0, None, "default")
        assumed = density or Estimate(density_g_cm3(composition), None, "default")
        value = mass_thickness_kg_m2(known.thickness_nm.value, assumed.value)
        return Estimate(value, None, assumed.origin)

    def build(energy: NDArray[np.float64], **options: Any) -> Dictionary:
        fitted = options.pop("line_factors", None) or {}
        return edxs_dictionary(
            energy,
            elements=known.elements,
            system_elements=known.system_elements,
            beam_energy_kev=known.beam_energy_kev.value,
            detector=edxs.detector,
            n_background=edxs.n_background,
            take_off_angle_deg=known.take_off_angles_deg,
            line_factors=corrected_line_factors(
                energy,
                {name: Estimate(float(value), None, "file") for name, value in fitted.items()},
                known.factor_table,
                elements=known.elements,
                beam_energy_kev=known.beam_energy_kev.value,
                detector=edxs.detector,
            ),
            **options,
        )

    return Physics(
        build=build,
        dictionary=partial(dictionary_from_calibration, edxs=edxs),
        mass_thickness=mass_thickness,
        resolution_ev=lambda noise_ev, fano: float(fwhm_ev(_MN_K_ALPHA_KEV, noise_ev, fano)),
    )


def _known(
    image: SpectrumImage,
    acquisition: Acquisition,
    elements: Sequence[str],
    system_elements: Sequence[str] | None,
    edxs: _settings.Edxs,
    geometry: Geometry,
) -> Known:
    elements = check_symbols(elements)
    if system_elements is None:
        system_elements = [e for e in edxs.system_elements if e not in elements]
    thickness = _number(acquisition, "thickness_nm")
    ny, nx, _ = image.shape
    return Known(
        elements=elements,
        system_elements=check_symbols(system_elements),
        beam_energy_kev=_beam_energy(image, acquisition),
        take_off_angle_deg=Estimate(geometry.effective_angle_deg, None, geometry.origin),
        take_off_angles_deg=geometry.take_off_angles_deg,
        noise_ev=_noise(acquisition, edxs.detector),
        fano=Estimate(edxs.detector.fano, None, "default"),
        n_pixels=ny * nx,
        thickness_nm=thickness,
    )


def _checked_detectors(detectors: DetectorSpectra | None, n_energy: int) -> DetectorSpectra:
    if detectors is None:
        return NO_DETECTORS
    if detectors.counts.shape[1] != n_energy:
        raise InputError(
            f"spectra of the detectors have {detectors.counts.shape[1]} channels, the map "
            f"{n_energy}: give them on the axis of the map"
        )
    return detectors


def _solid_angle(acquisition: Acquisition) -> Estimate | None:
    angle = _number(acquisition, "solid_angle_sr")
    return angle if angle is not None and angle.value > 0 else None


def _factor_decision(table: FactorTable) -> Decision:
    kind, *others = table.kinds
    left = f"; its {', '.join(others)} are not used beside them" if others else ""
    return Decision(
        "calibrate",
        f"{kind} factors of {table.name} in place of computed intensities",
        f"given; families of lines without a row follow their neighbours in part{left}",
        "column k_factors",
    )


def _number(acquisition: Acquisition, name: str) -> Estimate | None:
    value = acquisition.number(name)
    return None if value is None else Estimate(value, None, acquisition[name].origin)


def _density(acquisition: Acquisition) -> Estimate | None:
    return _number(acquisition, "density_g_cm3")


def _beam_energy(image: SpectrumImage, acquisition: Acquisition) -> Estimate:
    energy = _number(acquisition, "beam_energy_kev")
    if energy is None:
        raise InputError(
            f"{image.name or 'spectrum image'}: the beam energy is missing in the file: give it in "
            "the column beam_energy_kev of the sample sheet"
        )
    return energy


def _take_off_decision(geometry: Geometry) -> Decision:
    angles = ", ".join(f"{angle:.1f}" for angle in geometry.take_off_angles_deg)
    return Decision(
        "calibrate",
        f"take-off angle {angles} degrees",
        geometry.basis,
        "columns take_off_angle_deg, elevation_deg, azimuth_deg, stage_tilt_deg",
    )


def _noise(acquisition: Acquisition, detector: _settings.Detector) -> Estimate:
    """Electronic noise that gives the stated resolution at Mn Ka, else the default."""
    resolution = _number(acquisition, "energy_resolution_ev")
    if resolution is None:
        return Estimate(detector.noise_ev, None, "default")
    charge = _DISPERSION * detector.fano * _SILICON_PAIR_EV * 1e3 * _MN_K_ALPHA_KEV
    if resolution.value**2 <= charge:
        return Estimate(detector.noise_ev, None, "default")
    return Estimate(math.sqrt(resolution.value**2 - charge), None, resolution.origin)
