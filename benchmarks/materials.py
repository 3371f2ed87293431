# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra of materials of known composition, made by a model that is not quite the fit's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mlatem import settings
from mlatem.kernels.lines import add_lines
from mlatem.kernels.wings import add_wings
from mlatem.physics.absorption import (
    element_absorption_m2_kg,
    escape_probability,
    mass_absorption_m2_kg,
)
from mlatem.physics.detector import efficiency, fwhm_ev
from mlatem.physics.lines import emission_lines
from mlatem.units import FWHM_PER_SIGMA

#: The settings are chosen on these (atomic percent) ...
DEVELOPMENT = (
    "Ba20 Ti20 O60",
    "Sr20 Ti20 O60",
    "Pb50 S50",
    "Mo33 S67",
    "Pb20 Mo20 S60",
    "Mn30 Fe40 Co30",
    "Cr18 Mn2 Fe71 Ni9",
    "Ta36 Si30 N34",
    "W33 Si67",
    "Hf33 O67",
    "Hf20 Si14 O66",
    "Ga50 As50",
    "Mg4 Ga48 As48",
    "Zn50 O50",
    "Na5 Zn45 O50",
    "F55 Fe25 K20",
    "Ti50 N50",
    "Ti46 Al46 Nb8",
    "Ni75 Al25",
    "Ni60 Al14 Cr12 Co8 W3 Ta3",
    "Al67 Cu33",
    "Mg14 Si14 Fe10 O62",
    "Ca20 C20 O60",
    "Ca17 P17 O66",
    "Si33 O67",
    "Al40 O60",
    "Fe43 O57",
    "Ce33 O67",
    "La20 Mn20 O60",
    "Y12 Ba8 Cu25 O55",
    "Cd50 Te50",
    "In50 P50",
    "In53 Sn5 O42",
    "Zr33 O67",
    "Nd12 Fe82 B6",
    "Pt50 Co50",
    "Au60 Ag40",
    "Ba17 S17 O66",
    "Fe33 S67",
    "Cu25 Fe25 S50",
    "Na33 Cl33 O34",
    "K5 Al10 Si25 O60",
    "Ga45 In5 N50",
    "Bi40 Te60",
    "Ge22 Sb22 Te56",
    "U33 O67",
    "Pb20 Zr10 Ti10 O60",
    "Li25 Ni15 Mn6 Co4 O50",
)

#: ... and these, with other seeds, tell how good they are.
BLIND = (
    "Ba15 Ti22 O63",
    "Ba10 Sr10 Ti20 O60",
    "Pb45 S45 Bi10",
    "Mo25 W8 S67",
    "Pb10 Mo10 S25 O55",
    "Mn20 Fe20 Co20 Ni20 Cr20",
    "Cr20 Fe5 Ni55 Mo10 Nb4 Ti3 Al3",
    "Ta20 N20 Si5 O55",
    "W25 N25 Si10 O40",
    "Hf25 Zr8 O67",
    "Ta28 O72",
    "W25 O75",
    "Ga40 Al10 As50",
    "In26 Ga24 As50",
    "Mg10 Zn40 O50",
    "Na8 Zn32 P15 O45",
    "Zn50 S50",
    "Zn45 Se55",
    "Na30 F50 Al20",
    "Fe25 F75",
    "Li15 Fe15 P15 O55",
    "Li20 Co25 O55",
    "Ti25 N25 Al25 O25",
    "Ti88 Al9 V3",
    "V40 O60",
    "Ni50 Ti50",
    "Co62 Cr28 Mo6 Si4",
    "Al88 Zn6 Mg4 Cu2",
    "Al90 Si7 Mg3",
    "Mg97 Y3",
    "Mg25 Si25 O50",
    "Na5 Ca3 Al8 Si24 O60",
    "K6 Mg12 Fe6 Al6 Si15 O55",
    "Ca20 Mg5 Si20 O55",
    "Ca10 S17 O63 K10",
    "Ca15 Fe8 Si17 O60",
    "Ca22 P13 O60 F5",
    "Sr15 S18 O67",
    "Fe30 Ti15 O55",
    "Fe20 Cr25 Mg10 O45",
    "Mn40 O60",
    "Co43 O57",
    "Ni50 O50",
    "Cu50 O50",
    "Ce25 Zr10 O65",
    "Gd10 Ce25 O65",
    "La16 Sr4 Co10 Fe10 O60",
    "Nd20 Ga20 O60",
    "Dy20 Sc20 O60",
    "Bi15 Fe20 O65",
    "Bi10 Sr10 Ca6 Cu10 O64",
    "K10 Na10 Nb20 O60",
    "Y8 Zr26 O66",
    "Y15 Al25 O60",
    "Sm17 Co83",
    "Fe50 Pt50",
    "Pt25 Ni75",
    "Pd50 Ag50",
    "Au50 Cu50",
    "Rh30 Pt70",
    "Ir40 Ru60",
    "Ni33 As67",
    "Fe33 As33 S34",
    "Zn20 Cu20 Sn10 S50",
    "Cu25 In17 Ga8 Se50",
    "Ag67 S33",
    "Cd45 Zn5 Se50",
    "Pb40 Te50 Se10",
    "Sb40 Te60",
    "Al30 Ga20 N50",
    "Ge20 Si80",
    "Si40 C55 O5",
    "Si43 N57",
    "Cs20 Pb20 Br60",
    "Pb20 I60 N20",
    "Ag50 Cl40 Br10",
    "K45 Cl45 Br10",
    "Sn33 O67",
    "Th33 O67",
    "Re10 Ni70 Al20",
    "Hg50 Te40 Cd10",
    "Lu25 Al15 Si10 O50",
)

