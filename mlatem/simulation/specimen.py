# SPDX-License-Identifier: GPL-3.0-or-later
"""A spectrum image of a specimen whose truth is known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model import Acquisition, SpectrumImage
from mlatem.simulation.emission import Emission, mean_power_of_z
from mlatem.simulation.expectation import Expectation, expectation, phase_density
from mlatem.simulation.geometry import thickness_nm, volume_fractions
from mlatem.specimen import Simulate
from mlatem.units import AVOGADRO_PER_MOL

_logger = logging.getLogger(__name__)

#: Power of the atomic number with which atoms scatter to the annular detector.
_HAADF_EXPONENT = 1.7

#: Cubic centimetres in a cubic nanometre.
_CM3_PER_NM3 = 1e-21

#: Streams of random numbers: each has a seed of its own, so that one never shifts another.
_GEOMETRY, _ERRORS, _HAADF, _COUNTS = range(4)


@dataclass(frozen=True)
class Simulation:
    """A simulated measurement and the truth behind it."""

    settings: Simulate
    seed: int
    image: SpectrumImage
    """Poisson counts (y, x, energy) in the smallest unsigned type; the energy axis as the file has
    it, which may be wrong (`axis_offset_ev`, `axis_gain`)."""
    haadf: xr.DataArray
    """Annular dark-field image (y, x), arbitrary unit, coordinates in nm."""
    truth: xr.Dataset
    """`atomic_percent` (phase, element); `density` (phase), g/cm3; `volume_fraction` (y, x, phase);
    `thickness` (y, x), nm; `mass_thickness` (y, x), kg/m2; `atoms_per_area` (y, x, phase), 1/nm2;
    `expected_counts` (y, x, phase); `spectrum` (phase, energy), each adding up to 1, with
    continuum and stray lines."""


def simulate(settings: Simulate, *, seed: int | None = None) -> Simulation:
    """Simulate a spectrum image, its survey image and its truth.

    Parameters
    ----------
    settings : Simulate
        From `mlatem.specimen.load_specimen` or built in Python.
    seed : int, optional
        Replaces the settings' seed.

    Returns
    -------
    Simulation
        The same for the same settings and seed.

    Raises
    ------
    InputError
        If the seed is negative, an element emits no X-rays, or no line falls on the energy axis.

    Notes
    -----
    See `mlatem.simulation.expectation.expectation` for the counts. The HAADF image is the number of
    atoms per area times the mean of Z^1.7 (P. Hartel, H. Rose, C. Dinges, Ultramicroscopy 63 (1996)
    93) with Gaussian noise.
    """
    seed = settings.seed if seed is None else seed
    if seed < 0:
        raise InputError(f"seed is {seed}: expected 0 or a positive number")
    geometry = _generator(seed, _GEOMETRY)
    thickness = thickness_nm(settings, geometry)
    fractions = volume_fractions(settings, thickness, geometry)
    emission = Emission(settings, _generator(seed, _ERRORS))
    means = expectation(settings, emission, fractions, thickness)
    counts = poisson_counts(means, seed)
    positions = {
        "y": ("y", settings.pixel_nm * np.arange(settings.n_rows, dtype=float), {"units": "nm"}),
        "x": ("x", settings.pixel_nm * np.arange(settings.n_columns, dtype=float), {"units": "nm"}),
    }
    image = SpectrumImage(
        counts=counts,
        energy=emission.file_energy_kev,
        y_nm=positions["y"][1],
        x_nm=positions["x"][1],
        acquisition=_acquisition(settings),
        name=settings.name,
    )
    noise = _generator(seed, _HAADF)
    haadf = xr.DataArray(
        _haadf(settings, means, noise), dims=("y", "x"), coords=positions, name="HAADF"
    )
    truth = _truth(settings, emission, means, fractions, thickness).assign_coords(positions)
    truth.attrs = {"specimen": settings.model_dump(mode="json"), "seed": seed}
    _logger.info(
        "simulated %s: %s, %d phases, %d counts",
        settings.name,
        " x ".join(map(str, counts.shape)),
        len(settings.phases),
        counts.sum(dtype=np.int64),
    )
    return Simulation(settings, seed, image, haadf, truth)


def poisson_counts(means: Expectation, seed: int) -> NDArray[Any]:
    """Poisson counts with the given means.

    Parameters
    ----------
    means : Expectation
    seed : int
        Each row draws from a generator of its own, whatever rows are drawn before.

    Returns
    -------
    counts : ndarray of shape (ny, nx, n_energy)
        Of the smallest unsigned type that holds them.
    """
    n_rows, n_columns, _ = means.amount.shape
    counts: NDArray[Any] = np.zeros((n_rows, n_columns, means.spectra.shape[2]), dtype=np.uint8)
    for y in range(n_rows):
        row = _generator(seed, _COUNTS, y).poisson(means.row(y))
        largest = row.max()
        if largest > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.min_scalar_type(largest))
        counts[y] = row
    return counts


def _generator(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _acquisition(settings: Simulate) -> Acquisition:
    n_pixels = settings.n_rows * settings.n_columns
    values: dict[str, float | str | None] = {
        "beam_energy_kev": settings.beam_energy_kev,
        "elevation_deg": settings.physics.detector.take_off_angle_deg,
        "stage_tilt_deg": 0.0,
        "live_time_s": settings.live_time_s,
        "real_time_s": settings.live_time_s,
        "dwell_time_s": settings.live_time_s / n_pixels,
        "microscope": "simulation",
        "detector": "simulated silicon drift detector",
        "signal_type": "EDS_TEM",
        "sample": settings.name,
    }
    return Acquisition().updated(values, "file")


def _haadf(settings: Simulate, means: Expectation, rng: np.random.Generator) -> NDArray[np.float32]:
    scattering = [mean_power_of_z(p.composition, _HAADF_EXPONENT) for p in settings.phases]
    image = means.amount @ np.array(scattering)
    image /= image.mean()
    image = image + settings.haadf_noise * rng.standard_normal(image.shape)
    return np.asarray(np.clip(image, 0.0, None), dtype=np.float32)


def _truth(
    settings: Simulate,
    emission: Emission,
    means: Expectation,
    fractions: NDArray[np.float64],
    thickness: NDArray[np.float64],
) -> xr.Dataset:
    percent = [
        [100.0 * phase.composition.get(element, 0.0) for element in settings.elements]
        for phase in settings.phases
    ]
    density = [phase_density(phase) for phase in settings.phases]
    atoms = AVOGADRO_PER_MOL * _CM3_PER_NM3 * means.amount
    return xr.Dataset(
        {
            "atomic_percent": (("phase", "element"), np.array(percent), {"units": "%"}),
            "density": ("phase", np.array(density), {"units": "g/cm3"}),
            "volume_fraction": (("y", "x", "phase"), fractions, {"units": "1"}),
            "thickness": (("y", "x"), thickness, {"units": "nm"}),
            "mass_thickness": (("y", "x"), means.mass_thickness, {"units": "kg/m2"}),
            "atoms_per_area": (("y", "x", "phase"), atoms, {"units": "1/nm2"}),
            "expected_counts": (("y", "x", "phase"), means.by_phase(), {"units": "1"}),
            "spectrum": (("phase", "energy"), means.phase_spectra(), {"units": "1"}),
        },
        coords={
            "phase": [phase.name for phase in settings.phases],
            "element": list(settings.elements),
            "energy": ("energy", emission.true_energy_kev, {"units": "keV"}),
        },
    )
