# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a spectrum image: what is known of it, its sum spectrum, and the physics."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.calibration.element_check import checked_elements, used_elements, with_identification
from mlatem.calibration.known import density_of, known_of, number_of
from mlatem.errors import InputError
from mlatem.model import (
    Calibration,
    Decision,
    Dictionary,
    Estimate,
    FactorTable,
    SpectrumImage,
)
from mlatem.passes import TileSource, sum_spectrum_pass
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.calibrated_factors import corrected_line_factors
from mlatem.physics.detector import fwhm_ev
from mlatem.physics.dictionary import dictionary_from_calibration, edxs_dictionary
from mlatem.physics.dose import electrons_per_pixel
from mlatem.physics.geometry import Geometry, geometry_of
from mlatem.preprocessing.calibrate import Known, Physics
from mlatem.preprocessing.calibrate import calibrate as calibrate_spectrum
from mlatem.preprocessing.detectors import NO_DETECTORS, DetectorSpectra
from mlatem.units import mass_thickness_kg_m2

_logger = logging.getLogger(__name__)

_MN_K_ALPHA_KEV = 5.8988


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
    identify: _settings.Identify | None = None,
    **options: Any,
) -> Calibration:
    """Calibrate a spectrum image on its sum spectrum.

    Parameters
    ----------
    image : SpectrumImage
    elements : sequence of str
        Elements of the specimen; those that the data show if there are none.
    system_elements : sequence of str or None
        Elements of the instrument; None takes those of `edxs` that the specimen does not hold.
    acquisition : mapping
        Values of the user that take precedence over the file's.
    edxs, settings : settings records
    factor_table : FactorTable, optional
        Factors in place of the computed intensities of lines; needs one for every element.
    detector_spectra : DetectorSpectra, optional
        Where the file keeps the spectra of several detectors apart.
    identify : settings.Identify, optional
        How elements are found, and whether a list of them is checked.
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
        image.counts,
        slice(0, image.shape[2]),
        label=image.name or "counts",
        mask=image.mask,
        **options,
    )
    known = replace(
        known_of(image, known_values, elements, system_elements, edxs),
        detectors=_checked_detectors(detector_spectra, image.shape[2]),
        factor_table=factor_table,
    )
    counts = sum_spectrum_pass(source)
    looked_for = identify or _settings.Identify()
    listed = known.elements
    identification = checked_elements(source, image, known, counts, edxs, looked_for)
    if identification is not None and not listed:
        known = replace(known, elements=used_elements(identification))
    if factor_table is not None:
        factor_table.at(known.beam_energy_kev.value).check_elements(known.elements)
    calibration = calibrate_spectrum(
        counts,
        image.energy,
        known,
        _physics(known, density_of(known_values), edxs),
        edxs=edxs,
        options=settings,
    )
    geometry = geometry_of(known_values, edxs.detector.take_off_angle_deg)
    table_decisions = () if factor_table is None else (_factor_decision(factor_table),)
    calibration = replace(
        calibration,
        electrons_per_pixel=electrons_per_pixel(known_values, image.n_scan_pixels),
        solid_angle_sr=number_of(known_values, "solid_angle_sr"),
        decisions=(*calibration.decisions, *table_decisions, _take_off_decision(geometry)),
        verdicts=(*calibration.verdicts, *geometry.warnings),
    )
    if identification is not None:
        calibration = with_identification(calibration, identification, listed, looked_for)
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
            system_thickness_um=edxs.system_thickness_um,
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


def _checked_detectors(detectors: DetectorSpectra | None, n_energy: int) -> DetectorSpectra:
    if detectors is None:
        return NO_DETECTORS
    if detectors.counts.shape[1] != n_energy:
        raise InputError(
            f"spectra of the detectors have {detectors.counts.shape[1]} channels, the map "
            f"{n_energy}: give them on the axis of the map"
        )
    return detectors


def _factor_decision(table: FactorTable) -> Decision:
    kind, *others = table.kinds
    left = f"; its {', '.join(others)} are not used beside them" if others else ""
    return Decision(
        "calibrate",
        f"{kind} factors of {table.name} in place of computed intensities",
        f"given; families of lines without a row follow their neighbours in part{left}",
        "column k_factors",
    )


def _take_off_decision(geometry: Geometry) -> Decision:
    angles = ", ".join(f"{angle:.1f}" for angle in geometry.take_off_angles_deg)
    return Decision(
        "calibrate",
        f"take-off angle {angles} degrees",
        geometry.basis,
        "columns take_off_angle_deg, elevation_deg, azimuth_deg, stage_tilt_deg",
    )
