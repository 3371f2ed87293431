# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a sum spectrum is calibrated: simulated ones of known axis, and real ones.

python benchmarks/calibration.py [--repeats 12] [--counts 1e5] [--only simulated|uncertainties|real]

The simulated spectra are those of `mlatem.simulation`: lines, self-absorption and detector as
there, with a continuum that falls as a power of the energy, which the fit's splines only come near.
Noise, Fano factor and intensities of the families of lines vary from spectrum to spectrum as the
priors say. The bound is the least standard deviation (Cramer and Rao) of offset, gain and
resolution, everything else that is fitted being unknown as well. The real ones are read from the
folder that MLATEM_TEST_DATA names.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

import mlatem
from mlatem.model import Calibration
from mlatem.physics.detector import fwhm_ev
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.physics.factors import factor_covariance
from mlatem.preprocessing import axis as axis_fit
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.settings import Edxs
from mlatem.simulation.emission import Emission
from mlatem.simulation.expectation import expectation
from mlatem.specimen import Simulate

MN_K_ALPHA_KEV = 5.8988
THICKNESS_NM = 60.0
#: Composition (at%), stray lines of the instrument and density (g/cm3).
SPECIMENS = {
    "titanate": ({"O": 60, "Ti": 20, "Sr": 20}, {"Cu": 0.05}, 5.1),
    "superalloy": ({"Ni": 62, "Al": 13, "Cr": 10, "Co": 8, "W": 3, "Ta": 4}, {"Cu": 0.02}, 8.5),
    "iron-platinum": ({"Fe": 20, "Pt": 70, "O": 10}, {"Cu": 0.2}, 16.0),
    "silicate": ({"O": 58, "Si": 20, "Mg": 14, "Fe": 5, "Al": 2, "Ca": 1}, {"Cu": 0.04}, 3.3),
}
FAMILY_SIGMA = {"K": 0.04, "L": 0.2, "M": 0.4}


@dataclass(frozen=True)
class Truth:
    """What is known of a simulated spectrum."""

    offset_ev: float
    gain: float
    noise_ev: float
    fano: float

    @property
    def resolution_ev(self) -> float:
        """FWHM at Mn Ka."""
        return float(fwhm_ev(MN_K_ALPHA_KEV, self.noise_ev, self.fano))


def simulate(specimen: str, truth: Truth, total: float, seed: int) -> xr.Dataset:
    """Poisson counts of a specimen on an axis that is off."""
    percent, stray, density = SPECIMENS[specimen]
    description = Simulate(
        name=specimen,
        phases=[{"name": "foil", "atomic_percent": percent, "density_g_cm3": density}],
        n_rows=1,
        n_columns=1,
        counts_per_pixel=total,
        physics={
            "continuum": "power",
            "family_sigma": FAMILY_SIGMA,
            "system_fraction": stray,
            "axis_offset_ev": truth.offset_ev,
            "axis_gain": truth.gain,
            "detector": {"noise_ev": truth.noise_ev, "fano": truth.fano},
        },
    )
    rng = np.random.default_rng(seed)
    emission = Emission(description, rng)
    one, thickness = np.ones((1, 1, 1)), np.full((1, 1), THICKNESS_NM)
    mean = expectation(description, emission, one, thickness).row(0)[0]
    return spectrum(emission.file_energy_kev, rng.poisson(mean))


def spectrum(energy: np.ndarray, counts: np.ndarray) -> xr.Dataset:
    """A single spectrum as `mlatem.calibrate` takes it."""
    return xr.Dataset({"counts": ("energy", np.asarray(counts))}, coords={"energy": energy})


def calibrated(specimen: str, data: xr.Dataset) -> tuple[Calibration, float]:
    """The calibration of a simulated spectrum, and the processor's seconds."""
    percent, _, density = SPECIMENS[specimen]
    start = time.process_time()
    found = mlatem.calibrate(
        data,
        list(percent),
        thickness_nm=THICKNESS_NM,
        density_g_cm3=density,
        beam_energy_kev=200.0,
    )
    return found, time.process_time() - start


