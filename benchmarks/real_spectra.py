# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the model describes real spectra, with and without its parts.

    MLATEM_TEST_DATA=FOLDER python benchmarks/real_spectra.py

FOLDER holds `exspy/EDS_TEM_FePt_nanoparticles.hspy`, `pyTEMlib/EDS-STO.emd` and
`espm/88_ES-LP_G8_selection2_cropped2.hspy`, files of these packages; absent ones are left out.
Energy axis and resolution are fitted; sub-shells of the main elements are free against each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mlatem import settings
from mlatem.model import Dictionary
from mlatem.physics import columns, lines, relaxation
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.preprocessing.axis import fit_axis
from mlatem.preprocessing.poisson_fit import fit_counts

DATA = Path(os.environ.get("MLATEM_TEST_DATA", "."))
BEAM_KEV = 200.0


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    read: Callable[[h5py.File], tuple[np.ndarray, np.ndarray]]
    window_kev: tuple[float, float]
    main: tuple[str, ...]
    minor: tuple[str, ...]
    system: tuple[str, ...]
    mass_thickness_kg_m2: float = 0.0
    composition: tuple[tuple[str, float], ...] = ()


def hyperspy(file: h5py.File) -> tuple[np.ndarray, np.ndarray]:
    (experiment,) = file["Experiments"].values()
    data = experiment["data"]
    axis = dict(experiment[f"axis-{data.ndim - 1}"].attrs)
    counts = data[...].reshape(-1, data.shape[-1]).sum(axis=0, dtype=float)
    return axis["offset"] + axis["scale"] * np.arange(counts.size), counts


def velox(rank: int) -> Callable[[h5py.File], tuple[np.ndarray, np.ndarray]]:
    """One spectrum of a Velox file, 1 and 2 for the two detectors with most counts."""

    def read(file: h5py.File) -> tuple[np.ndarray, np.ndarray]:
        spectra = sorted(
            file["Data/Spectrum"].values(), key=lambda s: -s["Data"][:, 0].sum(dtype=float)
        )
        counts = spectra[rank]["Data"][:, 0].astype(float)
        text = spectra[rank]["Metadata"][:, 0].tobytes().split(b"\0")[0]
        detectors = json.loads(text)["Detectors"].values()
        of = next(d for d in detectors if d.get("Dispersion"))
        energy_ev = float(of["OffsetEnergy"]) + float(of["Dispersion"]) * np.arange(counts.size)
        return 1e-3 * energy_ev, counts

    return read


TITANATE = {
    "file": "pyTEMlib/EDS-STO.emd",
    "window_kev": (0.35, 20.0),
    "main": ("Sr", "Ti"),
    "minor": ("O",),
    "system": ("Cu", "C", "Si", "Al", "Fe", "Co", "Cr", "Ni", "Zr"),
    "mass_thickness_kg_m2": 3e-4,
    "composition": (("Sr", 1.0), ("Ti", 1.0), ("O", 3.0)),
}
CASES = (
    Case(
        "FePt",
        "exspy/EDS_TEM_FePt_nanoparticles.hspy",
        hyperspy,
        (0.45, 20.0),
        ("Pt", "Fe"),
        ("O", "Si", "Co"),
        ("Cu", "Zr", "C"),
    ),
    Case(name="SrTiO3, detector 1", read=velox(1), **TITANATE),
    Case(name="SrTiO3, detector 2", read=velox(2), **TITANATE),
    Case(
        "ES-LP",
        "espm/88_ES-LP_G8_selection2_cropped2.hspy",
        hyperspy,
        (0.95, 19.9),
        ("U", "Lu", "Hf", "Nd"),
        ("Al", "Ca", "Fe", "Mg", "Si", "Sm", "Cl"),
        ("Cu", "Ga", "Mo", "Zr", "Cr", "Ni", "Ta", "Ti", "Mn"),
    ),
)

GAUSSIAN = settings.Detector(escape=False, tail_depth_nm=0)
ESCAPE = settings.Detector(tail_depth_nm=0)
FULL = settings.Detector()


