# SPDX-License-Identifier: GPL-3.0-or-later
"""The same spectra and factors quantified by MLATEM and by eXSpy, against the truth.

    python benchmarks/beside_exspy.py --folder /tmp/exspy

Simulates specimens of one phase (`mlatem.simulation`), computes the factors of their alpha lines,
and gives spectra and factors to eXSpy, with its intensities from windows and from its model, and to
MLATEM, which fits all lines. Then eXSpy gets the intensities without error that follow from the
truth: what is left is a difference of formulas. eXSpy is installed by pip into an environment in
the folder, and needed for nothing else; what is in the folder already is used again.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import venv
from pathlib import Path

import numpy as np

import mlatem
from mlatem import settings
from mlatem.physics.absorption import self_absorption_factor
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.physics.factor_units import detected_cross_section_barn
from mlatem.physics.lines import emission_lines
from mlatem.physics.standardless import standardless_table
from mlatem.quantification.classical import cliff_lorimer, cross_section, zeta
from mlatem.simulation.specimen import simulate
from mlatem.specimen import Simulate

PACKAGES = ("exspy>=0.3", "hyperspy>=2")
SOLID_ANGLE_SR = 0.7
BEAM_KEV = 200.0
PROBE_NM2 = 1.0

#: Atomic percent, density (g/cm3) and thickness (nm).
CASES = {
    "AlTiFeNi": ({"Al": 20.0, "Ti": 30.0, "Fe": 25.0, "Ni": 25.0}, 6.0, 33.0),
    "CrMnFeCo": ({"Cr": 25.0, "Mn": 5.0, "Fe": 60.0, "Co": 10.0}, 7.8, 30.0),
    "silicate": ({"O": 57.0, "Mg": 15.0, "Al": 6.0, "Si": 18.0, "Fe": 4.0}, 3.0, 300.0),
}

PEER = r"""
import json, sys, warnings
import numpy as np
warnings.filterwarnings("ignore")
import exspy, hyperspy.api as hs
hs.set_log_level("ERROR")
job = json.load(open(sys.argv[1]))
results = []
def percent(q):
    return [float(np.ravel(x.data)[0]) for x in q]
for case in job["cases"]:
    s = exspy.signals.EDSTEMSpectrum(np.array(case["counts"], dtype=float))
    axis = s.axes_manager[-1]
    axis.name, axis.units, axis.scale, axis.offset = "Energy", "keV", case["scale"], case["offset"]
    s.set_microscope_parameters(
        beam_energy=200.0, live_time=case["live_time_s"], beam_current=case["current_na"],
        elevation_angle=22.0, azimuth_angle=0.0, tilt_stage=0.0, energy_resolution_MnKa=128.0,
        probe_area=case["probe_nm2"],
    )
    s.set_elements(case["elements"])
    s.set_lines(case["lines"])
    ordered = list(s.metadata.Sample.xray_lines)
    place = [case["lines"].index(line) for line in ordered]
    k, z, b = ([case[name][i] for i in place] for name in ("k", "zeta", "barn"))
    windows = s.get_lines_intensity(background_windows=s.estimate_background_windows())
    m = s.create_model()
    m.fit()
    m.fit_background()
    m.fit()
    fitted = m.get_lines_intensity(ordered)
    exact = [w.deepcopy() for w in windows]
    for signal, i in zip(exact, place):
        signal.data = np.full(signal.data.shape, case["exact"][i])
    out = {"elements": [case["elements"][i] for i in place], "version": exspy.__version__}
    for name, intensities in (("windows", windows), ("model", fitted), ("exact", exact)):
        try:
            out[name + " k"] = percent(s.quantification(
                intensities, method="CL", factors=k, composition_units="atomic"))
            q, t = s.quantification(
                intensities, method="zeta", factors=z, composition_units="atomic",
                absorption_correction=True)
            out[name + " zeta, absorption"] = percent(q)
            out[name + " mass thickness"] = float(np.ravel(t.data)[0])
            q, n = s.quantification(
                intensities, method="cross_section", factors=b, composition_units="atomic",
                probe_area=case["probe_nm2"])[:2]
            out[name + " cross-section"] = percent(q)
        except Exception as error:
            out[name + " failed"] = f"{type(error).__name__}: {error}"[:200]
    results.append(out)