def errors(found: Calibration, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Errors and standard deviations of offset (eV), gain (1e-4) and resolution (eV)."""
    assert found.resolution_ev is not None
    estimates = (found.energy_offset_kev, found.energy_gain, found.resolution_ev)
    scale = np.array([1e3, 1e4, 1.0])
    known = (1e-3 * truth.offset_ev, truth.gain, truth.resolution_ev)
    difference = [e.value - k for e, k in zip(estimates, known, strict=True)]
    sigma = [np.nan if e.sigma is None else e.sigma for e in estimates]
    return scale * difference, scale * sigma


def drawn_truth(rng: np.random.Generator, offset_ev: float, gain: float) -> Truth:
    """Resolution as the priors of the fit say."""
    noise = 50.0 + 10.0 * rng.standard_normal()
    return Truth(offset_ev, gain, noise, 0.118 + 0.01 * rng.standard_normal())


@contextmanager
def whole_weights() -> Iterator[None]:
    """Every count at its full weight, as if the model were without error."""
    kept = axis_fit._MODEL_ERROR, axis_fit._SOFT_ERROR
    axis_fit._MODEL_ERROR = axis_fit._SOFT_ERROR = 0.0
    try:
        yield
    finally:
        axis_fit._MODEL_ERROR, axis_fit._SOFT_ERROR = kept


def print_accuracy(repeats: int, totals: Sequence[float]) -> None:
    """Bias, scatter and z-scores against counts and start."""
    print("| specimen | counts | start | offset, eV | gain, 1e-4 | FWHM, eV | z | bound | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for specimen in SPECIMENS:
        for total in totals:
            for offset_ev, gain in ((0.0, 0.0), (30.0, -3e-3)):
                print_case(specimen, total, offset_ev, gain, repeats)


def print_case(specimen: str, total: float, offset_ev: float, gain: float, repeats: int) -> None:
    """One row of the table of accuracy."""
    difference, sigma, seconds = [], [], []
    for seed in range(repeats):
        sign = 1 if seed % 2 else -1
        truth = drawn_truth(np.random.default_rng(1000 + seed), sign * offset_ev, gain)
        found, taken = calibrated(specimen, simulate(specimen, truth, total, seed))
        error, expected = errors(found, truth)
        difference.append(error)
        sigma.append(expected)
        seconds.append(taken)
    with whole_weights():
        bound = errors(calibrated(specimen, simulate(specimen, truth, total, 0))[0], truth)[1]
    error, expected = np.array(difference), np.array(sigma)
    cells = [
        f"{np.mean(e):+.2f}, rms {np.sqrt(np.mean(e**2)):.2f}, worst {np.abs(e).max():.2f}"
        for e in error.T
    ]
    start = f"{offset_ev:.0f} eV, {gain:.0e}" if offset_ev else "0"
    print(
        f"| {specimen} | {total:.0e} | {start} | {' | '.join(cells)} | "
        f"{np.nanstd(error / expected):.2f} | {', '.join(f'{s:.2f}' for s in bound)} | "
        f"{np.median(seconds):.2f} |",
        flush=True,
    )


def print_uncertainties(repeats: int) -> None:
    """Standard deviation of the z-scores over many spectra."""
    rng = np.random.default_rng(7)
    scores = []
    for seed in range(repeats):
        specimen = list(SPECIMENS)[seed % len(SPECIMENS)]
        truth = drawn_truth(rng, rng.uniform(-30, 30), rng.uniform(-3e-3, 3e-3))
        total = 10 ** rng.uniform(4, 6)
        found, _ = calibrated(specimen, simulate(specimen, truth, total, 10_000 + seed))
        error, sigma = errors(found, truth)
        scores.append(error / sigma)
    table = np.array(scores)
    print(f"{repeats} spectra of 1e4 to 1e6 counts, starts within 30 eV and 3e-3:")
    for name, z in zip(("offset", "gain", "FWHM"), table.T, strict=True):
        print(
            f"  {name}: z {np.nanmean(z):+.2f} +- {np.nanstd(z):.2f}, worst {np.abs(z).max():.1f}"
        )


def iron_platinum(folder: Path) -> xr.Dataset:
    """FePt particles on a Cu grid, from exspy's tests."""
    with h5py.File(folder / "exspy" / "EDS_TEM_FePt_nanoparticles.hspy") as file:
        (experiment,) = file["Experiments"].values()
        axis, counts = experiment["axis-0"].attrs, experiment["data"][...]
        return spectrum(axis["offset"] + axis["scale"] * np.arange(counts.size), counts)


def mineral(folder: Path) -> xr.Dataset:
    """The sum of a map of an experimental petrology sample, from espm."""
    with h5py.File(folder / "espm" / "88_ES-LP_G8_selection2_cropped2.hspy") as file:
        (experiment,) = file["Experiments"].values()
        axis = experiment["axis-2"].attrs
        counts = experiment["data"][...].sum(axis=(0, 1), dtype=np.int64)
        return spectrum(axis["offset"] + axis["scale"] * np.arange(counts.size), counts)


def titanates(folder: Path) -> list[xr.Dataset]:
    """SrTiO3 as the four segments of a detector saw it, from pyTEMlib."""
    from rsciio.emd import file_reader

    found = []
    for signal in file_reader(str(folder / "pyTEMlib" / "EDS-STO.emd"))[1:]:
        axis, counts = signal["axes"][-1], np.asarray(signal["data"], dtype=np.int64)
        found.append(spectrum(axis["offset"] + axis["scale"] * np.arange(counts.size), counts))
    return found


def four_detectors(folder: Path) -> tuple[xr.Dataset, xr.DataArray]:
    """A map of Au-Pd on silica by Velox: its sum, and the spectra of its four detectors."""
    from rsciio.emd import file_reader

    path = folder / "hyperspy-1.7.6-wheel" / "fei_SI_EDS-HAADF-4detectors_2frames.emd"
    signals = [s for s in file_reader(str(path)) if s["axes"][-1]["units"] == "keV"]
    (cube,) = (s for s in signals if s["data"].ndim == 3)
    alone = np.array([s["data"] for s in signals if s["data"].ndim == 1], dtype=np.int64)
    axis = cube["axes"][-1]
    energy = axis["offset"] + axis["scale"] * np.arange(axis["size"])
    total = np.asarray(cube["data"]).sum(axis=(0, 1), dtype=np.int64)
    return spectrum(energy, total), xr.DataArray(alone, dims=("detector", "energy"))


def perfect_deviance(found: Calibration, data: xr.Dataset) -> float:
    """Deviance per channel that Poisson counts of the model itself would have, by simulation."""
    dictionary = mlatem.edxs_dictionary(data, found)
    counts = data["counts"].values[found.window].astype(float)
    model = fit_counts(counts, dictionary.columns).model
    drawn = np.random.default_rng(0).poisson(model, (20, model.size)).astype(float)
    fits = [fit_counts(row, dictionary.columns).deviance_per_dof for row in drawn]
    return float(np.mean(fits))


def oxygen_per_titanium(data: xr.Dataset, found: Calibration) -> str:
    """O/Ti with its statistical and systematic standard deviation.

    They are those of the content x of oxygen over x (1 - x): errors of Ti and Sr, both of K lines,
    are small beside that of oxygen.
    """
    dictionary = mlatem.edxs_dictionary(data, found)
    one_pixel = data["counts"].values[None, None]
    phases = mlatem.factorize(one_pixel, dictionary, 1, calibration=found)
    table = mlatem.quantify(phases, calibration=found)
    percent, stat, sys = (
        table.pivot(name).iloc[0] for name in ("atomic_percent", "sigma_stat", "sigma_sys")
    )
    ratio = percent["O"] / percent["Ti"]
    scale = ratio / (percent["O"] * (1.0 - percent["O"] / 100.0))
    return f"{ratio:.2f} ± {scale * stat['O']:.2f} (stat) ± {scale * sys['O']:.2f} (sys)"


def strontium_per_titanium(data: xr.Dataset, found: Calibration) -> str:
    """Sr/Ti with its statistical standard deviation, and that of the K lines' intensities.

    The K lines alone tell it: the factors of the softer ones are fitted against them.
    """
    share = found.composition
    ratio = share["Sr"] / share["Ti"]
    names, counts, covariance = fitted_families(data, found)
    place = [names.index(name) for name in ("Sr K", "Ti K")]
    slope = np.array([1.0, -1.0]) / counts[place]
    stat = ratio * np.sqrt(slope @ covariance[np.ix_(place, place)] @ slope)
    prior = factor_covariance(["Sr K", "Ti K"])
    sys = ratio * np.sqrt(prior[0, 0] + prior[1, 1] - 2 * prior[0, 1])
    return f"{ratio:.3f} ± {stat:.3f} (stat) ± {sys:.3f} (sys)"


def fitted_families(
    data: xr.Dataset, found: Calibration
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names of families of lines, their counts, fitted free of each other, and the covariance."""
    energy = found.corrected(data["energy"].values)[found.window]
    split = dictionary_on_axis(energy, found, Edxs(), split="family")
    fit = fit_counts(data["counts"].values[found.window], split.columns)
    area = split.columns.sum(axis=1)
    return split.names, fit.coefficient * area, fit.covariance * np.outer(area, area)


def family_counts(data: xr.Dataset, found: Calibration, elements: Sequence[str] = ()) -> str:
    """Counts in families of lines; of all elements if none is named."""
    names, counts, covariance = fitted_families(data, found)
    wanted = elements or (*found.elements, *found.system_elements)
    return ", ".join(
        f"{name} {n:.0f} ± {s:.0f}"
        for name, n, s in zip(names, counts, np.sqrt(np.diag(covariance)), strict=True)
        if name.split()[0] in wanted
    )


def print_real(
    name: str,
    data: xr.Dataset,
    elements: Sequence[str],
    system: Sequence[str],
    *,
    detector_spectra: xr.DataArray | None = None,
    thickness_nm: float | None = None,
    density_g_cm3: float | None = None,
) -> None:
    """Fit and composition of a real spectrum."""
    start = time.process_time()
    found = mlatem.calibrate(
        data,
        elements,
        system_elements=system,
        beam_energy_kev=200.0,
        thickness_nm=thickness_nm,
        density_g_cm3=density_g_cm3,
        detector_spectra=detector_spectra,
    )
    taken = time.process_time() - start
    counts = data["counts"].values[found.window].sum()
    share = found.composition
    parts = ", ".join(f"{e} {100 * x:.2f}" for e, x in share.items())
    print(
        f"{name}: {counts} counts, deviance/dof {found.deviance_per_dof:.3f} (a perfect model: "
        f"{perfect_deviance(found, data):.3f}), {taken:.2f} s\n"
        f"    offset {1e3 * found.energy_offset_kev.value:.1f} eV, gain "
        f"{1e4 * found.energy_gain.value:.1f}e-4, {found.resolution_ev.value:.1f} eV; at%: {parts}"
    )
    if {"Fe", "Pt"} <= set(share):
        print(f"    Fe/(Fe+Pt) {100 * share['Fe'] / (share['Fe'] + share['Pt']):.2f} at%")
    if {"Sr", "Ti", "O"} <= set(share):
        print(f"    Sr/Ti {strontium_per_titanium(data, found)}")
        print(f"    O/Ti {oxygen_per_titanium(data, found)}")
        print(f"    counts: {family_counts(data, found)}")
    if "Cl" in share:
        print(f"    counts: {family_counts(data, found, ('Cl', 'Pt'))}")
    for detector in found.detectors:
        print(
            f"    {detector.name}: {100 * detector.share:.0f} %, "
            f"{1e3 * detector.energy_offset_kev.value:+.1f} eV, "
            f"{1e4 * detector.energy_gain.value:+.1f}e-4, {detector.noise_ev.value:.1f} eV"
        )


def print_all_real(folder: Path) -> None:
    """The real spectra."""
    print_real("FePt (exspy)", iron_platinum(folder), ["Fe", "Pt", "O", "Si", "Co"], ["Cu", "Zr"])
    segments = titanates(folder)
    alone = xr.concat([data["counts"] for data in segments], "detector")
    cases = [(f"segment {n}", data, None) for n, data in enumerate(segments, start=1)]
    cases.append(("all segments", segments[0].assign(counts=alone.sum("detector")), alone))
    for name, data, spectra in cases:
        for thickness in (None, 30.0, 50.0, 70.0):
            print_real(
                f"SrTiO3 (pyTEMlib), {name}, {thickness or 'no'} nm",
                data,
                ["O", "Ti", "Sr"],
                ["Cu", "Zr"],
                detector_spectra=spectra,
                thickness_nm=thickness,
                density_g_cm3=5.12 if thickness else None,
            )
    named = ["Mg", "Al", "Si", "Ca", "Fe", "Sm", "Nd", "Lu", "Hf", "U"]
    data = mineral(folder)
    print_real("ES-LP (espm), elements of its authors", data, named, ["Cu", "Zr", "Mo", "Ga"])
    for label, more, system in (
        ("Cl", ["Cl"], []),
        ("Pt of the lamella's protection", [], ["Pt"]),
        ("both", ["Cl"], ["Pt"]),
    ):
        print_real(
            f"ES-LP (espm), with {label}",
            data,
            [*named, *more],
            ["Cu", "Zr", "Mo", "Ga", *system],
        )
    data, spectra = four_detectors(folder)
    for label, detectors in (("one axis", None), ("an axis for each detector", spectra)):
        print_real(
            f"Au-Pd on silica (HyperSpy), {label}",
            data,
            ["Au", "Pd", "Si", "O"],
            ["Cu", "Zr", "Al"],
            thickness_nm=100.0,
            detector_spectra=detectors,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=12, help="spectra in a row of the table")
    parser.add_argument("--counts", type=float, nargs="+", default=[1e4, 1e5, 1e6])
    parser.add_argument("--spectra", type=int, default=200, help="spectra of the z-scores")
    parser.add_argument("--only", choices=("simulated", "uncertainties", "real"))
    given = parser.parse_args()
    if given.only in (None, "simulated"):
        print_accuracy(given.repeats, given.counts)
    if given.only in (None, "uncertainties"):
        print_uncertainties(given.spectra)
    if given.only in (None, "real"):
        folder = os.environ.get("MLATEM_TEST_DATA")
        if folder is None:
            print("MLATEM_TEST_DATA names no folder: no real spectra")
        else:
            print_all_real(Path(folder))


if __name__ == "__main__":
    main()
