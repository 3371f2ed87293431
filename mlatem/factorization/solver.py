# SPDX-License-Identifier: GPL-3.0-or-later
"""The central solve: compositions of the phases from pooled region spectra."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import ConvergenceError, InputError
from mlatem.factorization import alignment, geometry, multiplicative, vertices
from mlatem.factorization.averaging import averaged_weight
from mlatem.factorization.constraints import Constraints, NamedPhases
from mlatem.factorization.covariance import weight_covariance
from mlatem.factorization.factor_errors import factor_errors
from mlatem.factorization.geometry_class import ambiguity
from mlatem.factorization.intervals import composition_leeway, in_coefficients
from mlatem.factorization.line_factors import fit_factors
from mlatem.factorization.number import Neighbours, neighbours
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    expectation_maximization,
    weighted_columns,
)
from mlatem.factorization.prior_cost import PriorCosts, no_costs, prior_costs
from mlatem.factorization.prior_fit import Known, matched_starts
from mlatem.factorization.scoring import ScoringResult, fit
from mlatem.factorization.sparsity import SparseResult, abundances_at, fit_sparse
from mlatem.model import Ambiguity, Dictionary, Leeway, RegionStatistics, SparseCounts
from mlatem.model.column_parts import ColumnParts

logger = logging.getLogger(__name__)

#: Parts of the columns of every phase from the coefficients of the phases, (n_phases, n_columns),
#: their counts in the regions, (n_regions, n_phases), and the pixels of the regions, (n_regions,):
#: what a phase emits may depend on what it consists of, and on how much of it there is.
OwnColumns = Callable[[Array, Array, NDArray[np.int64]], ColumnParts]

#: Runs a function on each item of a sequence, as `map` does.
Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

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
    """Shape (n_phases, n_columns, n_columns); statistical, abundances and factors on lines free,
    plus the scatter of the thinnings."""
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
    leeway: Leeway | None = None
    """Of the coefficients: what intervals are made of."""
    ambiguity: Ambiguity | None = None
    """What the data leave open; None where it was not looked for."""
    phase_names: tuple[str, ...] = ()
    """Names that priors give to phases; "" for the others; empty without priors."""
    prior_deviance: NDArray[np.float64] | None = None
    """Shape (n_phases,); by how much each phase's prior raises the deviance; NaN without one."""
    prior_limit: NDArray[np.float64] | None = None
    """Shape (n_phases,); what a prior that is true costs at most, but once in a thousand."""
    places: NDArray[np.bool_] | None = None
    """Shape (n_patterns, n_phases); see `NamedPhases.places`, phases in the order given here."""
    line_factors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """On the tabulated intensities of sub-shells, "Pt M5", fitted with the phases: the factor, its
    standard deviation from counts, and what the tables leave open of it."""

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
    named: NamedPhases | None = None,
    each: Each = map,
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
        columns, the factors on their parts and compositions are iterated, at most six rounds.
    named : NamedPhases, optional
        What is known of some of the phases.
    each : callable, optional
        Runs a function on every thinning, as `map` does; they do not depend on each other.

    Raises
    ------
    InputError
        If the map has no counts, or the data cannot carry so many phases, or more are named.
    ConvergenceError
        If a fit ends in values that are not finite.

    Notes
    -----
    For each thinning: successive projection on the low-rank region spectra, maximum likelihood,
    successive projection on the fit, then the sparse corner of what the likelihood leaves
    undetermined, then the mean over what is about as probable. The answers are aligned and their
    elementwise median is taken, or the most central one where they disagree. Standard deviations
    are those at the sparse corner. Deterministic.
    """
    options = options or settings.Factorize()
    thinnings = _pooled(regions, dictionary)
    shared = thinnings[0]
    n_carried = max(1, min(vertices.n_carried(data) for data in thinnings))
    _check_number(n_phases, thinnings, dictionary, n_carried)
    known = [Known.of(part, named, n_phases) for part in regions]
    first = _first_answers(thinnings, known, n_phases, n_carried, dictionary, options, each)
    view = first.settled.geometry
    answers = _ordered(thinnings, first.settled.answers, known[0].n_named)
    columns, parts, log_factor = dictionary.columns, None, np.zeros(0)
    if own_columns is not None:
        answers, parts, log_factor = _with_own_columns(
            thinnings, answers, dictionary, own_columns, view, options, known
        )
        columns = parts.columns(log_factor)
        thinnings = [data.with_columns(columns) for data in thinnings]
    weights = np.stack([answer.weight for answer in answers])
    constraints = known[0].constraints(columns)
    sparse = _combined(weights, thinnings[0], known[0].n_named)
    if constraints is not None:
        sparse = constraints.start(sparse, exact_only=True)
    abundance = abundances_at(thinnings[0], sparse, options, constraints).abundance
    if np.any(abundance.sum(axis=0) < _LEAST_SHARE * abundance.sum()):
        raise _nothing_of(abundance, named, n_phases, n_carried)
    costs, fitted = no_costs(n_phases), known[0].fitted_to(columns)
    if fitted is not None:
        scale, pattern = columns.sum(axis=-1), known[0].pattern
        costs = prior_costs(thinnings[0], abundance, sparse, fitted, scale, pattern, options)
    covariance = weight_covariance(thinnings[0], abundance, sparse, constraints)
    line_factors, of_factors = {}, np.zeros_like(covariance)
    if parts is not None and parts.n_factors:
        errors = factor_errors(thinnings[0], parts, abundance, sparse, log_factor)
        of_factors = errors.covariance()
        line_factors = errors.estimates(parts.names, log_factor)
    covariance = covariance + _scatter(weights) + of_factors
    weight = sparse
    if constraints is None and not view.is_alone.all():
        averaged = _averaged(thinnings, answers, _penalized(dictionary), options)
        weight = _combined(averaged, thinnings[0], 0)
    scale = np.broadcast_to(columns.sum(axis=-1), weight.shape)
    n_failed = sum(not answer.converged for answer in answers)
    solution = CompositionSolution(
        coefficient=weight / scale,
        coefficient_covariance=covariance / (scale[:, :, None] * scale[:, None, :]),
        loss=np.array(answers[0].loss),
        spread_deg=np.degrees(alignment.spread([thinnings[0].spectrum(w) for w in weights])),
        n_carried=n_carried,
        n_rounds=sum(len(answer.loss) for answer in answers),
        converged=n_failed == 0,
        reason=_reason(n_failed, len(answers), options),
        phase_columns=None if own_columns is None else columns,
        leeway=_leeway(thinnings, weights, scale, options, known, columns, of_factors),
        line_factors=line_factors,
    )
    order = np.arange(n_phases)
    if named is not None:
        order = np.argsort(-abundance.sum(axis=0), kind="stable")
        solution = _named(solution, named, costs, order)
    solution = replace(
        solution,
        ambiguity=ambiguity(
            _with_order(thinnings[0], order),
            abundance[:, order],
            sparse[order],
            first.settled,
            solution.spread_deg,
            _neighbours(shared, n_phases, n_carried, first.likeliest_loss, options),
            dictionary,
            options,
            view.order(thinnings[0].spectrum(sparse))[order],
            constraints,
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


@dataclass(frozen=True)
class _First:
    """Answers with the dictionary's columns."""

    settled: geometry.Settled
    likeliest_loss: float
    """Of the first thinning, without any penalty, nats."""


