# SPDX-License-Identifier: GPL-3.0-or-later
"""What axes outside the dictionary's span look like: elements, line ratios, the energy axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from mlatem.denoising.rank import dictionary_span
from mlatem.errors import InputError
from mlatem.model import Basis, Dictionary

Array = NDArray[np.float64]
Kind = Literal["element", "lines", "axis", "unknown"]

#: Shapes of which less than this part lies outside the dictionary's span cannot be told.
_LEAST_OUTSIDE = 0.15
#: Least likelihood ratio (twice its logarithm) and share of an axis of what is named.
_LEAST_RATIO, _LEAST_SHARE = 25.0, 0.1
#: Below this share in all the axis stays unexplained.
_LEAST_EXPLAINED = 0.5
#: Elements that explain nearly as much are named beside.
_NEARLY = 0.8
#: Shapes of many free numbers have to explain more than one of few.
_HANDICAP = 0.95
_MOST_NAMED = 3


@dataclass(frozen=True)
class LineGroups:
    """Groups of lines of all elements on the axis of a dictionary."""

    elements: tuple[str, ...]
    families: tuple[str, ...]
    """"K", "L" or "M" of each group."""
    columns: Array
    """Shape (n_groups, n_energy); on one scale for all groups of an element."""


@dataclass(frozen=True)
class Suggestion:
    """What an axis outside the dictionary's span may be."""

    axis: int
    """Number of the axis in the basis, from 0. The first, the mean spectrum, stands for the part of
    it that lies outside of the dictionary's span."""
    strength: float
    """Eigenvalue over edge."""
    kind: Kind
    """Of what explains most: an element that the dictionary lacks, other ratios of the lines of one
    that it has, the energy axis or the resolution; "unknown" where nothing explains half of it."""
    names: tuple[str, ...]
    """Elements, what explains most first; empty for the other kinds."""
    share: float
    """Part of the axis that this explains, 0 to 1; noise is left out of the account."""
    alternatives: tuple[str, ...]
    """Elements that explain nearly as much as the first."""
    energy: float
    """Where the axis is largest, in the unit of the dictionary."""


@dataclass(frozen=True)
class _Source:
    kind: Kind
    name: str
    columns: Array
    """Shape (n_used, n_columns); whitened, off the span, orthonormal."""


@dataclass(frozen=True)
class _Target:
    """A direction that is to be explained."""

    axis: int
    strength: float
    direction: Array
    """Shape (n_used,); of length one."""
    true_part: float
    """Squared cosine between the direction and that without noise."""


def suggest(
    basis: Basis, dictionary: Dictionary, lines: LineGroups | None = None
) -> tuple[Suggestion, ...]:
    """Compare the axes outside the dictionary's span with what a dictionary may lack.

    Parameters
    ----------
    basis : Basis
        From `low_rank` with this dictionary.
    dictionary : Dictionary
    lines : LineGroups, optional
        Of all elements; without them only the energy axis is looked at.

    Returns
    -------
    suggestions : tuple of Suggestion
        One for each axis of the basis that lies outside of the span; before these one for the mean
        spectrum, where what the dictionary lacks of it looks like an element.

    Raises
    ------
    InputError
        If the lines are on other channels.

    Notes
    -----
    Shapes are whitened as the axes and projected off the dictionary's span. With r^2 the part of an
    axis that a set of shapes holds, s^2 the variance of the axis's noise in a channel and p the
    number of shapes, r^2 / s^2 - p is about twice the logarithm of the likelihood ratio. The noise
    follows from the eigenvalue: an axis of strength l = lambda / n in m of n dimensions points off
    the true one by an angle with cos^2 = (1 - g / l^2) / (1 + g / l), g = m / n (Paul 2007, Stat.
    Sinica 17, 1617, theorem 4). Shapes of the energy axis are the first derivatives of the axes in
    the span and these times the energy; of the resolution, the second derivatives.
    """
    if lines is not None and lines.columns.shape[1] != basis.energy.size:
        raise InputError(
            f"lines on {lines.columns.shape[1]} channels, the basis has {basis.energy.size}"
        )
    used = np.flatnonzero(basis.weights > 0)
    span = dictionary_span(basis.axes[0, used], dictionary, basis.weights, used)
    outside = _outside(basis, span, used)
    sources = [_axis_source(basis, dictionary, outside, used)]
    if lines is not None:
        sources += _line_sources(lines, dictionary, outside)
    sources = [source for source in sources if source.columns.shape[1]]
    n_free = used.size - span.shape[1]
    found = []
    for k in np.flatnonzero(~basis.in_span[: basis.rank - basis.n_rare]):
        strength = basis.eigenvalue[k] / basis.edge[k]
        true_part = _true_part(float(basis.eigenvalue[k]), basis.n_pixels, n_free)
        target = _Target(int(k), float(strength), basis.axes[k, used], true_part)
        found.append(_explain(basis, target, sources, n_free))
    return (*_of_mean(basis, dictionary, lines, used), *found)


