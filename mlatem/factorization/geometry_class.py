# SPDX-License-Identifier: GPL-3.0-or-later
"""The honest class of an answer, what decided it, and what would settle it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.geometry import (
    COINCIDENCE,
    LACKING,
    PRESENT,
    Atoms,
    Settled,
    n_lacking,
)
from mlatem.factorization.mixing import mixing_intervals
from mlatem.factorization.number import Neighbours
from mlatem.factorization.pooled import Array, PooledData, spectral_angle
from mlatem.model import Dictionary
from mlatem.model.ambiguity import Ambiguity, GeometryClass

#: A phase that is alone in more of its counts than embedded spheres are is not clearly embedded.
_NOT_EMBEDDED = 0.45
#: Answers of the two readings of the map that differ by less than this agree, degrees.
_AGREE_DEG = 2.0
#: Thinnings that differ by more found different answers, degrees.
_SPREAD_LIMIT_DEG = 6.0
#: Zeros that are true cost some nats for each phase; far more tells of zeros that are not.
_COST_LIMIT_NATS, _COST_LIMIT_A_PHASE_NATS = 2.0, 5.0


def ambiguity(
    data: PooledData,
    abundance: Array,
    weight: Array,
    view: Settled,
    spread_deg: Array,
    neighbours: Neighbours,
    dictionary: Dictionary,
    options: settings.Factorize,
    place: NDArray[np.int64],
    constraints: Constraints | None,
) -> Ambiguity:
    """What the data leave open about an answer.

    Parameters
    ----------
    data : PooledData
        Of the first thinning, with the columns that the answer has.
    abundance : ndarray of shape (n_regions, n_phases)
        Of maximum likelihood at the answer.
    weight : ndarray of shape (n_phases, n_columns)
        The answer.
    view : Settled
    spread_deg : ndarray of shape (n_phases,)
        Largest angle between thinnings.
    neighbours : Neighbours
    dictionary : Dictionary
    options : settings.Factorize
    place : ndarray of shape (n_phases,)
        Which phase of `view` each of the answer is.
    constraints : Constraints, optional
        What is known of the phases of `view`.
    """
    geometry = view.geometry
    alone, purity, other = geometry.is_alone[place], geometry.purity[place], view.other[place]
    scale = dictionary.columns.sum(axis=1)
    if data.columns.ndim == 3:
        own = data.with_columns(data.columns[np.argsort(place)])
        other = geometry.fit_other(own, view.other, options, constraints).weight[place]
    atoms = Atoms(dictionary.quantified, scale)
    fractions, others = atoms.fractions(weight), atoms.fractions(other)
    lacking = n_lacking(fractions, abundance)
    apart = np.degrees(spectral_angle(data.spectrum(weight), data.spectrum(other)))
    steady = bool(np.max(spread_deg) < _SPREAD_LIMIT_DEG)
    is_cheap = view.cost_nats < _COST_LIMIT_NATS + len(weight) * _COST_LIMIT_A_PHASE_NATS
    is_clear = bool(np.all(purity[~alone & (apart > _AGREE_DEG)] < _NOT_EMBEDDED))
    found = _class(alone, apart, lacking, steady, is_cheap and is_clear)
    is_given = options.geometry != "auto"
    intervals = mixing_intervals(data, weight, abundance)
    names = [n for n, used in zip(dictionary.names, dictionary.quantified, strict=True) if used]
    is_settled = is_given or found in ("PURE", "CORNER")
    return Ambiguity(
        geometry_class=found,
        alternative="embedded" if alone.all() else "contiguous",
        is_given=is_given,
        reason=_reason(found, alone, apart, lacking, purity, steady, options),
        question="" if is_settled else question(fractions, others, alone, names),
        purity=purity,
        n_lacking=lacking,
        is_alone=alone,
        mixing_low=intervals.low,
        mixing_high=intervals.high,
        alternative_coefficient=other / scale,
        alternative_scale=np.broadcast_to(scale, other.shape),
        fewer_coefficient=neighbours.fewer / scale,
        more_coefficient=neighbours.more / scale,
        order_deviance=neighbours.deviance,
    )


def _class(
    alone: NDArray[np.bool_],
    apart: Array,
    lacking: NDArray[np.int64],
    is_steady: bool,
    is_clear: bool,
) -> GeometryClass:
    """PURE, CORNER, WEAK or OPEN."""
    if not is_steady:
        return "OPEN"
    if alone.all():
        return "PURE"
    doubtful = ~alone & (apart > _AGREE_DEG)
    if not doubtful.any() or (is_clear and np.all(lacking[doubtful] >= COINCIDENCE)):
        return "CORNER"
    return "WEAK" if np.all(lacking[doubtful] >= 1) else "OPEN"


def _reason(
    found: GeometryClass,
    alone: NDArray[np.bool_],
    apart: Array,
    lacking: NDArray[np.int64],
    purity: Array,
    steady: bool,
    options: settings.Factorize,
) -> str:
    """What decided, with its numbers."""
    doubtful = ~alone & (apart > _AGREE_DEG)
    if options.geometry != "auto":
        return f"the geometry was given as {options.geometry}"
    if not steady:
        return "random halves of the photons give different phases: nothing decides"
    if found == "PURE":
        return (
            "every phase occurs alone somewhere: regions that it fills hold at least "
            f"{100 * purity.min():.0f} % of its counts"
        )
    if not doubtful.any():
        return "phases that are nowhere alone come out the same, embedded or not"
    least = int(lacking[doubtful].min())
    weak_by_counts = found == "WEAK" and least >= COINCIDENCE
    named = doubtful & ((lacking == least) | (found == "CORNER") | weak_by_counts)
    lack = "lacks" if named.sum() == 1 else "lack"
    if weak_by_counts:
        return (
            f"{_phases(np.flatnonzero(named))}, seen nowhere alone, {lack} {least} or more "
            "elements of what is around, but the counts would rather have some of them, or the "
            "phase may occur alone"
        )
    said = {
        "CORNER": f"{lack} {least} or more elements of what is around, which is no coincidence",
        "WEAK": f"{lack} a single element of what is around, which may be a coincidence",
        "OPEN": "may hold all elements of what is around",
    }
    return f"{_phases(np.flatnonzero(named))}, seen nowhere alone, {said[found]}"


def _phases(index: NDArray[np.int64]) -> str:
    numbers = ", ".join(str(i + 1) for i in index)
    return f"phase{'s' if len(index) > 1 else ''} {numbers}"


def question(
    fractions: Array, others: Array, alone: NDArray[np.bool_], elements: Sequence[str]
) -> str:
    """The question about the element that differs most between the two answers.

    Parameters
    ----------
    fractions, others : ndarray of shape (n_phases, n_elements)
        Atomic fractions of the answer that is given and of the other one.
    alone : ndarray of shape (n_phases,), bool
    elements : sequence of str
    """
    low, high = np.minimum(fractions, others), np.maximum(fractions, others)
    # An element that one answer lacks decides; else the one that differs most.
    told = np.where((low < LACKING) & (high > PRESENT), 10.0, 1.0) * (high - low)
    told = np.where(alone.all() | ~alone[:, None], told, 0.0)
    phase, element = divmod(int(np.argmax(told)), told.shape[1])
    here, there = 100 * fractions[phase, element], 100 * others[phase, element]
    name, number = elements[element], phase + 1
    lacks = min(here, there) < 100 * LACKING
    asked = f"is {name} present in" if lacks else f"how much {name} is in"
    return f"{asked} phase {number}? This answer has {here:.1f} at%, the other one {there:.1f} at%"
