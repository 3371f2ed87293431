# SPDX-License-Identifier: GPL-3.0-or-later
"""The dictionary against a real spectrum of known composition."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.optimize import nnls

from mlatem.physics.dictionary import edxs_dictionary


@pytest.fixture(scope="module")
def iron_platinum(test_data):
    """FePt nanoparticles on a Cu grid, 200 kV, from exspy's tests: energy (keV) and counts."""
    path = test_data / "exspy" / "EDS_TEM_FePt_nanoparticles.hspy"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with h5py.File(path) as file:
        (experiment,) = file["Experiments"].values()
        axis = experiment["axis-0"].attrs
        counts = experiment["data"][...].astype(float)
        # 12 eV is the offset at which the lines of Cu, Fe and Pt agree best.
        energy = axis["offset"] + axis["scale"] * np.arange(counts.size) - 0.012
    window = energy > 0.45
    return energy[window], counts[window]


def fit(columns, counts):
    """Non-negative coefficients by iteratively weighted least squares, and their model."""
    model = np.maximum(counts, 1.0)
    for _ in range(8):
        weight = 1 / np.sqrt(model)
        scale = np.linalg.norm(columns * weight, axis=1)
        coefficients = nnls((columns * weight).T / scale, counts * weight, maxiter=2000)[0] / scale
        model = np.maximum(coefficients @ columns, 0.05)
    return coefficients, model


def test_iron_platinum_without_a_standard(iron_platinum):
    energy, counts = iron_platinum
    dictionary = edxs_dictionary(
        energy,
        elements=("Fe", "Pt", "O", "Si", "Co"),
        system_elements=("Cu", "Zr"),
        beam_energy_kev=200,
        noise_ev=60,
        fano=0.118,
    )
    coefficients, model = fit(dictionary.columns, counts)
    log_ratio = np.log(np.maximum(counts, 1e-9) / model)
    deviance = 2 * np.sum(np.where(counts > 0, counts * log_ratio, 0.0) - (counts - model))
    assert deviance / (counts.size - dictionary.n_columns) < 2.3
    iron, platinum = coefficients[:2]
    # exspy's documentation: 15.41 at% Fe, with factors of the manufacturer.
    assert 100 * iron / (iron + platinum) == pytest.approx(15.4, abs=1.5)
