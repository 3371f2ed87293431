# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world of peaks on a background, with known amounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mlatem.model import Dictionary, Factorization

ENERGY = 0.2 + 0.02 * np.arange(300)


def peak(energy_kev: float) -> np.ndarray:
    return np.exp(-0.5 * ((ENERGY - energy_kev) / 0.05) ** 2)


def make_dictionary(**changes: Any) -> Dictionary:
    """Fe, O, Si and two backgrounds, with the Cu of the grid; intensities differ by element."""
    columns = [
        30 * peak(4.0) + 8 * peak(0.7),
        12 * peak(0.525),
        25 * peak(1.74),
        20 * peak(5.5),
        np.full_like(ENERGY, 0.2),
        np.exp(-ENERGY),
    ]
    arguments: dict[str, Any] = {
        "columns": columns,
        "energy": ENERGY,
        "names": ["Fe", "O", "Si", "Cu (system)", "continuum 1", "continuum 2"],
        "kinds": ["line", "line", "line", "system", "background", "background"],
        "elements": ["Fe", "O", "Si", "Cu", None, None],
        "factor_sigma": [0.04, 0.25, 0.04, 0.0, 0.0, 0.0],
    }
    return Dictionary.from_arrays(**{**arguments, **changes})


def make_factorization(
    dictionary: Dictionary,
    coefficient: ArrayLike,
    abundance: ArrayLike,
    covariance: ArrayLike | None = None,
    abundance_covariance: ArrayLike | None = None,
) -> Factorization:
    """Phases of the given coefficients (any scale) with abundances of shape (ny, nx, n_phases)."""
    amounts = np.asarray(coefficient, dtype=np.float64)
    amounts = amounts / (amounts @ dictionary.columns).sum(axis=1, keepdims=True)
    counts = np.asarray(abundance, dtype=np.float32)
    n_phases, n_columns = amounts.shape
    pixel = (
        counts[..., None] * np.eye(n_phases, dtype=np.float32)
        if abundance_covariance is None
        else np.asarray(abundance_covariance, dtype=np.float32)
    )
    return Factorization(
        dictionary=dictionary,
        coefficient=amounts,
        coefficient_covariance=(
            np.zeros((n_phases, n_columns, n_columns))
            if covariance is None
            else np.asarray(covariance, dtype=np.float64)
        ),
        abundance=counts,
        abundance_covariance=pixel,
        deviance=np.zeros(counts.shape[:2], dtype=np.float32),
        dominant_counts=np.zeros((n_phases, dictionary.energy.size)),
        dominant_abundance=np.zeros((n_phases, n_phases)),
        loss=np.zeros(1),
        y_nm=np.arange(counts.shape[0], dtype=float),
        x_nm=np.arange(counts.shape[1], dtype=float),
    )


@pytest.fixture
def new_dictionary() -> Callable[..., Dictionary]:
    return make_dictionary


@pytest.fixture
def dictionary() -> Dictionary:
    return make_dictionary()


@pytest.fixture
def new_factorization() -> Callable[..., Factorization]:
    return make_factorization