def _first_answers(
    thinnings: Sequence[PooledData],
    known: Sequence[Known],
    n_phases: int,
    n_carried: int,
    dictionary: Dictionary,
    options: settings.Factorize,
    each: Each,
) -> _First:
    """Answers of all thinnings, of the geometry that the map shows."""
    penalized, n_named = _penalized(dictionary), known[0].n_named
    blind = list(each(lambda data: _blind_start(data, n_phases, n_carried, options), thinnings))
    starts = matched_starts([start for start, _ in blind], thinnings, known, dictionary, options)
    priors = [prior.constraints(dictionary.columns) for prior in known]

    def embedded(i: int) -> SparseResult:
        sparse = fit_sparse(thinnings[i], starts[i], penalized, options, priors[i])
        return replace(sparse, loss=blind[i][1] + sparse.loss)

    answers = list(each(embedded, range(len(starts))))
    answers = _reconciled(thinnings, answers, penalized, options, priors, n_named)
    atoms = geometry.Atoms(dictionary.quantified, dictionary.columns.sum(axis=-1))
    likeliest_loss = blind[0][1][-1]
    settled = geometry.settled(
        thinnings, answers, starts, likeliest_loss, penalized, atoms, options, priors, n_named
    )
    return _First(settled, likeliest_loss)