#: Photons from parts of the instrument: the element and the largest share of all counts.
GRIDS = {"Cu": 0.3, "Ni": 0.2, "Mo": 0.15, "Au": 0.2}
STRAY = {"Zr": 0.01, "Fe": 0.01, "Co": 0.006, "Mo": 0.01, "Si": 0.01}

#: Elements without a line that a detector sees.
INVISIBLE = ("H", "He", "Li")

BEAM_ENERGIES_KEV = (80.0, 120.0, 200.0, 300.0)
FAMILY_SIGMA, WIDTH_SIGMA, OFFSET_SIGMA_EV, GAIN_SIGMA = 0.08, 0.02, 2.0, 2e-4
KEV_PER_CHANNEL, N_CHANNELS = 0.01, 2048

_SILICON_EDGE_KEV, _SILICON_K_ALPHA_KEV = 1.839, 1.740
#: Distance from a line at which the wings of its natural width end.
_WING_REACH_KEV = 2.0
_SILICON_K_YIELD, _SILICON_K_SHARE = 0.0504, 0.92


@dataclass(frozen=True)
class Sample:
    """One spectrum with what is in it."""

    formula: str
    fraction: Mapping[str, float]
    """Atomic fractions."""
    instrument: frozenset[str]
    """Elements whose lines come from the instrument."""
    beam_energy_kev: float
    energy: np.ndarray
    """As the fit believes, keV."""
    expected: np.ndarray
    """Adds up to one."""
    seed: int

    def counts(self, total: float) -> np.ndarray:
        """A spectrum of so many counts."""
        random = np.random.default_rng([self.seed, int(total)])
        return random.poisson(total * self.expected)


def parse(formula: str) -> dict[str, float]:
    """Atomic fractions from "Ba20 Ti20 O60"."""
    parts = re.findall(r"([A-Z][a-z]?)([\d.]+)", formula)
    total = sum(float(number) for _, number in parts)
    return {element: float(number) / total for element, number in parts}


def samples(formulas: tuple[str, ...], n: int, seed: int) -> Iterator[Sample]:
    """So many specimens of the materials in turn, each with errors of its own."""
    for index in range(n):
        yield _sample(formulas[index % len(formulas)], seed * 100_003 + index)


