# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases on so few pixels that the factorisation has no region for them."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.api.data import SpectrumImageLike, factorization_record, tile_source
from mlatem.errors import InputError
from mlatem.factorization import rare, rare_candidates
from mlatem.model import Factorization, RareSearch
from mlatem.passes import places_pass, rare_pass

#: Simulated blocks on which thresholds rest.
_N_SIMULATED = 256


def find_rare_phases(
    data: SpectrumImageLike | Any,
    factorization: xr.Dataset | Factorization,
    *,
    false_alarm: float = 0.02,
    seed: int = 0,
    **options: Any,
) -> xr.Dataset:
    """Places of a map that the phases of a factorisation do not explain.

    Every pixel, alone and in windows of 3, 5 and 9 pixels, is tested for more of any element of the
    dictionary than its phases hold. An element that the dictionary lacks is not looked for: see
    `mlatem.identify`.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
        The counts that were factorised; the mask is the factorisation's.
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    false_alarm : float, optional
        Chance that a map without rare phases gives any candidate.
    seed : int, optional
        Of the simulated maps from which thresholds are learnt.
    **options
        `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    search : Dataset
        `excess` and `candidate_map` (y, x); for every candidate its counts, what the known phases
        explain of them, the score of every element, and its composition as two ends of a range:
        of everything in its pixels, and with the surrounding phases taken out as far as the
        elements allow. See `mlatem.model.RareSearch`.

    Raises
    ------
    InputError
        If the counts cannot be used or are not those of the dictionary's window, or `false_alarm`
        is not between 0 and 1.
    """
    if not 0.0 < false_alarm < 1.0:
        raise InputError(f"false_alarm is {false_alarm}: expected a chance between 0 and 1")
    result = factorization_record(factorization)
    dictionary = result.dictionary
    source = replace(tile_source(data, dictionary, **options), mask=result.mask).kept_in_memory()
    if source.shape != (result.y_nm.size, result.x_nm.size):
        raise InputError(
            f"the map has {source.shape} pixels and the factorisation "
            f"{(result.y_nm.size, result.x_nm.size)}: give the counts that were factorised"
        )
    scale = dictionary.columns.sum(axis=1)
    columns = dictionary.columns / scale[:, None]
    quantified = dictionary.quantified
    expected = rare.Expected(result.spectrum, columns[quantified])
    value, measured, by_chance = rare_pass(source, expected, seed=seed, n_simulated=_N_SIMULATED)
    limit = rare.thresholds(measured, by_chance, false_alarm=false_alarm)
    excess: NDArray[np.float32] = (value / limit[:, None, None]).astype(np.float32)
    label = rare_candidates.places(excess)
    sums = places_pass(source, expected, label)
    group = rare_candidates.alike(sums.excess)
    sums = sums.grouped(group)
    weight = result.coefficient * scale
    weight = weight / weight.sum(axis=1, keepdims=True)
    ends = [
        [
            rare_candidates.atomic_percent(end, scale, quantified)
            for end in rare_candidates.compositions(counts, columns, weight, quantified)
        ]
        for counts in sums.counts
    ]
    percent = np.array(ends).reshape(-1, 2, int(quantified.sum()))
    return RareSearch(
        excess=np.where(result.used, excess.max(axis=0), np.float32(np.nan)),
        candidate=rare_candidates.numbered(label, group),
        counts=sums.counts,
        expected=sums.abundance @ result.spectrum,
        element_score=sums.excess,
        atomic_percent_region=percent[:, 0],
        atomic_percent_excess=percent[:, 1],
        elements=tuple(e for e, q in zip(dictionary.elements, quantified, strict=True) if q),
        energy=dictionary.energy,
        y_nm=result.y_nm,
        x_nm=result.x_nm,
        false_alarm=false_alarm,
    ).to_dataset()
