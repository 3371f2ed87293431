# SPDX-License-Identifier: GPL-3.0-or-later
"""Priors of phases in terms of a dictionary's coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import ConfigError, InputError
from mlatem.factorization.constraints import EXACT, NamedPhases, Statements
from mlatem.factorization.pooled import spectral_angle
from mlatem.factorization.prior_places import PhasePatterns
from mlatem.io.priors import completed, read_priors
from mlatem.model import Dictionary
from mlatem.model.prior_conflicts import check_statements, violated
from mlatem.model.priors import Amount, PhasePrior, Priors, Ratio, parse_priors
from mlatem.preprocessing.poisson_fit import fit_counts
from mlatem.quantification.composition import atomic_fractions, element_matrix

PriorsLike = Priors | Mapping[str, Any] | str | PathLike[str]

#: A measured spectrum is noisy; one farther than this from the columns is of other elements.
_FOREIGN_DEG = 15.0
#: Of a channel's width, by which the axis of a known spectrum may be off.
_AXIS_TOLERANCE = 0.1
#: Counts to which a known spectrum is scaled for its fit.
_SCALED_COUNTS = 1e6

#: Numerator, denominator, low, high, sigma; see `Statements`.
_Row = tuple[NDArray[np.float64], NDArray[np.float64], float, float, float]


def load_priors(priors: PriorsLike) -> Priors:
    """Priors from any of their forms, their files read.

    Parameters
    ----------
    priors : Priors, mapping or path-like
        A mapping has the form of the file.

    Raises
    ------
    ConfigError
        If they cannot be used, or contradict themselves.
    """
    if isinstance(priors, str | PathLike):
        return read_priors(priors)
    if not isinstance(priors, Priors):
        priors = parse_priors(priors)
    return completed(priors)


def named_phases(
    priors: Priors, dictionary: Dictionary, patterns: PhasePatterns | None = None
) -> NamedPhases | None:
    """The priors as statements on the coefficients of a dictionary.

    Parameters
    ----------
    priors : Priors
        From `load_priors`.
    dictionary : Dictionary
    patterns : PhasePatterns, optional
        Where the phases may be.

    Returns
    -------
    named : NamedPhases or None
        None where no phase is named.

    Raises
    ------
    InputError
        If a phase names an element or column that the dictionary lacks, or a spectrum on another
        axis or of other elements.
    ConfigError
        If statements about a phase contradict each other.

    Notes
    -----
    Coefficients of quantified columns are proportional to atoms (`element_matrix`, which the
    quantification uses too), so that statements on at% and on ratios are linear in them: the
    factors of the lines are in the columns. No sparsity pulls on elements that a prior speaks of.
    """
    if not priors.phases:
        return None
    elements, matrix = element_matrix(dictionary)
    parts = [
        _one_phase(name, phase, dictionary, elements, matrix)
        for name, phase in priors.phases.items()
    ]
    rows = [(k, *row) for k, part in enumerate(parts) for row in part[3]]
    return NamedPhases(
        names=tuple(priors.phases),
        allowed=np.stack([part[0] for part in parts]),
        told=np.stack([part[1] for part in parts]),
        held=np.stack([_columns_of(p.held, elements, matrix) for p in priors.phases.values()]),
        fixed=np.array([part[2] is not None for part in parts]),
        coefficient=np.stack(
            [np.zeros(dictionary.n_columns) if p[2] is None else p[2] for p in parts]
        ),
        statements=_stacked(rows, dictionary.n_columns),
        spectrum=np.stack([_spectrum(n, p, dictionary) for n, p in priors.phases.items()]),
        places=None if patterns is None else patterns.allowed,
    )


def _one_phase(
    name: str,
    phase: PhasePrior,
    dictionary: Dictionary,
    elements: tuple[str, ...],
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64] | None, list[_Row]]:
    """Allowed columns, columns that are spoken of, coefficients if known, and statements."""
    _check_known(name, phase.elements, elements, dictionary)
    check_statements(name, phase, elements)
    amount = dict(zip(elements, matrix, strict=True))
    absent = _columns_of(phase.absent, elements, matrix)
    coefficient = _coefficients(name, phase, dictionary, elements, matrix)
    if coefficient is not None:
        return ~absent, np.ones(dictionary.n_columns, bool), coefficient, []
    rows: list[_Row] = []
    for element, told in phase.composition.items():
        rows += _amount_rows(amount[element], matrix.sum(axis=0), told)
    for pair, ratio in phase.ratios.items():
        above, below = (amount[element] for element in pair.split("/"))
        rows += _ratio_rows(above, below, ratio)
    return ~absent, _columns_of(phase.elements, elements, matrix), None, rows


def _columns_of(
    chosen: Iterable[str], elements: tuple[str, ...], matrix: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Columns of the chosen elements."""
    rows = np.isin(elements, list(chosen))
    return np.asarray(np.any(matrix[rows] > 0, axis=0), dtype=np.bool_)


def _check_known(
    name: str, told: Iterable[str], elements: tuple[str, ...], dictionary: Dictionary
) -> None:
    unknown = [element for element in told if element not in elements]
    if unknown:
        raise InputError(
            f"phase {name!r}: priors name {', '.join(unknown)}, but the dictionary has columns of "
            f"{', '.join(elements)}: add the element to those of the dataset, or leave it out of "
            "the priors"
        )


