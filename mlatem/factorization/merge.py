# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of tiles, in any order, to one factorisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.factorization.abundances import DominantSums, PixelAbundances
from mlatem.factorization.smoothing import smooth_abundances
from mlatem.factorization.solver import CompositionSolution
from mlatem.model import Dictionary, Factorization


def merge(
    tiles: Iterable[tuple[NDArray[np.int64], PixelAbundances, DominantSums]],
    solution: CompositionSolution,
    dictionary: Dictionary,
    *,
    y_nm: NDArray[np.float64],
    x_nm: NDArray[np.float64],
    attrs: Mapping[str, Any] | None = None,
) -> Factorization:
    """Assemble the abundances of all tiles.

    Parameters
    ----------
    tiles : iterable of (pixel, PixelAbundances, DominantSums)
        `pixel` of shape (n_pixels,) is the index of each pixel in the whole map, as in
        `SparseCounts.pixel`. Each pixel once, tiles in any order.
    solution : CompositionSolution
    dictionary : Dictionary
    y_nm, x_nm : ndarray
        Positions of the map's rows and columns, nm.
    attrs : mapping, optional
        JSON-safe; what the solve itself has to say is added.

    Raises
    ------
    InputError
        If a pixel is missing or given twice.
    """
    n_phases, shape = solution.n_phases, (y_nm.size, x_nm.size)
    n_pixels = y_nm.size * x_nm.size
    seen = np.zeros(n_pixels, dtype=np.int64)
    abundance = np.zeros((n_pixels, n_phases), dtype=np.float32)
    covariance = np.full((n_pixels, n_phases, n_phases), np.nan, dtype=np.float32)
    deviance = np.zeros(n_pixels, dtype=np.float32)
    unbounded = np.zeros((n_pixels, n_phases), dtype=np.float32)
    n_unconverged = 0
    sums = DominantSums.zero(n_phases, dictionary.energy.size)
    for pixel, part, part_sums in tiles:
        _check_inside(pixel, n_pixels)
        np.add.at(seen, pixel, 1)
        abundance[pixel] = part.abundance
        covariance[pixel] = part.covariance
        deviance[pixel] = part.deviance
        unbounded[pixel] = part.unbounded
        n_unconverged += int(np.count_nonzero(~part.converged))
        sums = sums + part_sums
    if np.any(seen != 1):
        raise InputError(
            f"tiles leave out {np.count_nonzero(seen == 0)} pixels and give "
            f"{np.count_nonzero(seen > 1)} more than once: expected each pixel once"
        )
    maps = abundance.reshape(*shape, n_phases)
    covariances = covariance.reshape(*shape, n_phases, n_phases)
    smooth = smooth_abundances(
        unbounded.reshape(maps.shape), covariances, solution.spectrum(dictionary)
    )
    return Factorization(
        dictionary=dictionary,
        coefficient=solution.coefficient,
        coefficient_covariance=solution.coefficient_covariance,
        abundance=maps,
        abundance_covariance=covariances,
        deviance=deviance.reshape(shape),
        dominant_counts=sums.counts,
        dominant_abundance=sums.abundance,
        loss=solution.loss,
        y_nm=y_nm,
        x_nm=x_nm,
        phase_columns=solution.phase_columns,
        abundance_smooth=maps if smooth is None else smooth,
        attrs={**(attrs or {}), **_solve_attrs(solution, n_unconverged)},
    )


def _solve_attrs(solution: CompositionSolution, n_unconverged: int) -> dict[str, Any]:
    """How the solve went, JSON-safe."""
    return {
        "converged": bool(solution.converged) and n_unconverged == 0,
        "reason": solution.reason,
        "n_rounds": solution.n_rounds,
        "n_carried": solution.n_carried,
        "spread_deg": [float(value) for value in solution.spread_deg],
        "n_pixels_not_converged": n_unconverged,
    }


def _check_inside(pixel: NDArray[np.int64], n_pixels: int) -> None:
    if pixel.size and not (pixel.min() >= 0 and pixel.max() < n_pixels):
        raise InputError(
            f"a tile holds pixel {int(pixel.max())}, but the map has {n_pixels} pixels"
        )
