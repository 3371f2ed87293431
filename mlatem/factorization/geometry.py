# SPDX-License-Identifier: GPL-3.0-or-later
"""Which phases occur alone somewhere, and the answer that follows.

A particle that is always seen through its matrix and a layer that lies beside it can have the same
spectra: the counts fit both, and the compositions are not the same. Two observations tell them
apart. Where a phase fills many regions alone, there is a pile-up at its vertex; and where taking
the matrix out of a phase makes several elements vanish at once, this is no coincidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization import alignment
from mlatem.factorization.constraints import Constraints
from mlatem.factorization.contiguous import fit_contiguous
from mlatem.factorization.pooled import Array, PooledData, spectral_angle
from mlatem.factorization.scoring import Penalty
from mlatem.factorization.sparsity import SparseResult, abundances_at, fit_sparse, penalty_at

#: A region belongs to a phase alone from this share of its counts on.
_NEARLY_ALONE = 0.85
#: A phase with at least this share of its counts in such regions occurs alone; half embedded
#: spheres, whose thickest part sets the vertex, stay below.
_PURE = 0.66
#: Elements below the first count as lacking, above the second as present, atomic fractions.
LACKING, PRESENT = 0.003, 0.03
_CERTAINLY_PRESENT = 0.01
#: So many elements that vanish at once are no coincidence.
COINCIDENCE = 2
#: Answers that differ by less than this are the same, degrees.
_SAME_DEG = 1.0
#: Share of the counts of a phase's regions from which another one is around it.
_AROUND = 0.05


@dataclass(frozen=True)
class Atoms:
    """How weights become numbers of atoms."""

    quantified: NDArray[np.bool_]
    """Shape (n_columns,)."""
    scale: Array
    """Shape (n_columns,) or (n_phases, n_columns); counts of a column of one atom."""

    def fractions(self, weight: Array) -> Array:
        """Atomic fractions, shape (n_phases, n_quantified)."""
        amount = (weight / self.scale)[..., self.quantified]
        total = amount.sum(axis=-1, keepdims=True)
        fractions: Array = amount / np.maximum(total, 1e-300)
        return fractions


@dataclass(frozen=True)
class Geometry:
    """How each phase is taken to occur."""

    spectrum: Array
    """Shape (n_phases, n_energy); by which phases are recognized."""
    is_alone: NDArray[np.bool_]
    """Shape (n_phases,)."""
    purity: Array
    """Shape (n_phases,); share of a phase's counts in regions that it fills nearly alone."""
    penalized: NDArray[np.bool_]
    """Shape (n_columns,); columns of elements."""
    n_named: int = 0
    """The first phases have names, and are recognized by their place."""

    def order(self, spectrum: Array) -> NDArray[np.int64]:
        """Which phase of this record each of some spectra is."""
        return alignment.matched(spectrum, self.spectrum, self.n_named)

    def pulled(self, spectrum: Array) -> NDArray[np.bool_]:
        """Which weights of phases with these spectra sparsity pulls on; (n_phases, n_columns)."""
        alone = self.is_alone[self.order(spectrum)]
        return np.asarray(self.penalized & ~alone[:, None])

    def fit(
        self,
        data: PooledData,
        weight: Array,
        options: settings.Factorize,
        constraints: Constraints | None = None,
    ) -> SparseResult:
        """The answer of this geometry, from a start.

        Phases that occur alone are determined by the regions where they do, and no element of
        theirs is pulled to zero.
        """
        alone = self.is_alone[self.order(data.spectrum(weight))]
        if alone.all():
            return fit_contiguous(data, weight, options, constraints)
        return fit_sparse(data, weight, self.pulled(data.spectrum(weight)), options, constraints)

    def penalty(self, data: PooledData, abundance: Array, weight: Array) -> Penalty:
        """What pulls on the elements of phases that do not occur alone; see `penalty_at`."""
        return penalty_at(data, abundance, weight, self.pulled(data.spectrum(weight)))

    def fit_other(
        self,
        data: PooledData,
        weight: Array,
        options: settings.Factorize,
        constraints: Constraints | None = None,
    ) -> SparseResult:
        """The answer of the other reading of the map, from a start."""
        if self.is_alone.all():
            return fit_sparse(data, weight, self.penalized, options, constraints)
        return fit_contiguous(data, weight, options, constraints)


@dataclass(frozen=True)
class Settled:
    """Answers of all thinnings with the geometry that decided."""

    answers: list[SparseResult]
    """Phases in the order of the first answer."""
    other: Array
    """Shape (n_phases, n_columns); weights of the other reading of the map, in the same order."""
    geometry: Geometry
    cost_nats: float
    """By how much the first answer is less likely than the likeliest phases."""