print(json.dumps(results))
"""


def environment(folder: Path) -> Path:
    """The Python of an environment with eXSpy, made where there is none."""
    home = folder / "environment"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def specimen(name: str, counts: float, seed: int) -> Simulate:
    atomic_percent, density, thickness = CASES[name]
    return Simulate(
        name=name,
        seed=seed,
        phases=({"name": "only", "atomic_percent": atomic_percent, "density_g_cm3": density},),
        thickness={"mean_nm": thickness},
        n_rows=4,
        n_columns=4,
        n_channels=1024,
        counts_per_pixel=counts / 16,
        physics={"system_fraction": {}},
    )


def factors(elements: list[str]) -> dict[str, list[float]]:
    """k, zeta and cross-section of the K alpha lines."""
    lines = [(element, "Ka") for element in elements]
    common = {"beam_energy_kev": BEAM_KEV, "detector": settings.Detector()}
    k = standardless_table(lines, kind="k", reference=lines[0], **common)
    made = {
        kind: standardless_table(lines, kind=kind, solid_angle_sr=SOLID_ANGLE_SR, **common)
        for kind in ("zeta", "cross_section")
    }
    return {
        "k": [f.value for f in k.factors],
        "zeta": [f.value for f in made["zeta"].factors],
        "barn": [f.value for f in made["cross_section"].factors],
    }


def exact_intensities(name: str, electrons: float, *, absorbed: bool) -> list[float]:
    """Counts of the K alpha lines of a specimen, of which zeta gives back its mass thickness."""
    percent, density, thickness = CASES[name]
    mass = sum(x * atomic_weight(e) for e, x in percent.items())
    mass_thickness = 1e-6 * density * thickness
    found = []
    for element, share in percent.items():
        barn = detected_cross_section_barn(element, "Ka", BEAM_KEV, settings.Detector())
        atoms_barn = mass_thickness * share / mass * 6.02214076e23 * 1e3 * 1e-28
        lines = emission_lines(element, BEAM_KEV)
        energy = lines.energy_kev[lines.names.index("K-L3")]
        left = self_absorption_factor(
            percent, energy, mass_thickness_kg_m2=mass_thickness, take_off_angle_deg=22.0
        )
        leaving = float(left) if absorbed else 1.0
        found.append(electrons * atoms_barn * barn * SOLID_ANGLE_SR / (4 * math.pi) * leaving)
    return found


def dose(made, name: str) -> float:  # type: ignore[no-untyped-def]
    """Electrons that make the specimen's mean counts in lines, with the true mass thickness."""
    percent, density, thickness = CASES[name]
    energy = made.image.energy
    mass_thickness = 1e-6 * density * thickness
    dictionary = edxs_dictionary(
        energy[energy > 0.1],
        elements=list(percent),
        beam_energy_kev=BEAM_KEV,
        mass_thickness_kg_m2=mass_thickness,
        composition=percent,
    )
    mass = sum(x * atomic_weight(e) for e, x in percent.items())
    atoms_barn = mass_thickness * np.array([*percent.values()]) / mass * 6.02214076e23 * 1e-25
    columns = dictionary.columns[: len(percent)].sum(axis=1)
    per_electron = float(atoms_barn @ columns) * SOLID_ANGLE_SR / (4 * math.pi)
    lines = 1.0 - made.settings.physics.continuum_fraction
    return lines * made.settings.counts_per_pixel * 16 / per_electron


def ours(made, name: str) -> dict[str, list[float]]:  # type: ignore[no-untyped-def]
    """At% of MLATEM with the thickness known and with absorption left out."""
    percent, density, thickness = CASES[name]
    found = {}
    for label, known in (
        ("thickness known", {"thickness_nm": thickness, "density_g_cm3": density}),
        ("no absorption", {}),
    ):
        calibration = mlatem.calibrate(made.image, list(percent), system_elements=[], **known)
        dictionary = mlatem.edxs_dictionary(made.image, calibration)
        table = mlatem.quantify(
            mlatem.factorize(made.image, dictionary, 1, calibration=calibration),
            calibration=calibration,
        )
        frame = table.frame.set_index("element").loc[list(percent)]
        found[label] = frame["atomic_percent"].tolist()
        found[f"{label}, sigma"] = frame["sigma_stat"].tolist()
    return found


def rms(values: list[list[float]], truth: np.ndarray) -> str:
    error = np.sqrt(np.mean((np.array(values) - truth) ** 2, axis=0))
    return f"{error.min():.2f} to {error.max():.2f}"


