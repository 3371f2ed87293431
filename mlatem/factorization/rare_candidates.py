# SPDX-License-Identifier: GPL-3.0-or-later
"""From tests of pixels to candidates for rare phases: places, elements, compositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as connected
from scipy.optimize import linprog

from mlatem.errors import InputError
from mlatem.factorization.abundances import most_likely
from mlatem.kernels.pooling import sum_by_label
from mlatem.model import RareSearch, SparseCounts, Verdict

Array = NDArray[np.float64]

#: Tests above this share of the highest one of a place belong to it.
_FOOTPRINT = 0.4
#: The smallest window that reaches this share of the best window's excess tells the shape best.
_SHARPER = 0.6
#: Places whose excess has the same elements, cosine of their scores, are one phase.
_ALIKE = 0.8
#: What is taken out of a candidate may exceed the counts of an element by so many of their sigmas.
_SLACK = 2.0
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class PlaceSums:
    """Sums over the pixels of every place. Merge: addition."""

    counts: Array
    """Shape (n_places, n_energy); measured."""
    abundance: Array
    """Shape (n_places, n_phases); expected counts of the known phases."""
    score: Array
    """Shape (n_places, n_columns); derivatives of the log-likelihood."""
    information: Array
    """Shape (n_places, n_columns)."""

    @classmethod
    def zero(cls, n_places: int, n_energy: int, n_phases: int, n_columns: int) -> PlaceSums:
        """The identity of the merge."""
        return cls(
            np.zeros((n_places, n_energy)),
            np.zeros((n_places, n_phases)),
            np.zeros((n_places, n_columns)),
            np.zeros((n_places, n_columns)),
        )

    @classmethod
    def of_tile(
        cls,
        counts: SparseCounts,
        label: NDArray[np.int32],
        n_places: int,
        *,
        abundance: Array,
        score: Array,
        information: Array,
    ) -> PlaceSums:
        """Sums over the pixels of a tile; `label` (n_pixels,) is -1 outside all places."""
        summed, _ = sum_by_label(
            counts.pointer, counts.channel, counts.count, label, n_places, counts.n_energy
        )
        inside = label >= 0

        def total(values: Array) -> Array:
            result = np.zeros((n_places, values.shape[1]))
            np.add.at(result, label[inside], values[inside])
            return result

        return cls(summed.astype(float), total(abundance), total(score), total(information))

    def __add__(self, other: PlaceSums) -> PlaceSums:
        if self.counts.shape != other.counts.shape:
            raise InputError(
                f"sums of shapes {self.counts.shape} and {other.counts.shape} cannot be merged"
            )
        return PlaceSums(
            self.counts + other.counts,
            self.abundance + other.abundance,
            self.score + other.score,
            self.information + other.information,
        )

    @property
    def excess(self) -> Array:
        """Shape (n_places, n_columns); scores in standard deviations."""
        known = self.information > 0
        return np.where(known, self.score / np.sqrt(np.where(known, self.information, 1.0)), 0.0)

    def grouped(self, group: NDArray[np.int64]) -> PlaceSums:
        """Sums over groups of places; `group` of shape (n_places,), from 0."""
        member = (group[None] == np.arange(group.max(initial=-1) + 1)[:, None]).astype(float)
        return PlaceSums(
            member @ self.counts,
            member @ self.abundance,
            member @ self.score,
            member @ self.information,
        )


def places(excess: NDArray[np.float32]) -> NDArray[np.int32]:
    """Places that stand out, from the tests of all windows.

    Parameters
    ----------
    excess : ndarray of shape (n_windows, ny, nx)
        Tests over their thresholds, windows from small to large.

    Returns
    -------
    label : ndarray of shape (ny, nx), int32
        0 to n_places - 1; -1 outside.
    """
    label = np.full(excess.shape[1:], -1, dtype=np.int32)
    together, n_together = connected((excess > 1.0).any(axis=0), _EIGHT_NEIGHBOURS)
    for place in range(n_together):
        inside = together == place + 1
        peak = np.array([window[inside].max() for window in excess])
        chosen = int(np.flatnonzero(peak >= _SHARPER * peak.max())[0])
        label[inside & (excess[chosen] > _FOOTPRINT * peak[chosen])] = place
    return label


def alike(excess: Array) -> NDArray[np.int64]:
    """Group of every place; places in which the same elements exceed are one phase.

    Parameters
    ----------
    excess : ndarray of shape (n_places, n_columns)
        Scores in standard deviations.

    Returns
    -------
    group : ndarray of shape (n_places,)
        From 0, the group with the highest score first.
    """
    positive = np.maximum(excess, 0.0)
    unit = positive / np.maximum(np.linalg.norm(positive, axis=1, keepdims=True), 1e-300)
    group = np.full(len(excess), -1, dtype=np.int64)
    leaders: list[int] = []
    for place in np.argsort(-positive.max(axis=1, initial=0.0), kind="stable"):
        near = [g for g, leader in enumerate(leaders) if unit[leader] @ unit[place] > _ALIKE]
        if not near:
            leaders.append(int(place))
        group[place] = near[0] if near else len(leaders) - 1
    return group


def compositions(
    counts: Array, columns: Array, weight: Array, solvable: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Counts of every column in a spectrum, with and without what known phases may explain.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
    columns : ndarray of shape (n_columns, n_energy)
        Each adds up to one.
    weight : ndarray of shape (n_phases, n_columns)
        Of the known phases; rows add up to one.
    solvable : ndarray of shape (n_columns,), bool
        Columns of elements, which limit what can be taken out.

    Returns
    -------
    whole, excess : ndarray of shape (n_columns,)
        Counts of each column: of everything, and of what is left when as many counts of known
        phases are taken out as the elements allow.

    Notes
    -----
    The second is a linear programme: the most counts of known phases that exceed no element's
    counts by more than two of their standard deviations.
    """
    channel = np.flatnonzero(counts > 0)
    pixel = SparseCounts(
        np.array([0, channel.size]),
        channel.astype(np.uint16),
        counts[channel].astype(np.uint32),
        counts.size,
        np.zeros(1, dtype=np.int64),
    )
    whole = most_likely(pixel, columns)[0][0]
    model = np.maximum(whole @ columns, 1e-9)
    known = (columns / model) @ columns.T
    sigma = np.sqrt(np.diag(np.linalg.inv(known + 1e-9 * np.diag(np.diag(known)))))
    limit = whole + _SLACK * sigma
    solved = linprog(
        -np.ones(len(weight)), A_ub=weight[:, solvable].T, b_ub=limit[solvable], bounds=(0, None)
    )
    explained = solved.x @ weight if solved.success else np.zeros_like(whole)
    return whole, np.maximum(whole - explained, 0.0)


