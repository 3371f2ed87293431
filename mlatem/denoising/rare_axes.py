# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes of elements that only few pixels hold: too few to raise an eigenvalue above the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from mlatem.denoising.residuals import LineGroups
from mlatem.kernels.moments import project
from mlatem.model import Basis, Dictionary, SparseCounts

Array = NDArray[np.float64]

#: Pixels by themselves, and squares of three by three.
WINDOWS = (1, 3)
HALO_PX = 1
#: Standard deviations from which pixels are chosen on the first half of the photons. Poisson
#: counts of lines in empty channels have long tails: what is best depends on the counts.
_THRESHOLDS = (5.0, 6.0, 8.0)
#: Standard deviations of the second half's sum above zero that are asked for. On 120 simulated maps
#: of 20 counts per pixel without a rare phase the largest of all elements, windows and thresholds
#: was 6.5, and on 100 of 100 counts 5.3 (benchmarks/denoising.py null, first seeds 201 to 701).
_SIGNIFICANT = 7.0
_FEWEST_PIXELS = 3
_LEAST_OUTSIDE = 0.15
_NEARLY = 0.8


@dataclass(frozen=True)
class Directions:
    """Whitened lines of elements, off the axes of a basis."""

    elements: tuple[str, ...]
    vectors: Array
    """Shape (n_elements, n_energy); of length one."""


@dataclass(frozen=True)
class RareSums:
    """Sums over pixels that stand out in one half of the photons, of the other. Merges are sums."""

    n_pixels: NDArray[np.int64]
    """Shape (n_windows, n_thresholds, n_elements)."""
    score: Array
    """Shape (n_windows, n_thresholds, n_elements); summed scores of the second half."""

    @classmethod
    def zero(cls, n_elements: int) -> RareSums:
        """The identity of the merge."""
        shape = (len(WINDOWS), len(_THRESHOLDS), n_elements)
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape))

    def __add__(self, other: RareSums) -> RareSums:
        return RareSums(self.n_pixels + other.n_pixels, self.score + other.score)

    @property
    def significance(self) -> Array:
        """Shape as `score`; in standard deviations of what has no such element."""
        # Squares that overlap are counted as often as they share pixels.
        overlap = np.array(WINDOWS)[:, None, None]
        value: Array = self.score / (np.sqrt(np.maximum(self.n_pixels, 1)) * overlap)
        return value


@dataclass(frozen=True)
class RareAxis:
    """An axis of the lines of an element that few pixels hold."""

    element: str
    is_listed: bool
    """Whether the dictionary has it."""
    n_pixels: int
    """That stand out in one half of the photons; some of them by chance."""
    significance: float
    """Of the sum over these pixels in the other half, standard deviations."""
    alternatives: tuple[str, ...]
    """Elements that are nearly as significant."""


def directions(basis: Basis, dictionary: Dictionary, lines: LineGroups | None) -> Directions:
    """Lines of the elements that are looked for, each as one direction.

    Parameters
    ----------
    basis : Basis
    dictionary : Dictionary
        Its elements are looked for with its own columns.
    lines : LineGroups, optional
        Of all elements; those of the dictionary are left out.
    """
    names = [element for element in dictionary.elements if element]
    columns = [row for row, e in zip(dictionary.columns, dictionary.elements, strict=True) if e]
    if lines is not None:
        elements = np.array(lines.elements)
        for element in dict.fromkeys(lines.elements):
            if element not in names:
                names.append(element)
                columns.append(lines.columns[elements == element].sum(axis=0))
    whitened = np.array(columns) * basis.weights if columns else np.zeros((0, basis.energy.size))
    norm = np.linalg.norm(whitened, axis=1, keepdims=True)
    whitened = whitened / np.where(norm > 0, norm, 1.0)
    for _ in range(2):  # Twice is enough for orthogonality to rounding.
        whitened -= (whitened @ basis.axes.T) @ basis.axes
    outside = np.linalg.norm(whitened, axis=1)
    kept = np.flatnonzero(outside > _LEAST_OUTSIDE)
    return Directions(tuple(names[i] for i in kept), whitened[kept] / outside[kept, None])


