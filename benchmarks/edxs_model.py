# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds for the dictionary of 20 elements on 4096 channels: the first, and on a moved axis.

python benchmarks/edxs_model.py
"""

from __future__ import annotations

import time

import numpy as np

from mlatem.physics.dictionary import edxs_dictionary

ELEMENTS = (
    *("O", "Na", "Mg", "Al", "Si", "P", "S", "K", "Ca", "Ti"),
    *("V", "Cr", "Mn", "Fe", "Co", "Ni", "Zn", "Sr", "Zr", "Ba"),
)
SYSTEM = ("Cu",)
N_REPEATS = 7


def build(offset_kev: float, **options):
    energy = 0.35 + offset_kev + 0.005 * np.arange(4096)
    return edxs_dictionary(
        energy, elements=ELEMENTS, system_elements=SYSTEM, beam_energy_kev=200.0, **options
    )


def seconds(offset_kev: float, **options) -> float:
    start = time.perf_counter()
    build(offset_kev, **options)
    return time.perf_counter() - start


def main() -> None:
    cases = {
        "no absorption": {},
        "100 nm of 3 g/cm3": {"mass_thickness_kg_m2": 3e-4},
        "the same, by sub-shell": {"mass_thickness_kg_m2": 3e-4, "split": "shell"},
    }
    print(f"{len(ELEMENTS)} elements, {len(SYSTEM)} of the instrument, 4096 channels")
    for name, options in cases.items():
        first = seconds(0.0, **options)
        later = [seconds(1e-4 * k, **options) for k in range(1, N_REPEATS + 1)]
        print(f"{name}: first {first:.3f} s, then median {np.median(later):.4f} s")


if __name__ == "__main__":
    main()
