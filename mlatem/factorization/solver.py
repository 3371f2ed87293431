# SPDX-License-Identifier: GPL-3.0-or-later
"""The central solve: compositions of the phases from pooled region spectra."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import ConvergenceError, InputError
from mlatem.factorization import alignment, geometry, multiplicative, vertices
from mlatem.factorization.covariance import weight_covariance
from mlatem.factorization.geometry_class import ambiguity
from mlatem.factorization.number import Neighbours, neighbours
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    expectation_maximization,
    weighted_columns,
)
from mlatem.factorization.scoring import ScoringResult, fit
from mlatem.factorization.sparsity import SparseResult, abundances_at, fit_sparse
from mlatem.model import Ambiguity, Dictionary, RegionStatistics, SparseCounts

logger = logging.getLogger(__name__)

#: Columns of every phase, (n_phases, n_columns, n_energy), from the coefficients of the phases,
#: (n_phases, n_columns), their counts in the regions, (n_regions, n_phases), and the pixels of the
#: regions, (n_regions,): what a phase emits may depend on what it consists of, and on how much of
#: it there is.
OwnColumns = Callable[[Array, Array, NDArray[np.int64]], Array]

_START_FLOOR = 1e-3
_START_SWEEPS = 30
#: The valley of maximum likelihood is flat: walking it to its end moves only the start, radian.
_START_TOLERANCE = 1e-3
#: Thinnings whose answers differ by more than this are fitted again from the most central one.
_DISAGREEMENT_DEG = 3.0
#: Thinnings whose answers still differ by more than this have found different answers.
_DIFFERENT_DEG = 6.0
#: Compositions and the columns that depend on them are iterated until no share of the quantified
#: columns changes by more than this, or the rounds are used up.
_OWN_TOLERANCE = 1e-3
_OWN_ROUNDS = 6
#: Rounds of the fits with other numbers of phases, which serve a comparison.
_BRIEF_ROUNDS = 60
#: A phase with a smaller share of the counts is none.
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class CompositionSolution:
    """Compositions of all phases, and how far they can be trusted."""

    coefficient: NDArray[np.float64]
    """Shape (n_phases, n_columns); spectra add up to one. Phases by decreasing abundance."""
    coefficient_covariance: NDArray[np.float64]
    """Shape (n_phases, n_columns, n_columns); statistical, abundances free, plus the scatter of
    the thinnings."""
    loss: NDArray[np.float64]
    """Shape (n_losses,); negative log-likelihood of the pooled spectra of the first thinning after
    each round, nats; it rises a little where sparsity is traded for likelihood."""
    spread_deg: NDArray[np.float64]
    """Shape (n_phases,); largest angle between the spectra of two thinnings, degrees."""
    n_carried: int
    """Phases that stand out of the noise of the region spectra; see `estimate_n_phases`."""
    n_rounds: int
    """Of all fits together."""
    converged: bool
    reason: str
    """Why it did not converge; empty if it did."""
    phase_columns: NDArray[np.float64] | None = None
    """Shape (n_phases, n_columns, n_energy), where every phase has columns of its own; None where
    all have those of the dictionary."""
    ambiguity: Ambiguity | None = None
    """What the data leave open; None where it was not looked for."""

    @property
    def n_phases(self) -> int:
        """Number of phases."""
        return len(self.coefficient)

    def spectrum(self, dictionary: Dictionary) -> NDArray[np.float64]:
        """Spectra of the phases, shape (n_phases, n_energy)."""
        own = dictionary.columns if self.phase_columns is None else self.phase_columns
        return weighted_columns(self.coefficient, own)


def estimate_n_phases(regions: Sequence[RegionStatistics], dictionary: Dictionary) -> int:
    """Number of phases that the region spectra carry, by the noise edge in the dictionary's span.

    Parameters
    ----------
    regions : sequence of RegionStatistics
        One for each thinning; the least number counts.
    dictionary : Dictionary

    Returns
    -------
    n_phases : int
        At least 1. It is a rank: a solid solution without end members counts as two.

    Raises
    ------
    InputError
        If the map has no counts.
    """
    return max(1, min(vertices.n_carried(data) for data in _pooled(regions, dictionary)))


def solve_compositions(
    regions: Sequence[RegionStatistics],
    dictionary: Dictionary,
    n_phases: int,
    *,
    options: settings.Factorize | None = None,
    own_columns: OwnColumns | None = None,
) -> CompositionSolution:
    """Compositions of the phases from the pooled spectra of all thinnings.

    Parameters
    ----------
    regions : sequence of RegionStatistics
        One for each thinning, summed over all tiles.
    dictionary : Dictionary
    n_phases : int
    options : settings.Factorize, optional
    own_columns : callable, optional
        Columns of every phase for its composition. After a first solve with the dictionary's,
        columns and compositions are iterated, at most six rounds.

    Raises
    ------
    InputError
        If the map has no counts, or the data cannot carry so many phases.
    ConvergenceError
        If a fit ends in values that are not finite.

    Notes
    -----
    For each thinning: successive projection on the low-rank region spectra, maximum likelihood,
    successive projection on the fit, then the sparse corner of what the likelihood leaves
    undetermined. The answers are aligned and their elementwise median is taken, or the most
    central one where they disagree. Deterministic.
    """
    options = options or settings.Factorize()
    thinnings = _pooled(regions, dictionary)
    n_carried = max(1, min(vertices.n_carried(data) for data in thinnings))
    _check_number(n_phases, thinnings, dictionary, n_carried)
    penalized = _penalized(dictionary)
    blind = [_blind_start(data, n_phases, n_carried, options) for data in thinnings]
    answers = []
    for data, (start, losses) in zip(thinnings, blind, strict=True):
        sparse = fit_sparse(data, start, penalized, options)
        answers.append(replace(sparse, loss=losses + sparse.loss))
    answers = _reconciled(thinnings, answers, penalized, options)
    columns = dictionary.columns
    atoms = geometry.Atoms(dictionary.quantified, columns.sum(axis=-1))
    starts, likeliest_loss = [start for start, _ in blind], blind[0][1][-1]
    view = geometry.settled(thinnings, answers, starts, likeliest_loss, penalized, atoms, options)
    answers = view.answers
    weights = _ordered(thinnings, answers)
    nearby = _neighbours(thinnings[0], n_phases, n_carried, likeliest_loss, options)
    if own_columns is not None:
        answers, columns = _with_own_columns(
            thinnings, weights, dictionary, own_columns, view.geometry, options
        )
        thinnings = [data.with_columns(columns) for data in thinnings]
        weights = np.stack([answer.weight for answer in answers])
    weight = _combined(weights, thinnings[0])
    abundance = abundances_at(thinnings[0], weight, options).abundance
    if np.any(abundance.sum(axis=0) < _LEAST_SHARE * abundance.sum()):
        raise _too_many(n_phases, n_carried)
    covariance = weight_covariance(thinnings[0], abundance, weight) + _scatter(weights)
    scale = np.broadcast_to(columns.sum(axis=-1), weight.shape)
    spectra = [thinnings[0].spectrum(w) for w in weights]
    n_failed = sum(not answer.converged for answer in answers)
    solution = CompositionSolution(
        coefficient=weight / scale,
        coefficient_covariance=covariance / (scale[:, :, None] * scale[:, None, :]),
        loss=np.array(answers[0].loss),
        spread_deg=np.degrees(alignment.spread(spectra)),
        n_carried=n_carried,
        n_rounds=sum(len(answer.loss) for answer in answers),
        converged=n_failed == 0,
        reason=_reason(n_failed, len(answers), options),
        phase_columns=None if own_columns is None else columns,
        ambiguity=ambiguity(
            thinnings[0],
            abundance,
            weight,
            view,
            np.degrees(alignment.spread(spectra)),
            nearby,
            dictionary,
            options,
        ),
    )
    _check_finite(solution)
    logger.info(
        "compositions of %d phases from %d regions: %d rounds, spread %.2f deg",
        n_phases,
        len(thinnings[0].counts),
        solution.n_rounds,
        solution.spread_deg.max(),
    )
    return solution


def _pooled(regions: Sequence[RegionStatistics], dictionary: Dictionary) -> list[PooledData]:
    if not regions:
        raise InputError("no region spectra were given: expected one record for each thinning")
    return [PooledData.from_regions(part, dictionary) for part in regions]


def _check_number(
    n_phases: int, thinnings: Sequence[PooledData], dictionary: Dictionary, n_carried: int
) -> None:
    if n_phases < 1:
        raise InputError(f"n_phases is {n_phases}: expected at least 1")
    possible = min(min(vertices.region_scores(data).shape) for data in thinnings)
    if n_phases > min(possible, dictionary.n_columns):
        raise _too_many(n_phases, n_carried)


def _too_many(n_phases: int, n_carried: int) -> InputError:
    return InputError(
        f"n_phases is {n_phases}, but the data carry {n_carried}: give at most {n_carried}, or "
        "'auto'"
    )


def _blind_start(
    data: PooledData, n_phases: int, n_carried: int, options: settings.Factorize
) -> tuple[Array, tuple[float, ...]]:
    """Weights of the vertices of one thinning, and the losses on the way there."""
    chosen = vertices.vertices_of_scores(data, n_phases)
    if len(chosen) < n_phases:
        raise _too_many(n_phases, n_carried)
    abundance, weight = _start(data, chosen)
    likeliest = _likeliest(data, abundance, weight, options)
    corner = vertices.vertices_of_fit(data, likeliest.abundance, likeliest.weight)
    if len(corner) < n_phases:
        raise _too_many(n_phases, n_carried)
    return corner, likeliest.loss


def _likeliest(
    data: PooledData, abundance: Array, weight: Array, options: settings.Factorize
) -> ScoringResult:
    """Maximum likelihood; by multiplicative updates where the scoring gets stuck."""
    result = fit(data, abundance, weight, max_rounds=options.max_rounds, tolerance=_START_TOLERANCE)
    if result.converged:
        return result
    regions = SparseCounts.from_dense(data.counts, np.arange(len(data.counts)))
    slow = multiplicative.fit(
        regions, data.columns, result.abundance, result.weight, max_cycles=options.max_rounds
    )
    reached = data.loss(data.model(slow.abundance.astype(np.float64), slow.weight))
    if not reached < result.loss[-1]:
        return result
    moved = slow.abundance.astype(np.float64)
    return ScoringResult(moved, slow.weight, (*result.loss, reached), slow.converged)


def _start(data: PooledData, chosen: NDArray[np.int64]) -> tuple[Array, Array]:
    """Weights of the chosen regions, floored so that no zero is locked, and a few sweeps."""
    n_phases, n_columns = len(chosen), len(data.columns)
    purest = PooledData(data.counts[chosen], data.n_pixels[chosen], data.columns)
    even = np.full((n_phases, n_columns), 1.0 / n_columns)
    _, weight = expectation_maximization(purest, np.diag(purest.totals), even, _START_SWEEPS)
    weight = np.maximum(weight, _START_FLOOR / n_columns)
    weight /= weight.sum(axis=1, keepdims=True)
    abundance = np.repeat(data.totals[:, None] / n_phases, n_phases, axis=1)
    abundance, _ = expectation_maximization(
        data, abundance, weight, _START_SWEEPS, hold_weight=True
    )
    return expectation_maximization(data, abundance, weight, _START_SWEEPS)


def _reconciled(
    thinnings: Sequence[PooledData],
    answers: list[SparseResult],
    penalized: NDArray[np.bool_],
    options: settings.Factorize,
) -> list[SparseResult]:
    """Answers far from the most central one are fitted again from there; the better one stays."""
    columns = thinnings[0].columns
    spectra = [answer.weight @ columns for answer in answers]
    central = alignment.medoid(spectra)
    result = list(answers)
    for i, data in enumerate(thinnings):
        if np.degrees(alignment.distance(spectra[central], spectra[i])) < _DISAGREEMENT_DEG:
            continue
        other = fit_sparse(data, answers[central].weight, penalized, options)
        if other.score < answers[i].score:
            result[i] = other
    return result


def _ordered(thinnings: Sequence[PooledData], answers: Sequence[SparseResult]) -> Array:
    """Weights of all thinnings, matched, phases by decreasing abundance.

    Shape (n_thinnings, n_phases, n_columns).
    """
    columns = thinnings[0].columns
    reference = answers[alignment.medoid([answer.weight @ columns for answer in answers])]
    order = np.argsort(-reference.abundance.sum(axis=0), kind="stable")
    spectrum = reference.weight[order] @ columns
    return np.stack(
        [answer.weight[alignment.matched(spectrum, answer.weight @ columns)] for answer in answers]
    )


def _with_own_columns(
    thinnings: Sequence[PooledData],
    weights: Array,
    dictionary: Dictionary,
    own_columns: OwnColumns,
    view: geometry.Geometry,
    options: settings.Factorize,
) -> tuple[list[SparseResult], Array]:
    """Answers, phases in the order given, with columns that agree with their compositions.

    Columns depend on compositions only weakly: they are iterated on the first thinning, and all
    are fitted with the columns that come out.

    Returns
    -------
    answers : list of SparseResult
        One for each thinning.
    columns : ndarray of shape (n_phases, n_columns, n_energy)
    """
    quantified = dictionary.quantified
    weight = _combined(weights, thinnings[0])
    data, abundance = thinnings[0], abundances_at(thinnings[0], weight, options).abundance

    def agreeing(columns: Array) -> tuple[Array, Array]:
        """Columns for the counts in each, and the shares of the quantified ones."""
        shares = _shares((weight / columns.sum(axis=-1))[:, quantified])
        for _ in range(_OWN_ROUNDS):
            columns = own_columns(weight / columns.sum(axis=-1), abundance, data.n_pixels)
            before, shares = shares, _shares((weight / columns.sum(axis=-1))[:, quantified])
            if np.max(np.abs(shares - before)) < _OWN_TOLERANCE:
                break
        return columns, shares

    columns, shares = agreeing(dictionary.columns)
    for _ in range(_OWN_ROUNDS):
        first = view.fit(data.with_columns(columns), weight, options)
        weight, abundance, before = first.weight, first.abundance, shares
        columns, shares = agreeing(columns)
        if np.max(np.abs(shares - before)) < _OWN_TOLERANCE:
            break
    answers = [
        view.fit(data.with_columns(columns), start, options)
        for data, start in zip(thinnings, [weight, *weights[1:]], strict=True)
    ]
    return answers, columns


def _shares(amounts: Array) -> Array:
    shares: Array = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-300)
    return shares


def _penalized(dictionary: Dictionary) -> NDArray[np.bool_]:
    """Columns whose weights are penalized: all but the continuum."""
    return np.array([kind != "background" for kind in dictionary.kinds])


def _combined(weights: Array, data: PooledData) -> Array:
    """One answer from those of all thinnings, (n_phases, n_columns); rows add up to one.

    The elementwise median; where the thinnings found different answers, whose median is none of
    them, the most central one.
    """
    spectra = [data.spectrum(weight) for weight in weights]
    if np.degrees(alignment.spread(spectra).max()) > _DIFFERENT_DEG:
        central: Array = weights[alignment.medoid(spectra)]
        return central
    median = np.median(weights, axis=0)
    combined: Array = median / median.sum(axis=1, keepdims=True)
    return combined


def _scatter(weights: Array) -> Array:
    """Covariance of each phase's weights between thinnings, (n_phases, n_columns, n_columns)."""
    n_thinnings = len(weights)
    if n_thinnings < 2:
        return np.zeros((*weights.shape[1:], weights.shape[2]))
    centred = weights - weights.mean(axis=0)
    scatter: Array = np.einsum("ski,skj->kij", centred, centred) / (n_thinnings - 1)
    return scatter


def _neighbours(
    data: PooledData,
    n_phases: int,
    n_carried: int,
    likeliest_loss: float,
    options: settings.Factorize,
) -> Neighbours:
    """Answers with a phase less and a phase more, of one thinning and not taken to their end."""
    brief = options.model_copy(update={"max_rounds": min(options.max_rounds, _BRIEF_ROUNDS)})
    return neighbours(
        data, n_phases, likeliest_loss, lambda n: _blind_start(data, n, n_carried, brief)
    )


def _reason(n_failed: int, n_thinnings: int, options: settings.Factorize) -> str:
    if n_failed == 0:
        return ""
    return (
        f"{n_failed} of {n_thinnings} thinnings still moved after {options.max_rounds} rounds a "
        "fit: raise factorize.max_rounds, or ask for fewer phases"
    )


def _check_finite(solution: CompositionSolution) -> None:
    for name in ("coefficient", "coefficient_covariance", "loss", "spread_deg"):
        if not np.all(np.isfinite(getattr(solution, name))):
            raise ConvergenceError(
                f"the compositions of {solution.n_phases} phases ended in {name} that is not "
                "finite: ask for fewer phases, or check the dictionary's columns"
            )