def tile_sums(
    first: SparseCounts,
    second: SparseCounts,
    searched: Directions,
    weights: Array,
    *,
    shape: tuple[int, int],
    core: tuple[slice, slice],
    masked: NDArray[np.bool_] | None = None,
) -> RareSums:
    """Pixels of a tile that stand out in the first half of the photons, summed in the second.

    Parameters
    ----------
    first, second : SparseCounts
        Halves of the tile and its halo (`HALO_PX`, less at the border of the map).
    searched : Directions
    weights : ndarray of shape (n_energy,)
        Of the basis.
    shape : tuple of int
        Rows and columns of the halves.
    core : tuple of slice
        The tile within them.
    masked : ndarray of shape (n_pixels,), bool, optional
        Pixels of the halves that are left out; they hold no counts.
    """
    used = True if masked is None else ~masked.reshape(shape)[core][..., None]
    table = np.ascontiguousarray((searched.vectors * weights).T)
    maps = []
    for half in (first, second):
        scores = project(half.pointer, half.channel, half.count, half.pixel_totals(), table)
        maps.append(scores.reshape(*shape, -1))
    n_pixels, score = [], []
    for width in WINDOWS:
        chosen_on, summed = (_over_window(values, width)[core] for values in maps)
        chosen = [(chosen_on > threshold) & used for threshold in _THRESHOLDS]
        n_pixels.append([part.sum(axis=(0, 1)) for part in chosen])
        score.append([np.sum(summed * part, axis=(0, 1), dtype=np.float64) for part in chosen])
    return RareSums(np.array(n_pixels, dtype=np.int64), np.array(score))


def find(sums: RareSums, searched: Directions, dictionary: Dictionary) -> tuple[RareAxis, Array]:
    """The most significant element, whether significant or not, and its direction.

    Where an element of the dictionary is significant and nearly as much as one that it lacks, whose
    lines overlap, it is taken: less is assumed.

    Returns
    -------
    axis : RareAxis
    direction : ndarray of shape (n_energy,)
    """
    value = np.where(sums.n_pixels >= _FEWEST_PIXELS, sums.significance, 0.0)
    of_element = value.max(axis=(0, 1))
    near = of_element > _NEARLY * of_element.max()
    known = near & np.isin(searched.elements, dictionary.elements) & (of_element > _SIGNIFICANT)
    best = int(np.argmax(np.where(known, of_element, 0.0) if known.any() else of_element))
    window, threshold = np.unravel_index(np.argmax(value[..., best]), value.shape[:2])
    element = searched.elements[best]
    others = [e for e, is_near in zip(searched.elements, near, strict=True) if is_near]
    axis = RareAxis(
        element=element,
        is_listed=element in dictionary.elements,
        n_pixels=int(sums.n_pixels[window, threshold, best]),
        significance=float(of_element[best]),
        alternatives=tuple(e for e in others if e != element),
    )
    return axis, searched.vectors[best]


def is_significant(axis: RareAxis) -> bool:
    """Whether chance does not explain what was found."""
    return axis.significance > _SIGNIFICANT


def with_axis(basis: Basis, axis: RareAxis, direction: Array) -> Basis:
    """The basis with one more axis; its eigenvalue is not known before the scores."""
    edge = basis.edge_in_span if axis.is_listed else basis.edge_residual
    return replace(
        basis,
        axes=np.vstack([basis.axes, direction]),
        eigenvalue=np.append(basis.eigenvalue, 0.0),
        edge=np.append(basis.edge, edge),
        in_span=np.append(basis.in_span, axis.is_listed),
        n_rare=basis.n_rare + 1,
    )


def with_eigenvalues(basis: Basis, n_pixels: int, moment: Array) -> Basis:
    """The basis with the eigenvalues of its rare axes, from the second moment of the scores."""
    eigenvalue = basis.eigenvalue.copy()
    rare = slice(basis.rank - basis.n_rare, None)
    eigenvalue[rare] = np.diag(moment)[rare] - n_pixels
    return replace(basis, eigenvalue=eigenvalue)


def words(axes: Sequence[RareAxis]) -> str:
    """The axes in words."""
    parts = []
    for axis in axes:
        other = f", or {', '.join(axis.alternatives)}" if axis.alternatives else ""
        new = "" if axis.is_listed else "candidate missing element: "
        parts.append(
            f"{new}{axis.element} in about {axis.n_pixels} pixels "
            f"({axis.significance:.0f} \N{GREEK SMALL LETTER SIGMA}{other})"
        )
    return "; ".join(parts)


def _over_window(maps: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Sums over squares, in units of their noise."""
    if width == 1:
        return maps
    return np.asarray(uniform_filter(maps, (width, width, 0), mode="constant") * width)
