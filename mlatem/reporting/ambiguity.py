# SPDX-License-Identifier: GPL-3.0-or-later
"""What the data leave open, in words, tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.geometry import Atoms
from mlatem.factorization.mixing import mixed
from mlatem.factorization.pooled import spectral_angle
from mlatem.model import Ambiguity, Dictionary, Factorization
from mlatem.reporting.colors import phase_color
from mlatem.reporting.drawing import FONT_PT, INK, finish, new_figure
from mlatem.reporting.inputs import Picture
from mlatem.reporting.numbers import NOTHING, fixed, whole
from mlatem.reporting.spectra import dress
from mlatem.reporting.two_answers import Differences, abundance_pictures, differences

_WIDTH_IN, _HEIGHT_IN = 11.4, 2.3
#: Answers that differ by less are not drawn, degrees.
_ALIKE_DEG = 1.0
#: Effects on fewer at% than this are not told.
_LEAST_PERCENT = 0.5
_MAX_ELEMENTS = 4
#: An end of an interval that is not limited by the data.
_UNBOUND = 0.999
_READINGS = {
    "contiguous": "phases occur alone somewhere (contiguous)",
    "embedded": "phases are never seen alone (embedded)",
}
_LIES_BETWEEN = (
    "Where it is open which one holds, the truth lies between them, as far as no region is seen "
    "that holds one phase alone."
)
_OTHERS = {
    **{
        name: f"The other answer stands for the reading that {text}. {_LIES_BETWEEN}"
        for name, text in _READINGS.items()
    },
    "mixed": (
        "The other reading of the map comes to much the same as this one, and tells little. The "
        "other answer therefore is this one with one phase as far mixed with another as the counts "
        "allow, at most one to one: they allow all between the two."
    ),
}


@dataclass(frozen=True)
class MixingRow:
    """How much of one phase another one may hold."""

    phase: int
    other: int
    color: str
    amount: str
    effect: str


@dataclass(frozen=True)
class AnswerRow:
    """A phase in both answers."""

    phase: int
    color: str
    angle: str
    here: tuple[str, ...]
    there: tuple[str, ...]


@dataclass(frozen=True)
class OrderRow:
    """An answer with another number of phases."""

    n_phases: int
    deviance: str
    gained: str
    phases: str


@dataclass(frozen=True)
class AmbiguitySection:
    """What the template shows."""

    record: Ambiguity
    elements: tuple[str, ...]
    taken: str
    """The reading of the map that the answer stands for."""
    other: str
    """What the other answer stands for, in words."""
    answers: tuple[AnswerRow, ...]
    mixing: tuple[MixingRow, ...]
    orders: tuple[OrderRow, ...]
    is_open: bool
    """Whether both answers have to be shown."""
    differences: Differences | None
    """What two whole answers differ in; None where the other one has no maps."""


def ambiguity_section(factorization: Factorization) -> AmbiguitySection | None:
    """The section of a report; None where nothing was looked for."""
    record, dictionary = factorization.ambiguity, factorization.dictionary
    if record is None:
        return None
    taken = "contiguous" if record.is_alone.all() else "embedded"
    elements = elements_of(dictionary)
    here = atomic_percent(factorization.coefficient, dictionary)
    there = atomic_percent(record.alternative_coefficient, dictionary)
    return AmbiguitySection(
        record=record,
        elements=elements,
        taken=_READINGS[taken],
        other=_OTHERS[record.alternative],
        answers=_answer_rows(factorization, here, there),
        mixing=_mixing_rows(factorization, record),
        orders=_order_rows(record, dictionary),
        is_open=not record.is_given and record.geometry_class in ("WEAK", "OPEN"),
        differences=differences(factorization, elements, here, there),
    )


def elements_of(dictionary: Dictionary) -> tuple[str, ...]:
    """Names of the quantified columns."""
    used = zip(dictionary.names, dictionary.quantified, strict=True)
    return tuple(name for name, is_used in used if is_used)


def atomic_percent(coefficient: NDArray[np.float64], dictionary: Dictionary) -> NDArray[np.float64]:
    """at% of phases from their coefficients, shape (n_phases, n_elements)."""
    plain = Atoms(dictionary.quantified, np.ones(dictionary.n_columns))
    return 100.0 * plain.fractions(coefficient)


def alternative_pictures(factorization: Factorization, *, dpi: int) -> dict[str, Picture]:
    """Spectra of every phase in which the answers differ, and maps of two whole ones, by name."""
    if factorization.ambiguity is None:
        return {}
    apart = _apart(factorization)
    spectra = {
        f"alternative_{phase + 1}": _alternative_picture(factorization, phase, dpi=dpi)
        for phase in range(factorization.n_phases)
        if apart[phase] > _ALIKE_DEG
    }
    return spectra | abundance_pictures(factorization, dpi=dpi)


def _apart(factorization: Factorization) -> NDArray[np.float64]:
    """Degrees between the two answers, by phase."""
    radian = spectral_angle(factorization.spectrum, factorization.alternative_spectrum)
    return np.degrees(radian)


def _alternative_picture(factorization: Factorization, phase: int, *, dpi: int) -> Picture:
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    axes = figure.add_axes((0.06, 0.2, 0.93, 0.75))
    energy = factorization.dictionary.energy
    for spectrum, color, style, label in (
        (factorization.spectrum[phase], phase_color(phase), "-", "this answer"),
        (factorization.alternative_spectrum[phase], INK, "--", "the other answer"),
    ):
        axes.plot(energy, 1e3 * spectrum, color=color, linestyle=style, linewidth=1.2, label=label)
    axes.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    axes.set_ylim(bottom=0)
    axes.set_xlim(energy[0], energy[-1])
    axes.set_xlabel("energy / keV", fontsize=FONT_PT, color=INK)
    dress(axes, "\N{PER MILLE SIGN} of the counts")
    axes.legend(fontsize=FONT_PT, frameon=False, loc="upper right", ncols=2)
    return finish(figure, dpi=dpi, text=f"spectrum of phase {phase + 1} in both answers")


def _answer_rows(
    factorization: Factorization, here: NDArray[np.float64], there: NDArray[np.float64]
) -> tuple[AnswerRow, ...]:
    apart = _apart(factorization)
    return tuple(
        AnswerRow(
            phase + 1,
            phase_color(phase),
            fixed(float(apart[phase]), 1),
            tuple(fixed(float(value), 1) for value in here[phase]),
            tuple(fixed(float(value), 1) for value in there[phase]),
        )
        for phase in range(factorization.n_phases)
    )


def _mixing_rows(factorization: Factorization, record: Ambiguity) -> tuple[MixingRow, ...]:
    """Pairs of phases whose mixing changes at% visibly."""
    rows = []
    for phase in range(factorization.n_phases):
        for other in range(factorization.n_phases):
            low, high = record.mixing_low[phase, other], record.mixing_high[phase, other]
            effect = _effect(factorization, phase, other, float(low), float(high))
            if phase == other or not effect:
                continue
            amount = _amount(float(low), float(high))
            rows.append(MixingRow(phase + 1, other + 1, phase_color(phase), amount, effect))
    return tuple(rows)


def _amount(low: float, high: float) -> str:
    """An interval of mixing as a person says it."""
    less = "any amount less" if low < -_UNBOUND else f"{fixed(-100 * low, 0)} counts less"
    more = "any amount more" if high > _UNBOUND else f"{fixed(100 * high, 0)} counts more"
    return f"{less} to {more}"


def _effect(factorization: Factorization, phase: int, other: int, low: float, high: float) -> str:
    """The elements whose at% mixing changes most, with the values that it reaches."""
    sums = factorization.columns.sum(axis=-1)
    weight = factorization.coefficient * sums
    reached = np.stack(
        [
            atomic_percent(
                (mixed(weight, phase, other, amount) / sums[phase])[None],
                factorization.dictionary,
            )[0]
            for amount in (low, 0.0, high)
        ]
    )
    least, most = reached.min(axis=0), reached.max(axis=0)
    order = np.argsort(least - most, kind="stable")[:_MAX_ELEMENTS]
    names = elements_of(factorization.dictionary)
    parts = [
        f"{names[e]} {fixed(float(least[e]), 1)} to {fixed(float(most[e]), 1)}"
        for e in order
        if most[e] - least[e] > _LEAST_PERCENT
    ]
    return ", ".join(parts)


def _order_rows(record: Ambiguity, dictionary: Dictionary) -> tuple[OrderRow, ...]:
    """The likeliest answers with a phase less, as many, and a phase more."""
    n_phases = len(record.purity)
    coefficients = (record.fewer_coefficient, None, record.more_coefficient)
    rows = []
    before = np.nan
    for place, coefficient in enumerate(coefficients):
        deviance = float(record.order_deviance[place])
        if np.isfinite(deviance):
            fall = before - deviance
            gained = whole(fall) if np.isfinite(fall) else NOTHING
            phases = "" if coefficient is None else _phases(coefficient, dictionary)
            rows.append(OrderRow(n_phases + place - 1, whole(deviance), gained, phases))
            before = deviance
    return tuple(rows)


def _phases(coefficient: NDArray[np.float64], dictionary: Dictionary) -> str:
    """Main elements of each phase, in words."""
    names = elements_of(dictionary)
    words = []
    for percent in atomic_percent(coefficient, dictionary):
        main = [e for e in np.argsort(-percent, kind="stable")[:3] if percent[e] >= 5]
        words.append(" ".join(f"{names[e]} {fixed(float(percent[e]), 0)}" for e in main))
    return "; ".join(words)
