# SPDX-License-Identifier: GPL-3.0-or-later
"""Compounds of known composition through the whole chain: at% beside the truth and both sigmas.

    python benchmarks/absorption.py

Spectra come from a path of their own: X-rays are generated slice by slice in the depth of the
film, each slice is weakened by exp(-mu rho z / sin(take-off angle)) with the attenuation
coefficients that xraylib gives for the compound, and detected as Gaussians. Line intensities and
the detector are those of the model, so that what differs is absorption. They are then calibrated,
factorised and quantified with the thickness, with one 20 % too large or too small, and without.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass

import numpy as np
import xraylib
from numpy.typing import NDArray
from scipy.special import erf

import mlatem
from mlatem.model import Acquisition, PhaseTable, SpectrumImage, Value
from mlatem.physics.detector import efficiency, fwhm_ev
from mlatem.physics.lines import emission_lines
from mlatem.settings import Detector

BEAM_KEV, TAKE_OFF_DEG = 200.0, 22.0
ENERGY = -0.2 + 0.01 * np.arange(2048)
THICKNESSES_NM = (50.0, 100.0, 200.0, 300.0)
SCALES = (1.0, 0.8, 1.2)
_N_SLICES = 400
_SHAPE = (8, 8)


@dataclass(frozen=True)
class Compound:
    """A film of known composition."""

    name: str
    atoms: dict[str, float]
    density_g_cm3: float

    @property
    def percent(self) -> dict[str, float]:
        """Atomic percent by element."""
        total = sum(self.atoms.values())
        return {element: 100.0 * n / total for element, n in self.atoms.items()}


COMPOUNDS = (
    Compound("DyScO3", {"Dy": 1, "Sc": 1, "O": 3}, 6.9),
    Compound("MgO", {"Mg": 1, "O": 1}, 3.58),
    Compound("Ni3Al", {"Ni": 3, "Al": 1}, 7.5),
    Compound("FeO", {"Fe": 1, "O": 1}, 5.7),
)


def escaping(compound: Compound, energy_kev: NDArray[np.float64], thickness_nm: float) -> NDArray:
    """Share of the photons that leave the film: the mean over slices of its depth."""
    depth_cm = 1e-7 * thickness_nm * (np.arange(_N_SLICES) + 0.5) / _N_SLICES
    path = compound.density_g_cm3 * depth_cm / np.sin(np.radians(TAKE_OFF_DEG))
    mu = np.array([xraylib.CS_Total_CP(compound.name, energy) for energy in energy_kev.tolist()])
    return np.exp(-np.outer(mu, path)).mean(axis=1)


def expected_spectrum(compound: Compound, thickness_nm: float) -> NDArray[np.float64]:
    """Spectrum on `ENERGY` that adds up to one, 20 % of it continuum."""
    detector = Detector()
    lines = np.zeros(ENERGY.size)
    edges = np.append(ENERGY, ENERGY[-1] + 0.01) - 0.005
    for element, atoms in compound.atoms.items():
        emitted = emission_lines(element, BEAM_KEV)
        area = atoms * emitted.cross_section_barn * efficiency(emitted.energy_kev, detector)
        area = area * escaping(compound, emitted.energy_kev, thickness_nm)
        width = 1e-3 * fwhm_ev(emitted.energy_kev, detector.noise_ev, detector.fano) / 2.3548
        for center, sigma, share in zip(emitted.energy_kev, width, area, strict=True):
            lines += 0.5 * share * np.diff(erf((edges - center) / (np.sqrt(2) * sigma)))
    seen = ENERGY > 0.11
    continuum = np.zeros(ENERGY.size)
    continuum[seen] = (BEAM_KEV - ENERGY[seen]) / ENERGY[seen] * efficiency(ENERGY[seen], detector)
    continuum[seen] *= escaping(compound, ENERGY[seen], thickness_nm)
    return 0.8 * lines / lines.sum() + 0.2 * continuum / continuum.sum()


def measured(compound: Compound, thickness_nm: float, n_counts: float, seed: int) -> SpectrumImage:
    """A map of one film, Poisson."""
    mean = np.broadcast_to(
        n_counts / np.prod(_SHAPE) * expected_spectrum(compound, thickness_nm),
        (*_SHAPE, ENERGY.size),
    )
    known = {"beam_energy_kev": BEAM_KEV, "elevation_deg": TAKE_OFF_DEG, "stage_tilt_deg": 0.0}
    return SpectrumImage(
        counts=np.random.default_rng(seed).poisson(mean).astype(np.uint32),
        energy=ENERGY,
        y_nm=np.arange(_SHAPE[0], dtype=float),
        x_nm=np.arange(_SHAPE[1], dtype=float),
        acquisition=Acquisition({name: Value(value, "file") for name, value in known.items()}),
        name=compound.name,
    )


def quantified(image: SpectrumImage, compound: Compound, thickness_nm: float | None) -> PhaseTable:
    """The compound through the chain, as one phase of given thickness and density."""
    calibration = mlatem.calibrate(
        image,
        list(compound.atoms),
        thickness_nm=thickness_nm,
        density_g_cm3=None if thickness_nm is None else compound.density_g_cm3,
    )
    dictionary = mlatem.edxs_dictionary(image, calibration)
    result = mlatem.factorize(image, dictionary, 1, calibration=calibration)
    return mlatem.quantify(result, calibration=calibration)


def main() -> None:
    """Print a table of all compounds and thicknesses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=float, default=1e6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(
        "compound  nm   element  true   " + "".join(f"t x {s:<10}" for s in SCALES) + "no thickness"
    )
    for compound in COMPOUNDS:
        for thickness in THICKNESSES_NM:
            image = measured(compound, thickness, options.counts, options.seed)
            tables = [quantified(image, compound, scale * thickness) for scale in SCALES]
            tables.append(quantified(image, compound, None))
            for element, percent in compound.percent.items():
                rows = [t.frame.set_index("element").loc[element] for t in tables]
                cells = [f"{r.atomic_percent:6.2f} +- {r.sigma_sys:4.2f}" for r in rows[:-1]]
                print(
                    f"{compound.name:8s} {thickness:4.0f}  {element:2s}    {percent:6.2f}   "
                    + "  ".join(cells)
                    + f"   {rows[-1].atomic_percent:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