def settled(
    thinnings: Sequence[PooledData],
    answers: Sequence[SparseResult],
    starts: Sequence[Array],
    likeliest_loss: float,
    penalized: NDArray[np.bool_],
    atoms: Atoms,
    options: settings.Factorize,
    constraints: Sequence[Constraints | None],
    n_named: int,
) -> Settled:
    """The answers of the geometry that the map shows, or that the settings name.

    Parameters
    ----------
    thinnings : sequence of PooledData
    answers : sequence of SparseResult
        Of every thinning, with all phases taken to be embedded.
    starts : sequence of ndarray of shape (n_phases, n_columns)
        Weights of the vertices, of every thinning.
    likeliest_loss : float
        Negative log-likelihood of the likeliest phases of the first thinning, nats.
    penalized : ndarray of shape (n_columns,), bool
        Columns of elements.
    atoms : Atoms
    options : settings.Factorize
    constraints : sequence of Constraints or None
        What is known of the phases, for every thinning.
    n_named : int
        The first phases have names, and keep their places.
    """
    reference = thinnings[0].spectrum(answers[0].weight)
    embedded = [
        _reordered(a, alignment.matched(reference, data.spectrum(a.weight), n_named))
        for a, data in zip(answers, thinnings, strict=True)
    ]
    beside = []
    for data, start, known in zip(thinnings, starts, constraints, strict=True):
        found = fit_contiguous(data, start, options, known)
        order = alignment.matched(reference, data.spectrum(found.weight), n_named)
        beside.append(_reordered(found, order))
    inside_weight, beside_weight = _middle(embedded), _middle(beside)
    pure = np.median([purity(answer.abundance) for answer in beside], axis=0)
    alone = _alone(pure, atoms, inside_weight, beside_weight, embedded[0].abundance, options)
    geometry = Geometry(reference, alone, pure, penalized, n_named)
    if alone.all():
        return Settled(beside, inside_weight, geometry, beside[0].loss[-1] - likeliest_loss)
    first = thinnings[0]
    off = spectral_angle(first.spectrum(inside_weight), first.spectrum(beside_weight))
    if np.any(off[alone] > np.radians(_SAME_DEG)):
        embedded = [
            _better(geometry, data, [a.weight, b.weight], options, known)
            for data, a, b, known in zip(thinnings, embedded, beside, constraints, strict=True)
        ]
    reached = abundances_at(first, embedded[0].weight, options, constraints[0]).loss[-1]
    return Settled(embedded, beside_weight, geometry, reached - likeliest_loss)


def purity(abundance: Array) -> Array:
    """Share of each phase's counts in regions that it fills nearly alone, shape (n_phases,)."""
    fraction = abundance / np.maximum(abundance.sum(axis=1, keepdims=True), 1e-300)
    own = np.where(fraction > _NEARLY_ALONE, abundance, 0.0).sum(axis=0)
    share: Array = own / np.maximum(abundance.sum(axis=0), 1e-300)
    return share


def around(abundance: Array) -> NDArray[np.bool_]:
    """Which phase [p, m] has which other one m around it, shape (n_phases, n_phases)."""
    fraction = abundance / np.maximum(abundance.sum(axis=1, keepdims=True), 1e-300)
    share = abundance.T @ fraction / np.maximum(abundance.sum(axis=0), 1e-300)[:, None]
    is_around: NDArray[np.bool_] = (share > _AROUND) & ~np.eye(abundance.shape[1], dtype=bool)
    return is_around


def n_lacking(fractions: Array, abundance: Array) -> NDArray[np.int64]:
    """Elements that each phase lacks and what is around it has, less those that mixing explains.

    Parameters
    ----------
    fractions : ndarray of shape (n_phases, n_elements)
        Atomic fractions.
    abundance : ndarray of shape (n_regions, n_phases)

    Returns
    -------
    n_lacking : ndarray of shape (n_phases,)
        With one phase around: the elements that it has and the phase lacks. With several, each of
        which may be taken out by an amount of its own to make an element vanish: the elements of
        all of them, but one for each beyond the first, and not more than any one of them explains.
        All elements where nothing is around a phase.
    """
    is_around = around(abundance)
    vanished = (fractions < LACKING)[:, None] & (fractions > PRESENT)[None] & is_around[:, :, None]
    together = vanished.any(axis=1).sum(axis=1) - is_around.sum(axis=1) + 1
    least = np.where(is_around, vanished.sum(axis=2), fractions.shape[1]).min(axis=1)
    lacking = np.where(is_around.any(axis=1), np.minimum(together, least), fractions.shape[1])
    counted: NDArray[np.int64] = np.maximum(lacking, 0)
    return counted


def _alone(
    pure: Array,
    atoms: Atoms,
    inside: Array,
    beside: Array,
    abundance: Array,
    options: settings.Factorize,
) -> NDArray[np.bool_]:
    """Which phases occur alone."""
    if options.geometry == "contiguous":
        return np.ones(len(pure), dtype=bool)
    without, with_it = atoms.fractions(inside), atoms.fractions(beside)
    vanished = (without < LACKING) & (with_it > _CERTAINLY_PRESENT)
    alone = (pure > _PURE) & (vanished.sum(axis=1) < COINCIDENCE)
    if options.geometry == "embedded":
        matrix = np.arange(len(pure)) == np.argmax(abundance.sum(axis=0))
        return np.asarray(alone & matrix & (len(pure) > 1), dtype=bool)
    return np.asarray(alone, dtype=bool)


def _better(
    geometry: Geometry,
    data: PooledData,
    starts: Sequence[Array],
    options: settings.Factorize,
    known: Constraints | None,
) -> SparseResult:
    """The best of the answers from several starts, phases in the geometry's order."""
    found = [geometry.fit(data, start, options, known) for start in starts]
    best = found[int(np.argmin([answer.score for answer in found]))]
    spectrum = data.spectrum(best.weight)
    return _reordered(best, alignment.matched(geometry.spectrum, spectrum, geometry.n_named))


def _middle(answers: Sequence[SparseResult]) -> Array:
    """Median of the weights, or the most central ones of answers that are not alike."""
    weights = np.stack([answer.weight for answer in answers])
    median = np.median(weights, axis=0)
    distance = np.abs(weights - median).sum(axis=(1, 2))
    if distance.max() > 0.3:
        between = np.abs(weights[:, None] - weights[None]).sum(axis=(1, 2, 3))
        central: Array = weights[int(np.argmin(between))]
        return central
    middle: Array = median / median.sum(axis=1, keepdims=True)
    return middle


def _reordered(answer: SparseResult, order: NDArray[np.int64]) -> SparseResult:
    return SparseResult(
        answer.abundance[:, order],
        answer.weight[order],
        answer.loss,
        answer.score,
        answer.converged,
    )