def _with_order(data: PooledData, order: NDArray[np.int64]) -> PooledData:
    """The same regions with the phases in another order."""
    return data if data.columns.ndim == 2 else data.with_columns(data.columns[order])


def _named(
    solution: CompositionSolution,
    named: NamedPhases,
    costs: PriorCosts,
    order: NDArray[np.int64],
) -> CompositionSolution:
    """The solution with its phases in another order, with their names."""
    names = (*named.names, *[""] * (solution.n_phases - named.n_named))
    own, places = solution.phase_columns, named.places
    return replace(
        solution,
        coefficient=solution.coefficient[order],
        coefficient_covariance=solution.coefficient_covariance[order],
        spread_deg=solution.spread_deg[order],
        phase_columns=None if own is None else own[order],
        leeway=None if solution.leeway is None else solution.leeway.reordered(order),
        phase_names=tuple(names[k] for k in order),
        prior_deviance=costs.deviance[order],
        prior_limit=costs.limit[order],
        places=None if places is None else places[:, np.minimum(order, named.n_named)],
    )


def _nothing_of(
    abundance: Array, named: NamedPhases | None, n_phases: int, n_carried: int
) -> InputError:
    """The error where the regions hold nothing of a phase."""
    empty = np.flatnonzero(abundance.sum(axis=0) < _LEAST_SHARE * abundance.sum())
    lost = [] if named is None else [named.names[k] for k in empty if k < named.n_named]
    if not lost:
        return _too_many(n_phases, n_carried)
    return InputError(
        f"the data hold nothing of phase {', '.join(lost)} as its prior describes it: correct the "
        "prior, or leave the phase out of this dataset's priors"
    )


def _pooled(regions: Sequence[RegionStatistics], dictionary: Dictionary) -> list[PooledData]:
    if not regions:
        raise InputError("no region spectra were given: expected one record for each thinning")
    thinnings = [PooledData.from_regions(part, dictionary) for part in regions]
    if not all(np.any(data.counts.sum(axis=0) @ data.columns.T) for data in thinnings):
        raise InputError(
            "no column of the dictionary is above zero where the map has counts: build it on the "
            "energies of the counts, with a continuum"
        )
    return thinnings


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
    constraints: Sequence[Constraints | None],
    n_named: int,
) -> list[SparseResult]:
    """Answers far from the most central one are fitted again from there; the better one stays."""
    columns = thinnings[0].columns
    spectra = [answer.weight @ columns for answer in answers]
    central = alignment.medoid(spectra, n_named)
    result = list(answers)
    for i, (data, known) in enumerate(zip(thinnings, constraints, strict=True)):
        away = alignment.distance(spectra[central], spectra[i], n_named)
        if np.degrees(away) < _DISAGREEMENT_DEG:
            continue
        other = fit_sparse(data, answers[central].weight, penalized, options, known)
        if other.score < answers[i].score:
            result[i] = other
    return result


def _ordered(
    thinnings: Sequence[PooledData], answers: Sequence[SparseResult], n_named: int
) -> list[SparseResult]:
    """Answers of all thinnings, matched, phases without a name by decreasing abundance."""
    columns = thinnings[0].columns
    spectra = [answer.weight @ columns for answer in answers]
    reference = answers[alignment.medoid(spectra, n_named)]
    free = np.argsort(-reference.abundance[:, n_named:].sum(axis=0), kind="stable")
    spectrum = reference.weight[np.concatenate([np.arange(n_named), n_named + free])] @ columns
    ordered = []
    for answer, found in zip(answers, spectra, strict=True):
        order = alignment.matched(spectrum, found, n_named)
        abundance, weight = answer.abundance[:, order], answer.weight[order]
        ordered.append(replace(answer, abundance=abundance, weight=weight))
    return ordered


def _averaged(
    thinnings: Sequence[PooledData],
    answers: Sequence[SparseResult],
    penalized: NDArray[np.bool_],
    options: settings.Factorize,
) -> Array:
    """Weights averaged over what is as probable, (n_thinnings, n_phases, n_columns)."""
    pairs = zip(thinnings, answers, strict=True)
    return np.stack(
        [
            averaged_weight(data, answer.abundance, answer.weight, penalized, seed=options.seed + i)
            for i, (data, answer) in enumerate(pairs)
        ]
    )


