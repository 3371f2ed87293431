# SPDX-License-Identifier: GPL-3.0-or-later
"""The honest class of an answer, what decided it, and what would settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.coincidence import hanging_deg, has_own_element
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.geometry import (
    COINCIDENCE,
    LACKING,
    PRESENT,
    Atoms,
    Settled,
    n_lacking,
)
from mlatem.factorization.mixing import (
    farthest_mixture,
    mixing_intervals,
    mixing_turns_deg,
)
from mlatem.factorization.number import Neighbours
from mlatem.factorization.pooled import Array, PooledData, spectral_angle
from mlatem.model import Dictionary
from mlatem.model.ambiguity import Ambiguity, GeometryClass, Reading

#: A phase that is alone in more of its counts than embedded spheres are is not clearly embedded.
_NOT_EMBEDDED = 0.45
#: A phase that turns by more if it has one of the elements that it lacks hangs on this element.
_HANGING_DEG = 12.0
#: Answers of the two readings of the map that differ by less than this agree, degrees.
_AGREE_DEG = 2.0
#: Where mixing turns a phase by so much more than the other reading, the reading tells little.
_TELLS_LITTLE = 2.0
#: Thinnings that differ by more found different answers, degrees; so are mixtures of an answer.
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
    in_view, own = np.argsort(place), data
    if data.columns.ndim == 3:
        own = data.with_columns(data.columns[in_view])
        other = geometry.fit_other(own, view.other, options, constraints).weight[place]
    atoms = Atoms(dictionary.quantified, scale)
    fractions, others = atoms.fractions(weight), atoms.fractions(other)
    lacking = n_lacking(fractions, abundance)
    apart = np.degrees(spectral_angle(data.spectrum(weight), data.spectrum(other)))
    steady = bool(np.max(spread_deg) < _SPREAD_LIMIT_DEG)
    is_cheap = view.cost_nats < _COST_LIMIT_NATS + len(weight) * _COST_LIMIT_A_PHASE_NATS
    hanging = hanging_deg(own, abundance[:, in_view], weight[in_view], atoms, constraints)[place]
    evidence = Evidence(
        lacking=lacking,
        has_own=has_own_element(fractions, abundance),
        hangs=hanging > _HANGING_DEG,
        is_clear=is_cheap & (purity < _NOT_EMBEDDED),
    )
    intervals = mixing_intervals(own, weight[in_view], abundance[:, in_view], constraints)
    turns = mixing_turns_deg(own, weight[in_view], intervals)[place]
    doubtful = doubtful_phases(alone, apart, turns)
    found = _class(alone, doubtful, evidence, steady)
    is_given = options.geometry != "auto"
    reading: Reading = "embedded" if alone.all() else "contiguous"
    phase = farther_mixed(doubtful, apart, turns)
    if found == "OPEN" and not is_given and phase is not None:
        other = farthest_mixture(own, weight[in_view], intervals, int(place[phase]))[place]
        reading = "mixed"
    names = [n for n, used in zip(dictionary.names, dictionary.quantified, strict=True) if used]
    is_settled = is_given or found in ("PURE", "CORNER")
    return Ambiguity(
        geometry_class=found,
        alternative=reading,
        is_given=is_given,
        reason=_reason(found, doubtful, evidence, purity, steady, options),
        question="" if is_settled else question(fractions, others, alone, names),
        purity=purity,
        n_lacking=lacking,
        is_alone=alone,
        mixing_low=intervals.low[np.ix_(place, place)],
        mixing_high=intervals.high[np.ix_(place, place)],
        alternative_coefficient=other / scale,
        alternative_scale=np.broadcast_to(scale, other.shape),
        fewer_coefficient=neighbours.fewer / scale,
        more_coefficient=neighbours.more / scale,
        order_deviance=neighbours.deviance,
    )


@dataclass(frozen=True)
class Evidence:
    """What speaks for phases that occur nowhere alone, each of shape (n_phases,)."""

    lacking: NDArray[np.int64]
    """Elements that a phase lacks and what is around it has."""
    has_own: NDArray[np.bool_]
    """Whether it has an element that nothing around it has."""
    hangs: NDArray[np.bool_]
    """Whether a single one of those that it lacks decides."""
    is_clear: NDArray[np.bool_]
    """Whether the counts agree to the zeros, and the phase is clearly embedded."""

    @property
    def settles(self) -> NDArray[np.bool_]:
        """Where there is no coincidence.

        A phase without an element of its own may well have all elements of what is around, in
        other ratios, and two that have the same ratio by chance vanish together: it takes three.
        Three also are beyond what doubts about the zeros or the geometry could explain.
        """
        beyond = self.lacking > COINCIDENCE
        settled: NDArray[np.bool_] = ~self.hangs & (self.lacking >= COINCIDENCE)
        return settled & (beyond | (self.has_own & self.is_clear))


def doubtful_phases(alone: NDArray[np.bool_], apart: Array, turns: Array) -> NDArray[np.bool_]:
    """Phases that evidence has to speak for, shape (n_phases,).

    Parameters
    ----------
    alone : ndarray of shape (n_phases,), bool
        Whether a phase is taken to occur alone.
    apart : ndarray of shape (n_phases,)
        Angle between the two readings of the map, degrees.
    turns : ndarray of shape (n_phases,)
        By how much mixing for less than two nats turns the phase, degrees.

    Notes
    -----
    That the readings agree speaks for an answer only where there are two. The one of phases that
    occur alone is a reading of its own if the purest places hold the phase, so that nothing around
    it can be put into it. If the counts allow that, no place is pure, and it has run into the
    other one, wherever that is.
    """
    doubtful: NDArray[np.bool_] = ~alone & ((apart > _AGREE_DEG) | (turns > _SPREAD_LIMIT_DEG))
    return doubtful


def farther_mixed(doubtful: NDArray[np.bool_], apart: Array, turns: Array) -> int | None:
    """The doubtful phase that mixing turns most, and much farther than the other reading does.

    Parameters
    ----------
    doubtful : ndarray of shape (n_phases,), bool
    apart, turns : ndarray of shape (n_phases,)
        As of `doubtful_phases`.

    Returns
    -------
    phase : int or None
        None where the other reading tells as much.
    """
    farther = doubtful & (turns > _TELLS_LITTLE * apart)
    return int(np.argmax(np.where(farther, turns, 0.0))) if farther.any() else None


def _class(
    alone: NDArray[np.bool_], doubtful: NDArray[np.bool_], evidence: Evidence, is_steady: bool
) -> GeometryClass:
    """PURE, CORNER, WEAK or OPEN."""
    if not is_steady:
        return "OPEN"
    if alone.all():
        return "PURE"
    if np.all(evidence.settles[doubtful]):
        return "CORNER"
    return "WEAK" if np.all(evidence.lacking[doubtful] >= 1) else "OPEN"


def _reason(
    found: GeometryClass,
    doubtful: NDArray[np.bool_],
    evidence: Evidence,
    purity: Array,
    steady: bool,
    options: settings.Factorize,
) -> str:
    """What decided, with its numbers."""
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
    least = int(evidence.lacking[doubtful].min())
    if found == "WEAK" and least >= COINCIDENCE:
        return _doubt(doubtful & ~evidence.settles, evidence)
    named = doubtful & ((evidence.lacking == least) | (found == "CORNER"))
    lack = _lack(named)
    said = {
        "CORNER": f"{lack} {least} or more elements of what is around, which is no coincidence",
        "WEAK": f"{lack} a single element of what is around, which may be a coincidence",
        "OPEN": "may hold all elements of what is around",
    }
    return f"{_phases(np.flatnonzero(named))}, seen nowhere alone, {said[found]}"


def _doubt(unsettled: NDArray[np.bool_], evidence: Evidence) -> str:
    """Why several elements that are lacking do not settle the phases that are named."""
    hanging = unsettled & evidence.hangs
    few = unsettled & ~evidence.has_own & (evidence.lacking == COINCIDENCE)
    named = hanging if hanging.any() else few if few.any() else unsettled
    least = int(evidence.lacking[named].min())
    lacks = f"{_lack(named)} {least} or more elements of what is around"
    if hanging.any():
        why = f"{lacks}, but one of them alone decides, since the others are weak in the spectra"
    elif few.any():
        no_own = "has no element of its own" if named.sum() == 1 else "have no element of their own"
        why = f"{no_own}: two elements that vanish at once may be a coincidence"
    else:
        why = (
            f"{lacks}, but the counts would rather have some of them, or the phase may occur alone"
        )
    return f"{_phases(np.flatnonzero(named))}, seen nowhere alone, {why}"


def _lack(named: NDArray[np.bool_]) -> str:
    return "lacks" if named.sum() == 1 else "lack"


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
