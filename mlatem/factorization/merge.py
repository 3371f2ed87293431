# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of tiles, in any order, to one factorisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.factorization import verdicts
from mlatem.factorization.abundances import DominantSums, PixelAbundances
from mlatem.factorization.smoothing import smooth_abundances
from mlatem.factorization.solution import CompositionSolution
from mlatem.model import Dictionary, Factorization


def merge(
    tiles: Iterable[tuple[NDArray[np.int64], PixelAbundances, DominantSums]],
    solution: CompositionSolution,
    dictionary: Dictionary,
    *,
    y_nm: NDArray[np.float64],
    x_nm: NDArray[np.float64],
    attrs: Mapping[str, Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
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
    mask : ndarray of shape (ny, nx), bool, optional
        True in pixels that are left out.

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
    other, other_deviance = np.zeros_like(abundance), np.zeros_like(deviance)
    has_other, n_unconverged = True, 0
    sums = DominantSums.zero(n_phases, dictionary.energy.size)
    for pixel, part, part_sums in tiles:
        _check_inside(pixel, n_pixels)
        np.add.at(seen, pixel, 1)
        abundance[pixel] = part.abundance
        covariance[pixel] = part.covariance
        deviance[pixel] = part.deviance
        unbounded[pixel] = part.unbounded
        has_other = has_other and part.other is not None
        if part.other is not None:
            other[pixel], other_deviance[pixel] = part.other.abundance, part.other.deviance
        n_unconverged += int(np.count_nonzero(~part.converged))
        sums = sums + part_sums
    if np.any(seen != 1):
        raise InputError(
            f"tiles leave out {np.count_nonzero(seen == 0)} pixels and give "
            f"{np.count_nonzero(seen > 1)} more than once: expected each pixel once"
        )
    maps = abundance.reshape(*shape, n_phases)
    covariances = covariance.reshape(*shape, n_phases, n_phases)
    smooth = None
    if solution.places is None:
        smooth = smooth_abundances(
            unbounded.reshape(maps.shape), covariances, solution.spectrum(dictionary), mask=mask
        )
    n_used = n_pixels if mask is None else int(np.count_nonzero(~mask))
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
        leeway=solution.leeway,
        ambiguity=solution.ambiguity,
        abundance_smooth=maps if smooth is None else smooth,
        attrs=_attrs(attrs or {}, solution, n_unconverged, n_used),
        alternative_abundance=other.reshape(maps.shape) if has_other else None,
        alternative_deviance=other_deviance.reshape(shape) if has_other else None,
        mask=mask,
    )


def _attrs(
    given: Mapping[str, Any], solution: CompositionSolution, n_unconverged: int, n_pixels: int
) -> dict[str, Any]:
    """What was given and how the solve and the fits of the pixels went, JSON-safe."""
    of_pixels = verdicts.of_pixels(n_unconverged, n_pixels)
    reasons = [solution.reason, *(verdict.message for verdict in of_pixels)]
    result = {
        **given,
        "converged": bool(solution.converged) and n_unconverged == 0,
        "reason": "; ".join(reason for reason in reasons if reason),
        "n_rounds": solution.n_rounds,
        "n_carried": solution.n_carried,
        "n_coherent": solution.n_coherent,
        "spread_deg": [float(value) for value in solution.spread_deg],
        "line_factors": {name: list(values) for name, values in solution.line_factors.items()},
        "n_pixels_not_converged": n_unconverged,
        **_prior_attrs(solution),
    }
    if of_pixels:
        result["verdicts"] = [*given.get("verdicts", []), *(v.to_dict() for v in of_pixels)]
    return result


def _prior_attrs(solution: CompositionSolution) -> dict[str, Any]:
    """Names of phases and what their priors cost; None for phases without a prior."""
    if solution.prior_deviance is None or solution.prior_limit is None:
        return {}
    costs = {"prior_deviance": solution.prior_deviance, "prior_limit": solution.prior_limit}
    return {
        "phase_names": list(solution.phase_names),
        **{
            name: [None if np.isnan(value) else float(value) for value in values]
            for name, values in costs.items()
        },
    }


def _check_inside(pixel: NDArray[np.int64], n_pixels: int) -> None:
    if pixel.size and not (pixel.min() >= 0 and pixel.max() < n_pixels):
        raise InputError(
            f"a tile holds pixel {int(pixel.max())}, but the map has {n_pixels} pixels"
        )