@contextmanager
def rates_of_xraylib():
    """M rates as xraylib has them for all elements."""
    first = relaxation._FIRST_M_RATES
    relaxation._FIRST_M_RATES = 999
    lines._emission_lines.cache_clear()
    try:
        yield
    finally:
        relaxation._FIRST_M_RATES = first
        lines._emission_lines.cache_clear()


@contextmanager
def sharp_lines():
    """Lines without their natural width."""
    kept = columns.add_wings
    columns.add_wings = lambda *_: None
    try:
        yield
    finally:
        columns.add_wings = kept


def joined(whole: Dictionary, shells: Dictionary, main: tuple[str, ...]) -> Dictionary:
    """The dictionary with the columns of its main elements split by sub-shell."""
    parts = [
        (
            whole,
            [
                e not in main or k != "line"
                for e, k in zip(whole.elements, whole.kinds, strict=True)
            ],
        ),
        (
            shells,
            [e in main and k == "line" for e, k in zip(shells.elements, shells.kinds, strict=True)],
        ),
    ]
    picked = [(d, i) for d, keep in parts for i in np.flatnonzero(keep)]
    return Dictionary.from_arrays(
        [d.columns[i] for d, i in picked],
        whole.energy,
        [d.names[i] for d, i in picked],
        [d.kinds[i] for d, i in picked],
        [d.elements[i] for d, i in picked],
    )


def deviance(
    case: Case,
    detector: settings.Detector = FULL,
    *,
    pile_up: bool = True,
    n_background: int = settings.Edxs().n_background,
) -> tuple[float, int]:
    """Deviance and degrees of freedom of the best fit."""
    with h5py.File(DATA / case.file) as file:
        energy, counts = case.read(file)
    measured = np.stack([energy, counts])
    window = (energy > case.window_kev[0]) & (energy < case.window_kev[1])
    elements = (*case.main, *case.minor)
    keywords = {
        "beam_energy_kev": BEAM_KEV,
        "detector": detector,
        "mass_thickness_kg_m2": case.mass_thickness_kg_m2,
        "composition": dict(case.composition) or dict.fromkeys(elements, 1.0),
    }

    def build(axis: np.ndarray, noise_ev: float, fano: float, split: str = "shell") -> Dictionary:
        return edxs_dictionary(
            axis,
            elements=elements,
            system_elements=case.system,
            pile_up=measured if pile_up else None,
            n_background=n_background,
            noise_ev=noise_ev,
            fano=fano,
            split=split,
            **keywords,
        )

    axis = fit_axis(
        counts[window],
        energy[window],
        build,
        noise_ev=48.0,
        fano=detector.fano,
        options=settings.Calibrate(),
    )
    of_axis = axis.corrected(energy[window]), axis.noise_ev, axis.fano
    free = joined(build(*of_axis, "element"), build(*of_axis), case.main)
    fit = fit_counts(counts[window], free.columns)
    return fit.deviance, fit.dof


def main() -> None:
    print("deviance (per degree of freedom)")
    for case in CASES:
        if not (DATA / case.file).is_file():
            print(f"{case.name}: no {DATA / case.file}")
            continue
        with rates_of_xraylib(), sharp_lines():
            found = {"M rates of xraylib, Gaussian lines": deviance(case, GAUSSIAN, pile_up=False)}
        with sharp_lines():
            found["M rates of EADL"] = deviance(case, GAUSSIAN, pile_up=False)
            found["and escape peaks"] = deviance(case, ESCAPE, pile_up=False)
            found["and tails"] = deviance(case, pile_up=False)
            found["and sum peaks"] = deviance(case)
        found["and natural widths"] = deviance(case)
        for n in (6, 12):
            found[f"{n} functions of the continuum instead"] = deviance(case, n_background=n)
        print(case.name)
        for name, (value, dof) in found.items():
            print(f"  {name}: {value:.0f} ({value / dof:.3f})", flush=True)


if __name__ == "__main__":
    main()