def _with_own_columns(
    thinnings: Sequence[PooledData],
    sparse: Sequence[SparseResult],
    dictionary: Dictionary,
    own_columns: OwnColumns,
    view: geometry.Geometry,
    options: settings.Factorize,
    known: Sequence[Known],
) -> tuple[list[SparseResult], ColumnParts, Array]:
    """Answers, phases in the order given, with columns that agree with their compositions.

    Columns depend on compositions only weakly: they are iterated on the first thinning, and all
    are fitted with the columns that come out. Factors on their parts start from the tables.

    Returns
    -------
    answers : list of SparseResult
        One for each thinning.
    parts : ColumnParts
    log_factor : ndarray of shape (n_factors,)
    """
    quantified = dictionary.quantified
    weights = np.stack([answer.weight for answer in sparse])
    weight = _combined(weights, thinnings[0], known[0].n_named)
    data, constraints = thinnings[0], known[0].constraints(dictionary.columns)
    abundance = abundances_at(data, weight, options, constraints).abundance

    def agreeing(columns: Array, log_factor: Array | None) -> tuple[ColumnParts, Array]:
        """Parts for the counts in each column, and the columns."""
        shares = _shares((weight / columns.sum(axis=-1))[:, quantified])
        for _ in range(_OWN_ROUNDS):
            parts = own_columns(weight / columns.sum(axis=-1), abundance, data.n_pixels)
            columns = parts.columns(np.zeros(parts.n_factors) if log_factor is None else log_factor)
            before, shares = shares, _shares((weight / columns.sum(axis=-1))[:, quantified])
            if np.max(np.abs(shares - before)) < _OWN_TOLERANCE:
                break
        return parts, columns

    parts, columns = agreeing(dictionary.columns, None)
    log_factor = np.zeros(parts.n_factors)
    for _ in range(_OWN_ROUNDS):
        shares = _shares((weight / columns.sum(axis=-1))[:, quantified])
        if parts.n_factors:
            own = data.with_columns(columns)
            penalty = view.penalty(own, abundance, weight)
            joint = fit_factors(own, parts, abundance, weight, log_factor, penalty=penalty)
            weight, log_factor = joint.weight, joint.log_factor
            columns = parts.columns(log_factor)
        first = view.fit(data.with_columns(columns), weight, options, known[0].constraints(columns))
        weight, abundance = first.weight, first.abundance
        parts, columns = agreeing(columns, log_factor)
        found = _shares((weight / columns.sum(axis=-1))[:, quantified])
        if np.max(np.abs(found - shares)) < _OWN_TOLERANCE:
            break
    answers = [
        view.fit(data.with_columns(columns), start, options, prior.constraints(columns))
        for data, start, prior in zip(thinnings, [weight, *weights[1:]], known, strict=True)
    ]
    return answers, parts, log_factor


def _shares(amounts: Array) -> Array:
    shares: Array = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-300)
    return shares


def _penalized(dictionary: Dictionary) -> NDArray[np.bool_]:
    """Columns whose weights are penalized: all but the continuum."""
    return np.array([kind != "background" for kind in dictionary.kinds])


def _combined(weights: Array, data: PooledData, n_named: int) -> Array:
    """One answer from those of all thinnings, (n_phases, n_columns); rows add up to one.

    The elementwise median; where the thinnings found different answers, whose median is none of
    them, the most central one.
    """
    spectra = [data.spectrum(weight) for weight in weights]
    if np.degrees(alignment.spread(spectra).max()) > _DIFFERENT_DEG:
        central: Array = weights[alignment.medoid(spectra, n_named)]
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


def _leeway(
    thinnings: Sequence[PooledData],
    weights: Array,
    scale: Array,
    options: settings.Factorize,
    known: Sequence[Known],
    columns: Array,
    of_factors: Array,
) -> Leeway:
    """What the counts of all thinnings allow beside their answers, in coefficients."""
    constraints = [prior.constraints(columns) for prior in known]
    abundances = [
        abundances_at(data, weight, options, prior).abundance
        for data, weight, prior in zip(thinnings, weights, constraints, strict=True)
    ]
    leeway = composition_leeway(thinnings, abundances, weights, constraints=constraints[0])
    leeway = replace(leeway, covariance=leeway.covariance + of_factors)
    return in_coefficients(leeway, scale)


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