def derivatives(basis: Basis, dictionary: Dictionary) -> tuple[Array, Array, Array]:
    """Changes of the axes in the span by a small error of offset, gain and resolution.

    Returns
    -------
    offset, gain, width : ndarray of shape (n_axes_in_span, n_energy)
        Whitened. By one unit of energy of offset, by a relative gain of one, by one squared unit
        of variance of the lines.
    """
    used = basis.weights > 0
    whitened = (dictionary.columns * basis.weights)[:, used]
    norm = np.linalg.norm(whitened, axis=1)
    norm[norm == 0] = 1.0
    inside = basis.axes[basis.in_span][:, used]
    amount = np.linalg.lstsq((whitened / norm[:, None]).T, inside.T, rcond=1e-8)[0].T / norm
    energy = dictionary.energy
    spectra = amount @ dictionary.columns
    curve = CubicSpline(energy, spectra, axis=1)
    first, second = curve(energy, 1), curve(energy, 2)
    return first * basis.weights, first * energy * basis.weights, 0.5 * second * basis.weights


def _outside(
    basis: Basis, span: Array, used: NDArray[np.intp]
) -> Callable[[Array], tuple[Array, Array]]:
    """Whitens spectra of shape (n, n_energy), and says how much lies outside of the span."""

    def projected(spectra: Array) -> tuple[Array, Array]:
        whitened = spectra[:, used].T
        off = whitened - span @ (span.T @ whitened)
        norm = np.linalg.norm(whitened, axis=0)
        return off, np.linalg.norm(off, axis=0) / np.where(norm > 0, norm, 1.0)

    def of_counts(spectra: Array) -> tuple[Array, Array]:
        return projected(spectra * basis.weights)

    return of_counts


def _axis_source(
    basis: Basis,
    dictionary: Dictionary,
    outside: Callable[[Array], tuple[Array, Array]],
    used: NDArray[np.intp],
) -> _Source:
    shapes = np.concatenate(derivatives(basis, dictionary))
    safe = np.where(basis.weights > 0, basis.weights, 1.0)
    off, part = outside(shapes / safe)
    return _Source("axis", "", _orthonormal(off[:, part > _LEAST_OUTSIDE]))


def _line_sources(
    lines: LineGroups, dictionary: Dictionary, outside: Callable[[Array], tuple[Array, Array]]
) -> list[_Source]:
    """The families of lines of elements that are missing; the groups of those that are not."""
    sources = []
    elements, families = np.array(lines.elements), np.array(lines.families)
    listed = set(dictionary.elements)
    for element in dict.fromkeys(lines.elements):
        own = elements == element
        if element in listed:
            columns = lines.columns[own]
        else:
            columns = np.array(
                [
                    lines.columns[own & (families == family)].sum(axis=0)
                    for family in dict.fromkeys(families[own])
                ]
            )
        off, part = outside(columns)
        kind: Kind = "lines" if element in listed else "element"
        sources.append(_Source(kind, element, _orthonormal(off[:, part > _LEAST_OUTSIDE])))
    return sources


def _orthonormal(columns: Array) -> Array:
    norm = np.linalg.norm(columns, axis=0)
    left, singular, _ = np.linalg.svd(columns / np.where(norm > 0, norm, 1.0), full_matrices=False)
    return np.asarray(left[:, singular > 1e-6])