def formulas(job: dict, peer: dict, name: str) -> str:  # type: ignore[type-arg]
    """Largest difference of our formulas and eXSpy's on the same intensities, at%."""
    elements, counts = list(CASES[name][0]), job["exact"]
    order = [peer["elements"].index(e) for e in elements]
    weights = np.array([atomic_weight(e) for e in elements])

    def atomic(fractions: np.ndarray) -> np.ndarray:
        moles = fractions / weights
        return 100 * moles / moles.sum()

    electrons = job["electrons"]
    mine = {
        "k": atomic(cliff_lorimer(counts, job["k"]).fractions),
        "cross-section": 100 * cross_section(counts, job["barn"], electrons=electrons).fractions,
    }
    parts = []
    for method, values in mine.items():
        theirs = np.array(peer[f"exact {method}"])[order]
        parts.append(f"{method} {np.abs(values - theirs).max():.2g} at%")
    without = zeta(counts, job["zeta"], electrons=electrons)
    truth = 1e-6 * CASES[name][1] * CASES[name][2]
    percent = np.array([*CASES[name][0].values()])
    theirs = np.array(peer["exact zeta, absorption"])[order]
    parts.append(
        f"zeta with absorption {np.abs(theirs - percent).max():.2g} at% from the truth, mass "
        f"thickness {peer['exact mass thickness'] / truth - 1:+.2%} (ours without absorption "
        f"{(without.amount or 0) / truth - 1:+.2%})"
    )
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keeps the environment; else temporary")
    parser.add_argument("--counts", type=float, default=1e6)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        python = environment(folder)
        jobs, mine = [], []
        for name in CASES:
            elements = list(CASES[name][0])
            for seed in range(options.repeats):
                made = simulate(specimen(name, options.counts, seed))
                spectrum = np.asarray(made.image.counts).sum(axis=(0, 1))
                electrons = dose(made, name)
                jobs.append(
                    {
                        "name": name,
                        "elements": elements,
                        "lines": [f"{e}_Ka" for e in elements],
                        "counts": spectrum.tolist(),
                        "offset": float(made.image.energy[0]),
                        "scale": float(np.diff(made.image.energy[:2])[0]),
                        "electrons": electrons,
                        "live_time_s": 100.0,
                        "current_na": electrons * 1.602176634e-19 * 1e9 / 100.0,
                        "probe_nm2": PROBE_NM2,
                        "exact": exact_intensities(name, electrons, absorbed=True),
                        **factors(elements),
                    }
                )
                mine.append(ours(made, name))
        path = folder / "jobs.json"
        path.write_text(json.dumps({"cases": jobs}))
        done = subprocess.run(
            [python, "-c", PEER, path], capture_output=True, text=True, check=True
        )
        peers = json.loads(done.stdout.strip().splitlines()[-1])
    print(
        f"{options.counts:g} counts, {options.repeats} spectra each; rms error of an element, at%"
    )
    print(f"eXSpy {peers[0]['version']}, MLATEM {mlatem.__version__}\n")
    report(jobs, mine, peers)


def report(jobs: list, mine: list, peers: list) -> None:  # type: ignore[type-arg]
    columns = ["windows k", "model k", "windows zeta, absorption", "model zeta, absorption"]
    ours_too = ["no absorption", "thickness known"]
    head = [*(f"eXSpy {c}" for c in columns), *(f"MLATEM {c}" for c in ours_too), "its sigma"]
    print(f"| Specimen | {' | '.join(head)} |\n|{'---|' * (len(head) + 1)}")
    for name, (percent, _, _) in CASES.items():
        chosen = [i for i, job in enumerate(jobs) if job["name"] == name]
        truth = np.array([*percent.values()])
        order = [peers[chosen[0]]["elements"].index(e) for e in percent]
        cells = []
        for column in columns:
            found = [peers[i].get(column) for i in chosen]
            good = [[f[o] for o in order] for f in found if f]
            cells.append(rms(good, truth) if good else "failed")
        cells += [rms([mine[i][c] for i in chosen], truth) for c in ours_too]
        sigma = np.mean([mine[i]["thickness known, sigma"] for i in chosen], axis=0)
        cells.append(f"{sigma.min():.2f} to {sigma.max():.2f}")
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nThe same exact intensities in both formulas:")
    for name in CASES:
        place = next(i for i, job in enumerate(jobs) if job["name"] == name)
        failed = {k: v for k, v in peers[place].items() if k.endswith("failed")}
        print(f"- {name}: {failed or formulas(jobs[place], peers[place], name)}")


if __name__ == "__main__":
    main()