def atomic_percent(weight: Array, columns_sum: Array, quantified: NDArray[np.bool_]) -> Array:
    """Atomic percent from counts of columns.

    Parameters
    ----------
    weight : ndarray of shape (n_columns,)
        Counts of every column.
    columns_sum : ndarray of shape (n_columns,)
        Counts of an amount of one.
    quantified : ndarray of shape (n_columns,), bool

    Returns
    -------
    ndarray of shape (n_quantified,)
        Zeros where no quantified column has counts.
    """
    amount = (weight / columns_sum)[quantified]
    percent: Array = 100.0 * amount / max(float(amount.sum()), 1e-300)
    return percent


def numbered(
    label: NDArray[np.int32], group: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.int32]:
    """Map of the candidates, from 1, from the map of the places and their groups."""
    table = np.append(np.asarray(group, dtype=np.int32) + 1, 0)
    result: NDArray[np.int32] = table[label].astype(np.int32)
    return result


def verdict(search: RareSearch) -> Verdict:
    """Whether places stand out that the phases do not explain."""
    found = [
        f"{'-'.join(search.excess_elements(i)) or 'no single element'} on {n} pixels"
        for i, n in enumerate(search.n_pixels)
    ]
    return Verdict(
        "rare phases",
        float(search.n_candidates),
        0.0,
        "candidates",
        "warning" if found else "good",
        f"more than the phases hold: {'; '.join(found)}" if found else "no pixels stand out",
    )
