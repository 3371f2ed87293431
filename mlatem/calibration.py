# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a spectrum image: what is known of it, its sum spectrum, and the physics."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.identification import Conditions, identify_source
from mlatem.identification import decision as identified
from mlatem.identification import verdicts as element_verdicts
from mlatem.model import (
    Acquisition,
    Calibration,
    Dictionary,
    Estimate,
    Identification,
    SpectrumImage,
)
from mlatem.passes import TileSource, sum_spectrum_pass
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.calibrate import Known
from mlatem.preprocessing.calibrate import calibrate as calibrate_spectrum
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
    identify : settings.Identify, optional
        How elements are found, and whether a list of them is checked.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown or named in both lists, or the sum
        spectrum cannot be used.
    """
    known_values = image.acquisition.updated(acquisition, "user")
    source = TileSource(
        image.counts, slice(0, image.shape[2]), label=image.name or "counts", **options
    )
    known = _known(image, known_values, elements, system_elements, edxs)
    counts = sum_spectrum_pass(source)
    looked_for = identify or _settings.Identify()
    listed = known.elements
    identification = _identification(source, image, known, counts, edxs, looked_for)
    if identification is not None and not listed:
        known = replace(known, elements=_used(identification))
    density = _density(known_values)

    def build(
        energy: NDArray[np.float64], noise_ev: float, thickness: float, composition: Any
    ) -> Dictionary:
        return edxs_dictionary(
            energy,
            elements=known.elements,
            system_elements=known.system_elements,
            beam_energy_kev=known.beam_energy_kev.value,
            noise_ev=noise_ev,
            fano=known.fano.value,
            detector=edxs.detector,
            n_background=edxs.n_background,
            take_off_angle_deg=known.take_off_angle_deg.value,
            mass_thickness_kg_m2=thickness,
            composition=composition,
        )

    def mass_thickness(composition: Mapping[str, float]) -> Estimate:
        if known.thickness_nm is None:
            return Estimate(0.0, None, "default")
        assumed = density or Estimate(density_g_cm3(composition), None, "default")
        value = mass_thickness_kg_m2(known.thickness_nm.value, assumed.value)
        return Estimate(value, None, assumed.origin)

    calibration = calibrate_spectrum(
        counts,
        image.energy,
        known,
        build,
        mass_thickness,
        edxs=edxs,
        options=settings,
    )
    if identification is not None:
        calibration = _with_identification(calibration, identification, listed, looked_for)
    _logger.info(
        "calibrated %s: offset %.1f eV, gain %.1e, noise %.0f eV, deviance per dof %.2f",
        image.shape,
        1e3 * calibration.energy_offset_kev.value,
        calibration.energy_gain.value,
        calibration.noise_ev.value,
        calibration.deviance_per_dof,
    )
    return calibration


def identify_image(
    image: SpectrumImage,
    *,
    elements: Sequence[str] = (),
    system_elements: Sequence[str] | None = None,
    acquisition: Mapping[str, float | str | None],
    edxs: _settings.Edxs,
    settings: _settings.Identify,
    **options: Any,
) -> Identification:
    """The elements that a spectrum image shows.

    Parameters
    ----------
    image, acquisition, edxs, **options
        As for `calibrate_image`.
    elements : sequence of str
        A list to check; empty to find all.
    system_elements : sequence of str or None
        Elements of the instrument; None takes those of `edxs` that `elements` does not hold.
    settings : settings.Identify

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the counts are too few.
    """
    known_values = image.acquisition.updated(acquisition, "user")
    source = TileSource(
        image.counts, slice(0, image.shape[2]), label=image.name or "counts", **options
    )
    known = _known(image, known_values, elements, system_elements, edxs)
    return identify_source(source, image.energy, _conditions(known), edxs=edxs, settings=settings)


def _identification(
    source: TileSource,
    image: SpectrumImage,
    known: Known,
    counts: NDArray[np.float64],
    edxs: _settings.Edxs,
    settings: _settings.Identify,
) -> Identification | None:
    """What the data show; None where a list needs no check or the counts do not suffice for one."""
    if known.elements and not settings.check:
        return None
    try:
        return identify_source(
            source, image.energy, _conditions(known), edxs=edxs, settings=settings, counts=counts
        )
    except InputError as error:
        if not known.elements:
            raise
        _logger.info("the list of elements was not checked: %s", error)
        return None


def _conditions(known: Known) -> Conditions:
    return Conditions(
        beam_energy_kev=known.beam_energy_kev.value,
        take_off_angle_deg=known.take_off_angle_deg.value,
        noise_ev=known.noise_ev.value,
        fano=known.fano.value,
        elements=known.elements,
        system_elements=known.system_elements,
    )


def _used(identification: Identification) -> tuple[str, ...]:
    if not identification.elements:
        raise InputError(
            "no elements are named and none was identified in the sum spectrum: name them in the "
            "column `elements` of the sample sheet, and check the beam energy and the energy axis"
        )
    return identification.elements


def _with_identification(
    calibration: Calibration,
    identification: Identification,
    listed: Sequence[str],
    settings: _settings.Identify,
) -> Calibration:
    chosen = () if listed else (identified(identification),)
    return replace(
        calibration,
        identification=identification,
        decisions=(*chosen, *calibration.decisions),
        verdicts=(*calibration.verdicts, *element_verdicts(identification, listed, settings)),
    )


def _known(
    image: SpectrumImage,
    acquisition: Acquisition,
    elements: Sequence[str],
    system_elements: Sequence[str] | None,
    edxs: _settings.Edxs,
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
        take_off_angle_deg=_take_off_angle(acquisition, edxs.detector),
        noise_ev=_noise(acquisition, edxs.detector),
        fano=Estimate(edxs.detector.fano, None, "default"),
        n_pixels=ny * nx,
        thickness_nm=thickness,
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


def _take_off_angle(acquisition: Acquisition, detector: _settings.Detector) -> Estimate:
    """The angle given, else the detector's elevation (specimen not tilted), else the default."""
    for name in ("take_off_angle_deg", "elevation_deg"):
        angle = _number(acquisition, name)
        if angle is not None and angle.value > 0:
            return angle
    return Estimate(detector.take_off_angle_deg, None, "default")


def _noise(acquisition: Acquisition, detector: _settings.Detector) -> Estimate:
    """Electronic noise that gives the stated resolution at Mn Ka, else the default."""
    resolution = _number(acquisition, "energy_resolution_ev")
    if resolution is None:
        return Estimate(detector.noise_ev, None, "default")
    charge = _DISPERSION * detector.fano * _SILICON_PAIR_EV * 1e3 * _MN_K_ALPHA_KEV
    if resolution.value**2 <= charge:
        return Estimate(detector.noise_ev, None, "default")
    return Estimate(math.sqrt(resolution.value**2 - charge), None, resolution.origin)
