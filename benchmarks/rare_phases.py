# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a rare phase is found, and how often one is found where there is none.

    python benchmarks/rare_phases.py --nulls 60 --specimens 20

Maps of 128 x 128 pixels of three silicates and oxides that share their elements, counts drawn from
their dictionary; seeds, thickness and shapes differ. Rare phases: 16 pixels with an element of
their own at 50 counts a pixel, in a square and scattered; 64 pixels of an olivine richer in iron,
with the elements of its surroundings alone, at 200 counts a pixel.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.optimize import nnls

import mlatem
from mlatem.physics.dictionary import edxs_dictionary

SIZE = 128
ENERGY = np.arange(0.2, 12.0, 0.01)
ELEMENTS = ("O", "Mg", "Al", "Si", "Ca", "Ti", "Cr", "Fe", "Ni")
HOSTS = (
    {"O": 57.1, "Mg": 25.0, "Fe": 3.6, "Si": 14.3},
    {"O": 60.0, "Al": 20.0, "Si": 15.0, "Ca": 5.0},
    {"O": 62.0, "Ca": 12.0, "Ti": 13.0, "Si": 13.0},
)
CHROMITE = {"O": 57.1, "Cr": 28.6, "Fe": 14.3}
IRON_OLIVINE = {"O": 57.1, "Mg": 14.3, "Fe": 14.3, "Si": 14.3}
SHARE_IN_PIXEL = 0.8
CONTINUUM_SHARE = 0.3


@dataclass(frozen=True)
class Kind:
    """A kind of specimen."""

    name: str
    counts_per_pixel: float
    composition: dict[str, float] | None
    side_px: int
    scattered: bool = False

    @property
    def n_pixels(self) -> int:
        """Pixels of the rare phase."""
        return self.side_px**2


KINDS = (
    Kind("16 px, element of its own, 50 counts", 50.0, CHROMITE, 4),
    Kind("16 px scattered, element of its own, 50 counts", 50.0, CHROMITE, 4, scattered=True),
    Kind("64 px, elements of its surroundings, 200 counts", 200.0, IRON_OLIVINE, 8),
)
NULLS = (Kind("none, 50 counts", 50.0, None, 0), Kind("none, 200 counts", 200.0, None, 0))


def dictionary() -> mlatem.Dictionary:
    """Nine elements, the grid's copper and four continua."""
    return edxs_dictionary(
        ENERGY, elements=ELEMENTS, system_elements=("Cu",), beam_energy_kev=200.0, n_background=4
    )


def spectrum(table: mlatem.Dictionary, composition: dict[str, float]) -> np.ndarray:
    """Spectrum of a phase with its continuum, adding up to one."""
    lines = sum(percent * table.columns[table.names.index(e)] for e, percent in composition.items())
    continua = table.columns[[kind == "background" for kind in table.kinds]]
    falling = np.exp(-0.3 / ENERGY) / ENERGY
    continuum = nnls(continua.T, falling)[0] @ continua
    return (1 - CONTINUUM_SHARE) * lines / lines.sum() + (
        CONTINUUM_SHARE * continuum / continuum.sum()
    )