def _amount_rows(
    element: NDArray[np.float64], all_elements: NDArray[np.float64], amount: Amount
) -> list[_Row]:
    """An atomic fraction: the element's amount over that of all."""
    rows: list[_Row] = []
    if amount.value is not None:
        sigma = EXACT if amount.sigma is None else max(amount.sigma / 100, EXACT)
        rows.append((element, all_elements, amount.value / 100, amount.value / 100, sigma))
    if amount.min is not None or amount.max is not None:
        low = 0.0 if amount.min is None else amount.min / 100
        high = 1.0 if amount.max is None else amount.max / 100
        rows.append((element, all_elements, low, high, EXACT))
    return rows


def _ratio_rows(above: NDArray[np.float64], below: NDArray[np.float64], ratio: Ratio) -> list[_Row]:
    """A ratio a/b near r by ``2 (a - r b) / (a + r b)``: ln(a / (r b)) to third order.

    It stays finite where an element is missing.
    """
    limits = [limit for limit in (ratio.min, ratio.max) if limit is not None]
    middle = ratio.value or float(np.sqrt(limits[0] * limits[-1]))
    line, total = 2 * (above - middle * below), above + middle * below
    rows: list[_Row] = []
    if ratio.value is not None:
        sigma = EXACT if ratio.sigma is None else max(ratio.sigma / middle, EXACT)
        rows.append((line, total, 0.0, 0.0, sigma))
    if limits:
        low = -2.0 if ratio.min is None else 2 * (ratio.min - middle) / (ratio.min + middle)
        high = 2.0 if ratio.max is None else 2 * (ratio.max - middle) / (ratio.max + middle)
        rows.append((line, total, low, high, EXACT))
    return rows


def _stacked(rows: list[tuple[int, *_Row]], n_columns: int) -> Statements:
    if not rows:
        return Statements.none(n_columns)
    phase, numerator, denominator, low, high, sigma = (
        np.array(part) for part in zip(*rows, strict=True)
    )
    return Statements(phase, numerator, denominator, low, high, sigma)


def _coefficients(
    name: str,
    phase: PhasePrior,
    dictionary: Dictionary,
    elements: tuple[str, ...],
    matrix: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Coefficients of a phase whose spectrum is known."""
    known = phase.spectrum
    if known is None:
        return None
    if known.coefficients is not None:
        unknown = [column for column in known.coefficients if column not in dictionary.names]
        if unknown:
            raise InputError(
                f"phase {name!r}: spectrum names columns {', '.join(unknown)}, but the dictionary "
                f"has {', '.join(dictionary.names)}: name these"
            )
        values = [known.coefficients.get(column, 0.0) for column in dictionary.names]
        coefficient = np.array(values, dtype=np.float64)
    else:
        counts = _spectrum(name, phase, dictionary)
        coefficient = fit_counts(_SCALED_COUNTS * counts, dictionary.columns).coefficient
        angle = np.degrees(spectral_angle(counts, coefficient @ dictionary.columns))
        if angle > _FOREIGN_DEG:
            raise InputError(
                f"phase {name!r}: its spectrum is {angle:.0f} degrees from what the dictionary's "
                f"columns ({', '.join(dictionary.names)}) can make: add its elements to those of "
                "the dataset, or give a spectrum of this detector"
            )
    fractions = dict(zip(elements, atomic_fractions(matrix @ coefficient).tolist(), strict=True))
    against = violated(phase, fractions)
    if against:
        found = ", ".join(f"{e} {100 * x:.1f}" for e, x in fractions.items() if x > 0)
        raise ConfigError(
            f"phase {name!r}: its spectrum, of {found} at%, contradicts {' and '.join(against)}: "
            "correct or remove one of them"
        )
    return coefficient


def _spectrum(name: str, phase: PhasePrior, dictionary: Dictionary) -> NDArray[np.float64]:
    """A spectrum that is known as counts, on the axis of the dictionary; its sum is one, else 0."""
    known = phase.spectrum
    if known is None or known.counts is None:
        return np.zeros(dictionary.energy.size)
    counts = _on_axis(name, np.array(known.counts), known.energy_kev, dictionary)
    if not counts.sum() > 0:
        raise InputError(
            f"phase {name!r}: its spectrum has no counts from {dictionary.energy[0]:.4g} to "
            f"{dictionary.energy[-1]:.4g} keV, the fitted window: give one of this detector"
        )
    scaled: NDArray[np.float64] = counts / counts.sum()
    return scaled


def _on_axis(
    name: str,
    counts: NDArray[np.float64],
    energy_kev: tuple[float, ...] | None,
    dictionary: Dictionary,
) -> NDArray[np.float64]:
    """Counts on the axis of the dictionary, which may be a part of theirs."""
    axis, label = dictionary.energy, f"phase {name!r}: its spectrum"
    here = f"the dictionary has {axis.size} from {axis[0]:.4g} to {axis[-1]:.4g} keV"
    if energy_kev is None:
        if counts.size != axis.size:
            raise InputError(
                f"{label} has {counts.size} channels, but {here}: give it on this axis"
            )
        return counts
    energy = np.array(energy_kev)
    first = int(np.argmin(np.abs(energy - axis[0])))
    part = energy[first : first + axis.size]
    width = np.abs(np.diff(axis)).min() if axis.size > 1 else 1.0
    if part.size != axis.size or np.abs(part - axis).max() > _AXIS_TOLERANCE * width:
        raise InputError(
            f"{label} has {energy.size} channels from {energy[0]:.4g} to {energy[-1]:.4g} keV, but "
            f"{here}, {1e3 * width:.4g} eV each: give it on this axis"
        )
    return counts[first : first + axis.size]
