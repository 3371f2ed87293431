# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of small parts of a map, which the sum spectrum does not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mlatem.preprocessing.element_search import Explanation, Search

Array = NDArray[np.float64]

#: Chance of a first false alarm over all elements, blocks and sizes of blocks.
_FALSE_ALARM = 1e-3
#: Further blocks of the same element are taken from this score on.
_JOINED = 4.0
#: Fewest counts of a block; scores of fewer are far from normal.
_FEWEST_COUNTS = 30.0


@dataclass(frozen=True)
class RarePart:
    """Blocks of a map in which an element stands out that is not in the sum's model."""

    element: str
    score: float
    """Of the block with the highest, in standard deviations."""
    blocks: NDArray[np.bool_]
    """Shape (n_rows, n_columns) of the grid in which it stands out most."""
    spectrum: Array
    """Shape (n_bins,); sum over these blocks."""
    n_tests: int
    """Blocks of all sizes that were looked at."""


def rare_parts(blocks: Array, search: Search, explanation: Explanation) -> list[RarePart]:
    """Elements that stand out in blocks of a map, of any size.

    Parameters
    ----------
    blocks : ndarray of shape (n_rows, n_columns, n_bins)
        Sums over blocks of pixels, in the bins of the library.
    search : Search
        Of the sum spectrum.
    explanation : Explanation
        Of the sum spectrum.

    Returns
    -------
    list of RarePart
        The highest score first.

    Notes
    -----
    Each block, and each square of 2 x 2, 4 x 4 ... of them, is fitted by weighted least squares by
    the columns and directions of the sum's model, free in every block; what is left is projected
    on every other element's column. The score is that projection over its Poisson sigma. The limit
    is the normal quantile of the false-alarm chance divided by elements and blocks (Bonferroni).
    """
    names = [e for e in search.library.names if e not in explanation.elements]
    known = np.vstack([explanation.columns, explanation.directions])
    candidate = np.array([search.library.columns[e] for e in names])
    weight = 1.0 / explanation.fit.model
    filters = _filters(known, candidate, weight)
    sizes = list(_pyramid(blocks))
    n_tests = sum(level.shape[0] * level.shape[1] for level in sizes)
    limit = -ndtri(_FALSE_ALARM / (n_tests * len(names)))
    best: dict[str, RarePart] = {}
    for level in sizes:
        scores = _scores(level, filters)
        for k in np.flatnonzero(scores.max(axis=(0, 1)) > limit):
            score, name = float(scores[..., k].max()), names[k]
            if name not in best or score > best[name].score:
                chosen = scores[..., k] > _JOINED
                best[name] = RarePart(name, score, chosen, level[chosen].sum(axis=0), n_tests)
    return sorted(best.values(), key=lambda part: -part.score)


def _filters(known: Array, candidate: Array, weight: Array) -> Array:
    """Columns of the candidates, orthogonal to what is known; shape (n_candidates, n_bins)."""
    norms = np.sqrt((known**2) @ weight)
    unit = known[norms > 0] / norms[norms > 0, None]
    gram = (unit * weight) @ unit.T + 1e-6 * np.eye(len(unit))
    explained = np.linalg.solve(gram, (unit * weight) @ candidate.T).T @ unit
    filters: Array = (candidate - explained) * weight
    return filters


def _scores(level: Array, filters: Array) -> Array:
    """Shape (n_rows, n_columns, n_candidates)."""
    slope = level @ filters.T
    variance = level @ (filters**2).T
    enough = level.sum(axis=-1, keepdims=True) >= _FEWEST_COUNTS
    # A quarter of the mean's variance guards against blocks that by chance have no counts there.
    share = level.sum(axis=-1, keepdims=True) / level.sum(axis=-1).mean()
    mean = variance.mean(axis=(0, 1)) * share
    return np.where(enough, slope / np.sqrt(np.maximum(variance, 0.25 * mean) + 1e-300), 0.0)


def _pyramid(blocks: Array) -> Iterator[Array]:
    """The blocks, and sums of 2 x 2 of the last, while a dozen are left."""
    level = blocks.astype(np.float64)
    while True:
        yield level
        rows, columns = level.shape[0] // 2 * 2, level.shape[1] // 2 * 2
        if rows * columns < 4 * 12:
            return
        even = level[:rows, :columns]
        level = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