def _of_mean(
    basis: Basis, dictionary: Dictionary, lines: LineGroups | None, used: NDArray[np.intp]
) -> tuple[Suggestion, ...]:
    """An element in what the dictionary lacks of the mean spectrum, which is in the span."""
    if lines is None or not basis.in_span.any():
        return ()
    span = dictionary_span(None, dictionary, basis.weights, used)
    inside = basis.axes[basis.in_span][:, used]
    lacking = inside[0] - span @ (span.T @ inside[0])
    size = float(lacking @ lacking)
    n_free = used.size - span.shape[1]
    if size <= 0 or n_free < 1:
        return ()
    lacking /= np.sqrt(size)
    signal = float(basis.eigenvalue[basis.in_span] @ (inside @ lacking) ** 2)
    strength = signal / basis.edge_residual
    # The first eigenvalue is the number of counts: the mean's noise is one over it in a channel.
    true_part = 1.0 - n_free / (float(basis.eigenvalue[0]) * size)
    if strength < 1.0 or true_part <= 0.0:
        return ()
    sources = _line_sources(lines, dictionary, _outside(basis, span, used))
    sources = [source for source in sources if source.columns.shape[1]]
    found = _explain(basis, _Target(0, strength, lacking, true_part), sources, n_free)
    return (found,) if found.kind == "element" else ()


def _explain(basis: Basis, target: _Target, sources: list[_Source], n_free: int) -> Suggestion:
    """Sources one after the other, each time the one that explains most of what is left."""
    number, axis, true_part = target.axis, target.direction, target.true_part
    noise = max(1.0 - true_part, 1e-6) / n_free
    chosen: list[_Source] = []
    taken = np.zeros((axis.size, 0))
    explained, first_gains = 0.0, np.zeros(len(sources))
    while len(chosen) < _MOST_NAMED:
        rest = axis - taken @ (taken.T @ axis)
        gains = np.array([_gain(source, rest, taken, noise) for source in sources])
        best = int(np.argmax(gains)) if gains.size else -1
        if best < 0 or gains[best] < max(_LEAST_RATIO * noise, _LEAST_SHARE * true_part):
            break
        if not chosen:
            first_gains = gains
        chosen.append(sources[best])
        added = sources[best].columns
        taken = np.column_stack([taken, _orthonormal(added - taken @ (taken.T @ added))])
        explained = float(np.sum((taken.T @ axis) ** 2) - taken.shape[1] * noise)
        if chosen[0].kind != "element":
            break
    share = min(1.0, explained / true_part)
    spectrum = np.zeros(basis.energy.size)
    spectrum[basis.weights > 0] = axis
    energy = float(basis.energy[np.argmax(np.abs(spectrum))])
    strength = target.strength
    if not chosen or share < _LEAST_EXPLAINED:
        return Suggestion(number, strength, "unknown", (), max(share, 0.0), (), energy)
    near = [
        source.name
        for gain, source in zip(first_gains, sources, strict=True)
        if gain > _NEARLY * first_gains.max() and source.kind == "element"
    ]
    names = tuple(source.name for source in chosen if source.kind in ("element", "lines"))
    alternatives = tuple(name for name in near if name not in names)
    return Suggestion(number, strength, chosen[0].kind, names, share, alternatives, energy)


def _gain(source: _Source, rest: Array, taken: Array, noise: float) -> float:
    """Part of the axis that a source adds, less what its free numbers explain of noise."""
    columns = source.columns
    if taken.shape[1]:
        columns = _orthonormal(columns - taken @ (taken.T @ columns))
    gain = float(np.sum((columns.T @ rest) ** 2) - columns.shape[1] * noise)
    return gain if source.kind == "element" else _HANDICAP * gain


def _true_part(eigenvalue: float, n_pixels: int, n_free: int) -> float:
    """Squared cosine between an axis and the one without noise."""
    ratio = n_free / n_pixels
    middle = eigenvalue / n_pixels - ratio
    # The observed eigenvalue is n (l + g + g / l).
    root = np.sqrt(max(middle**2 - 4.0 * ratio, 0.0))
    strength = max(0.5 * (middle + root), np.sqrt(ratio) * 1.05)
    return float((1.0 - ratio / strength**2) / (1.0 + ratio / strength))
