# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the phases of a specimen are and how thick it is."""

from __future__ import annotations

import numpy as np

from mlatem.simulation import maps
from mlatem.simulation.maps import Map
from mlatem.specimen import Gradient, Grains, Layer, Particles, Simulate, SpecimenPhase
from mlatem.units import FWHM_PER_SIGMA

#: Waves of a layer are this many times longer than their height.
_WAVE_ASPECT = 6.0


def thickness_nm(specimen: Simulate, rng: np.random.Generator) -> Map:
    """Thickness of the foil.

    Parameters
    ----------
    specimen : Simulate
    rng : numpy.random.Generator

    Returns
    -------
    thickness : ndarray of shape (ny, nx)
        In nm.
    """
    foil = specimen.thickness
    return maps.thickness_map(
        (specimen.n_rows, specimen.n_columns),
        foil.mean_nm,
        rng,
        wedge=foil.wedge,
        bumps=foil.bumps,
        correlation=foil.bump_nm / specimen.pixel_nm,
    )


def volume_fractions(specimen: Simulate, thickness: Map, rng: np.random.Generator) -> Map:
    """Share of each phase in the volume under each pixel, as the probe sees it.

    Parameters
    ----------
    specimen : Simulate
    thickness : ndarray of shape (ny, nx)
        In nm.
    rng : numpy.random.Generator

    Returns
    -------
    fractions : ndarray of shape (ny, nx, n_phases)
        Adding up to 1 in each pixel.
    """
    # A generator per phase: adding a phase leaves the places of those before it.
    generators = rng.spawn(len(specimen.phases))
    masks = [
        _mask(phase, specimen, thickness, generator)
        for phase, generator in zip(specimen.phases, generators, strict=True)
    ]
    sigma = specimen.probe_fwhm_nm / FWHM_PER_SIGMA / specimen.pixel_nm
    return maps.blur_by_probe(maps.paint(masks), sigma)


def _mask(
    phase: SpecimenPhase, specimen: Simulate, thickness: Map, rng: np.random.Generator
) -> Map:
    size, pixel = (specimen.n_rows, specimen.n_columns), specimen.pixel_nm
    shape = phase.shape
    match shape:
        case Grains():
            mask = maps.grains_mask(size, shape.grain_nm / pixel, shape.area_fraction, rng)
        case Particles():
            mask = _particles(shape, size, pixel, thickness, rng)
        case Layer():
            mask = maps.layer_mask(
                size,
                rng,
                centre=shape.centre,
                width=shape.width_nm / pixel,
                angle_deg=shape.angle_deg,
                waviness=shape.waviness_nm / pixel,
                correlation=max(1.0, _WAVE_ASPECT * shape.waviness_nm / pixel),
            )
        case Gradient():
            return maps.gradient_mask(
                size,
                start=shape.start,
                stop=shape.stop,
                angle_deg=shape.angle_deg,
                maximum=shape.maximum,
            )
        case _:
            return np.ones(size)
    return maps.soften(mask, shape.interface_nm / pixel)


def _particles(
    shape: Particles,
    size: tuple[int, int],
    pixel_nm: float,
    thickness: Map,
    rng: np.random.Generator,
) -> Map:
    spread = np.clip(1.0 + shape.radius_spread * rng.standard_normal(shape.number), 0.2, None)
    radii = shape.radius_nm / pixel_nm * spread
    centres = maps.scattered_centres(size, radii, rng)
    foil = thickness / pixel_nm if shape.embedded else None
    return maps.particles_mask(size, centres, radii, thickness=foil)