def specimen(table: mlatem.Dictionary, kind: Kind, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (ny, nx, n_energy), and where the rare phase is (ny, nx)."""
    random = np.random.default_rng(seed)
    share = np.zeros((SIZE, SIZE, 3))
    for phase, (area, size) in enumerate(((0.15, 6.0), (0.1, 4.0)), start=1):
        field = gaussian_filter(random.standard_normal((SIZE, SIZE)), size)
        grains = (field > np.quantile(field, 1 - area)) & (share.sum(axis=2) == 0)
        share[..., phase] = random.uniform(0.5, 0.9) * gaussian_filter(grains.astype(float), 0.7)
    share[..., 0] = 1 - share.sum(axis=2)
    waves = gaussian_filter(random.standard_normal((SIZE, SIZE)), 15)
    total = kind.counts_per_pixel * np.exp(0.2 * waves / waves.std())
    model = (share * total[..., None]) @ np.array([spectrum(table, host) for host in HOSTS])
    place = np.zeros((SIZE, SIZE), dtype=bool)
    if kind.composition is not None:
        if kind.scattered:
            place.ravel()[random.choice(place.size, kind.n_pixels, replace=False)] = True
        else:
            y, x = random.integers(0, SIZE - kind.side_px, 2)
            place[y : y + kind.side_px, x : x + kind.side_px] = True
        rare = spectrum(table, kind.composition)
        there = model[place]
        model[place] = (1 - SHARE_IN_PIXEL) * there + (
            SHARE_IN_PIXEL * there.sum(axis=1, keepdims=True) * rare
        )
    return random.poisson(model).astype(np.uint16), place


@dataclass(frozen=True)
class Outcome:
    """What came of one specimen."""

    recall: float
    """Share of the rare phase's pixels that are in a candidate; NaN where there is none."""
    is_found: bool
    """At least half of the pixels of some candidate are the rare phase's."""
    n_false: int
    """Candidates with no pixel within 5 of the rare phase."""
    elements: tuple[str, ...]
    percent: tuple[dict[str, float], dict[str, float]] | None
    seconds: float


def outcome(table: mlatem.Dictionary, kind: Kind, seed: int) -> Outcome:
    """Factorise a specimen into three phases and search the rest."""
    counts, place = specimen(table, kind, seed)
    phases = mlatem.factorize(counts, table, 3)
    start = time.process_time()
    search = mlatem.find_rare_phases(counts, phases)
    seconds = time.process_time() - start
    numbers = search["candidate_map"].values
    near = binary_dilation(place, iterations=5)
    shares = [place[numbers == n].mean() for n in search["candidate"].values]
    n_false = sum(not near[numbers == n].any() for n in search["candidate"].values)
    hits = [i for i, share in enumerate(shares) if share >= 0.5]
    elements: tuple[str, ...] = ()
    percent = None
    if hits:
        best = hits[0]
        score = search["element_score"].values[best]
        names = search["element"].values
        elements = tuple(str(names[j]) for j in np.argsort(-score) if score[j] > 4)
        percent = (_composition(search, best, "region"), _composition(search, best, "excess"))
    recall = float((numbers[place] > 0).mean()) if place.any() else np.nan
    return Outcome(recall, bool(hits), n_false, elements, percent, seconds)


def _composition(search: xr.Dataset, candidate: int, end: str) -> dict[str, float]:
    """At% of one end of a candidate's range, from half a percent."""
    percent = search[f"atomic_percent_{end}"].values[candidate]
    names = search["element"].values
    return {str(names[j]): round(float(percent[j]), 1) for j in np.flatnonzero(percent > 0.5)}


def main() -> None:
    """Print a table of what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--specimens", type=int, default=20, help="of each kind (default 20)")
    parser.add_argument("--nulls", type=int, default=60, help="without rare phase (default 60)")
    parser.add_argument("--seed", type=int, default=1000, help="of the first (default 1000)")
    parser.add_argument("--verbose", action="store_true", help="print every specimen")
    chosen = parser.parse_args()
    table = dictionary()
    half = chosen.nulls // 2
    runs = [(kind, chosen.specimens) for kind in KINDS]
    runs += [(NULLS[0], chosen.nulls - half), (NULLS[1], half)]
    print("| rare phase | maps | found | recall, median | maps with a false candidate | CPU s |")
    print("|---|---|---|---|---|---|")
    for kind, n_maps in runs:
        results = [outcome(table, kind, chosen.seed + i) for i in range(n_maps)]
        if chosen.verbose:
            for result in results:
                print(result, flush=True)
        if results:
            print(_row(kind, results), flush=True)


def _row(kind: Kind, results: list[Outcome]) -> str:
    found = f"{sum(r.is_found for r in results)} of {len(results)}" if kind.composition else ""
    recall = f"{np.median([r.recall for r in results]):.2f}" if kind.composition else ""
    n_false = sum(r.n_false > 0 for r in results)
    seconds = np.median([r.seconds for r in results])
    return f"| {kind.name} | {len(results)} | {found} | {recall} | {n_false} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
