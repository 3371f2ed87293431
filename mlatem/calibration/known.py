# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a spectrum image before its spectra are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlatem import settings as _settings
from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model import Acquisition, Estimate, SpectrumImage
from mlatem.physics.geometry import geometry_of
from mlatem.preprocessing.calibrate import Known

_MN_K_ALPHA_KEV = 5.8988
_SILICON_PAIR_EV = 3.66
_DISPERSION = 8.0 * math.log(2.0)


def known_of(
    image: SpectrumImage,
    acquisition: Acquisition,
    elements: Sequence[str],
    system_elements: Sequence[str] | None,
    edxs: _settings.Edxs,
) -> Known:
    """What is known of a map, from its file and its user.

    Parameters
    ----------
    image : SpectrumImage
    acquisition : Acquisition
        Of the file, with the user's values in place.
    elements : sequence of str
        Elements of the specimen.
    system_elements : sequence of str or None
        Elements of the instrument; None takes those of `edxs` that the specimen does not hold.
    edxs : settings.Edxs

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the geometry is not possible.
    """
    geometry = geometry_of(acquisition, edxs.detector.take_off_angle_deg)
    elements = check_symbols(elements)
    if system_elements is None:
        system_elements = [e for e in edxs.system_elements if e not in elements]
    thickness = thickness_of(acquisition)
    ny, nx, _ = image.shape
    n_masked = 0 if image.mask is None else int(image.mask.sum())
    return Known(
        elements=elements,
        system_elements=check_symbols(system_elements),
        beam_energy_kev=_beam_energy(image, acquisition),
        take_off_angle_deg=Estimate(geometry.effective_angle_deg, None, geometry.origin),
        take_off_angles_deg=geometry.take_off_angles_deg,
        noise_ev=_noise(acquisition, edxs.detector),
        fano=Estimate(edxs.detector.fano, None, "default"),
        n_pixels=ny * nx - n_masked,
        thickness_nm=thickness,
    )


def number_of(acquisition: Acquisition, name: str) -> Estimate | None:
    """A number of the acquisition with its origin; None where it is not known."""
    value = acquisition.number(name)
    return None if value is None else Estimate(value, None, acquisition[name].origin)


def thickness_of(acquisition: Acquisition) -> Estimate | None:
    """Thickness of the specimen, nm; None where it is not known.

    Raises
    ------
    InputError
        If it is negative.
    """
    thickness = number_of(acquisition, "thickness_nm")
    if thickness is not None and thickness.value < 0:
        raise InputError(
            f"thickness_nm is {thickness.value:g}: expected a thickness in nm, or 0 to leave "
            "absorption out"
        )
    return thickness


def density_of(acquisition: Acquisition) -> Estimate | None:
    """Mean density of the specimen, g/cm3; None where it is not known.

    Raises
    ------
    InputError
        If it is not above 0.
    """
    density = number_of(acquisition, "density_g_cm3")
    if density is not None and not density.value > 0:
        raise InputError(
            f"density_g_cm3 is {density.value:g}: expected a density above 0 in g/cm3, or nothing "
            "for an estimate from the composition"
        )
    return density


def _beam_energy(image: SpectrumImage, acquisition: Acquisition) -> Estimate:
    energy = number_of(acquisition, "beam_energy_kev")
    if energy is None:
        raise InputError(
            f"{image.name or 'spectrum image'}: the beam energy is missing in the file: give it in "
            "the column beam_energy_kev of the sample sheet"
        )
    return energy


def _noise(acquisition: Acquisition, detector: _settings.Detector) -> Estimate:
    """Electronic noise that gives the stated resolution at Mn Ka, else the default."""
    resolution = number_of(acquisition, "energy_resolution_ev")
    if resolution is None:
        return Estimate(detector.noise_ev, None, "default")
    charge = _DISPERSION * detector.fano * _SILICON_PAIR_EV * 1e3 * _MN_K_ALPHA_KEV
    if resolution.value**2 <= charge:
        return Estimate(detector.noise_ev, None, "default")
    return Estimate(math.sqrt(resolution.value**2 - charge), None, resolution.origin)