def _sample(formula: str, seed: int) -> Sample:
    random = np.random.default_rng(seed)
    fraction = parse(formula)
    beam = float(random.choice(BEAM_ENERGIES_KEV))
    detector = settings.Detector()
    energy = KEV_PER_CHANNEL * np.arange(N_CHANNELS) - 0.1
    edges = np.append(energy, energy[-1] + KEV_PER_CHANNEL) - 0.5 * KEV_PER_CHANNEL
    edges = edges * (1 + random.normal(0, GAIN_SIGMA)) + 1e-3 * random.normal(0, OFFSET_SIGMA_EV)
    width = 1 + random.normal(0, WIDTH_SIGMA)
    thickness = random.uniform(30, 150) * 5e-6
    escape = {"composition": fraction, "path": thickness / np.sin(np.deg2rad(22.0))}
    specimen = sum(
        share * _lines(element, beam, edges, width, detector, random, **escape)
        for element, share in fraction.items()
        if element not in INVISIBLE
    )
    continuum = _continuum(edges, beam, detector, random.uniform(0.7, 1.3), **escape)
    share = random.uniform(0.2, 0.5)
    expected = (1 - share) * specimen / specimen.sum() + share * continuum
    instrument = {}
    if random.random() < 0.7:
        grid = str(random.choice(list(GRIDS), p=[0.7, 0.1, 0.1, 0.1]))
        instrument[grid] = random.uniform(0.02, GRIDS[grid])
    for element, largest in STRAY.items():
        if random.random() < 0.2:
            instrument[element] = random.uniform(0.1, 1.0) * largest
    for element, part in instrument.items():
        stray = _lines(element, beam, edges, width, detector, random)
        expected = expected + part * stray / stray.sum()
    sums = np.convolve(expected, expected)[: N_CHANNELS + 20]
    shift = round(0.1 / KEV_PER_CHANNEL)
    sums = sums[shift:][:N_CHANNELS]
    expected = expected / expected.sum() + random.uniform(0, 0.004) * sums / sums.sum()
    return Sample(
        formula, fraction, frozenset(instrument), beam, energy, expected / expected.sum(), seed
    )


def _lines(element, beam, edges, width, detector, random, composition=None, path=0.0):
    """Lines of one element, barn per channel."""
    lines = emission_lines(element, beam)
    factor = {f: float(np.exp(FAMILY_SIGMA * random.standard_normal())) for f in "KLM"}
    area = lines.cross_section_barn * efficiency(lines.energy_kev, detector)
    area = area * np.array([factor[f] for f in lines.families])
    if composition is not None:
        depth = path * mass_absorption_m2_kg(composition, lines.energy_kev)
        area = area * escape_probability(depth)
    escaping = escape_share(lines.energy_kev)
    energies = np.concatenate([lines.energy_kev, lines.energy_kev - _SILICON_K_ALPHA_KEV])
    areas = np.concatenate([area * (1 - escaping), area * escaping])
    kept = (energies > 0.05) & (areas > 0)
    sigma = 1e-3 * width * fwhm_ev(energies, detector.noise_ev, detector.fano) / FWHM_PER_SIGMA
    spectrum = np.zeros((1, edges.size - 1))
    row, place = np.zeros(kept.sum(), int), (energies[kept], sigma[kept])
    natural = np.concatenate([0.5 * lines.natural_width_kev, np.zeros(lines.energy_kev.size)])
    add_lines(spectrum, edges, row, *place, areas[kept])
    add_wings(spectrum, edges, row, *place, natural[kept], areas[kept], _WING_REACH_KEV)
    return spectrum[0]


def escape_share(energy_kev: np.ndarray) -> np.ndarray:
    """Share of the counts of a line that lose a silicon K photon (Reed and Ware 1972, eq. 5)."""
    above = energy_kev > _SILICON_EDGE_KEV
    own = element_absorption_m2_kg("Si", np.array([_SILICON_K_ALPHA_KEV]))[0]
    ratio = element_absorption_m2_kg("Si", energy_kev) / own
    depth = 1.0 - np.log1p(ratio) / np.maximum(ratio, 1e-12)
    return np.where(above, 0.5 * _SILICON_K_YIELD * _SILICON_K_SHARE * depth, 0.0)


def _continuum(edges, beam, detector, exponent, composition, path):
    """A power law towards the beam energy with the edges of self-absorption; adds up to one."""
    energy = 0.5 * (edges[1:] + edges[:-1])
    inside = (energy > 0.1) & (energy < beam)
    curve = np.zeros(energy.size)
    e = energy[inside]
    curve[inside] = (beam - e) ** 1.2 / e**exponent * efficiency(e, detector)
    curve[inside] *= escape_probability(path * mass_absorption_m2_kg(composition, e))
    return curve / curve.sum()


def hardest_kev(sample: Sample, element: str) -> float:
    """Energy of the hardest line that the beam excites and the axis holds; 0 if there is none."""
    if element in INVISIBLE:
        return 0.0
    energies = emission_lines(element, sample.beam_energy_kev).energy_kev
    return float(np.max(energies[energies < sample.energy[-1]], initial=0.0))
