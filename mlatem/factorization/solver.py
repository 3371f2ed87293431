# SPDX-License-Identifier: GPL-3.0-or-later
"""The central solve: compositions of the phases from pooled region spectra."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import ConvergenceError, InputError
from mlatem.factorization import alignment, geometry, vertices
from mlatem.factorization.averaging import averaged
from mlatem.factorization.blind import blind_start, too_many
from mlatem.factorization.constraints import NamedPhases
from mlatem.factorization.covariance import weight_covariance
from mlatem.factorization.factor_errors import factor_errors
from mlatem.factorization.geometry_class import ambiguity
from mlatem.factorization.intervals import composition_leeway, in_coefficients
from mlatem.factorization.number import Neighbours, neighbours
from mlatem.factorization.other_columns import opened_in_itself
from mlatem.factorization.own_columns import OwnColumns, with_own_columns
from mlatem.factorization.pooled import Array, PooledData, no_column
from mlatem.factorization.prior_cost import PriorCosts, no_costs, prior_costs
from mlatem.factorization.prior_fit import Known, matched_starts
from mlatem.factorization.solution import CompositionSolution
from mlatem.factorization.sparsity import SparseResult, abundances_at, fit_sparse
from mlatem.factorization.thinnings import combined, ordered_alike, reconciled, scatter
from mlatem.model import Dictionary, Leeway, RegionStatistics

logger = logging.getLogger(__name__)


#: Runs a function on each item of a sequence, as `map` does.
Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

#: Rounds of the fits with other numbers of phases, which serve a comparison.
_BRIEF_ROUNDS = 60
#: A phase with a smaller share of the counts is none.
_LEAST_SHARE = 1e-6


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
    n_coherent: int = 0,
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
    n_coherent : int, optional
        Axes that neighbouring pixels share, for the record.
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
    undetermined, then the mean over what is about as probable, less what sparsity has pulled
    against the counts. The answers are aligned and their elementwise median is taken, or the most
    central one where they disagree. Standard deviations are those at the sparse corner.
    Deterministic.
    """
    options = options or settings.Factorize()
    thinnings = _pooled(regions, dictionary)
    shared = thinnings[0]
    n_carried = max(1, min(vertices.n_carried(data) for data in thinnings))
    _check_number(n_phases, thinnings, dictionary, n_carried)
    known = [Known.of(part, named, n_phases) for part in regions]
    first = _first_answers(thinnings, known, n_phases, n_carried, dictionary, options, each)
    view = first.settled.geometry
    answers = ordered_alike(thinnings, first.settled.answers, known[0].n_named)
    columns, parts, log_factor = dictionary.columns, None, np.zeros(0)
    if own_columns is not None:
        answers, parts, log_factor = with_own_columns(
            thinnings, answers, dictionary, own_columns, first.settled, options, known
        )
        columns = parts.columns(log_factor)
        thinnings = [data.with_columns(columns) for data in thinnings]
    weights = np.stack([answer.weight for answer in answers])
    constraints = known[0].constraints(columns)
    sparse = combined(weights, thinnings[0], known[0].n_named)
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
        errors = factor_errors(thinnings[0], parts, abundance, sparse, log_factor, constraints)
        of_factors = errors.covariance()
        line_factors = errors.estimates(parts.names, log_factor)
    covariance = covariance + scatter(weights) + of_factors
    weight = sparse
    if not view.is_alone.all():
        pulled, penalized = view.pulled(thinnings[0].spectrum(sparse)), _penalized(dictionary)
        weight = averaged(thinnings, answers, known, columns, penalized, pulled, options)
    scale = np.broadcast_to(columns.sum(axis=-1), weight.shape)
    n_failed = sum(not answer.converged for answer in answers)
    solution = CompositionSolution(
        coefficient=weight / scale,
        coefficient_covariance=covariance / (scale[:, :, None] * scale[:, None, :]),
        loss=np.array(answers[0].loss),
        spread_deg=np.degrees(alignment.spread([thinnings[0].spectrum(w) for w in weights])),
        n_carried=n_carried,
        n_coherent=n_coherent,
        n_rounds=sum(len(answer.loss) for answer in answers),
        converged=n_failed == 0,
        reason=_reason(n_failed, len(answers), n_phases, options),
        phase_columns=None if own_columns is None else columns,
        leeway=_leeway(thinnings, weights, scale, options, known, columns, of_factors),
        line_factors=line_factors,
    )
    order = np.arange(n_phases)
    if named is not None:
        order = np.argsort(-abundance.sum(axis=0), kind="stable")
        solution = _named(solution, named, costs, order)
    ordered = _with_order(thinnings[0], order)
    opened = ambiguity(
        ordered,
        abundance[:, order],
        sparse[order],
        first.settled,
        solution.spread_deg,
        _neighbours(shared, n_phases, n_carried, first.likeliest_loss, options),
        dictionary,
        options,
        view.order(thinnings[0].spectrum(sparse))[order],
        constraints,
    )
    solution = replace(
        solution,
        ambiguity=opened_in_itself(opened, ordered, solution, dictionary, own_columns, log_factor),
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
    blind = list(each(lambda data: blind_start(data, n_phases, n_carried, options), thinnings))
    starts = matched_starts([start for start, _ in blind], thinnings, known, dictionary, options)
    priors = [prior.constraints(dictionary.columns) for prior in known]

    def embedded(i: int) -> SparseResult:
        sparse = fit_sparse(thinnings[i], starts[i], penalized, options, priors[i])
        return replace(sparse, loss=blind[i][1] + sparse.loss)

    answers = list(each(embedded, range(len(starts))))
    answers = reconciled(thinnings, answers, penalized, options, priors, n_named)
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
        return too_many(n_phases, n_carried)
    return InputError(
        f"the data hold nothing of phase {', '.join(lost)} as its prior describes it: correct the "
        "prior, or leave the phase out of this dataset's priors"
    )


def _pooled(regions: Sequence[RegionStatistics], dictionary: Dictionary) -> list[PooledData]:
    if not regions:
        raise InputError("no region spectra were given: expected one record for each thinning")
    thinnings = [PooledData.from_regions(part, dictionary) for part in regions]
    if not all(np.any(data.counts.sum(axis=0) @ data.columns.T) for data in thinnings):
        raise no_column()
    return thinnings


def _check_number(
    n_phases: int, thinnings: Sequence[PooledData], dictionary: Dictionary, n_carried: int
) -> None:
    if n_phases < 1:
        raise InputError(f"n_phases is {n_phases}: expected at least 1")
    possible = min(min(vertices.region_scores(data).shape) for data in thinnings)
    if n_phases > min(possible, dictionary.n_columns):
        raise too_many(n_phases, n_carried)


def _penalized(dictionary: Dictionary) -> NDArray[np.bool_]:
    """Columns whose weights are penalized: all but the continuum."""
    return np.array([kind != "background" for kind in dictionary.kinds])


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
        data, n_phases, likeliest_loss, lambda n: blind_start(data, n, n_carried, brief)
    )


def _reason(n_failed: int, n_thinnings: int, n_phases: int, options: settings.Factorize) -> str:
    if n_failed == 0:
        return ""
    return (
        f"{n_failed} of {n_thinnings} thinnings still moved after {options.max_rounds} rounds a "
        f"fit: raise factorize.max_rounds, {_or_fewer(n_phases)}"
    )


def _or_fewer(n_phases: int) -> str:
    """What else to do where a fit fails: one phase cannot be made fewer."""
    return "or ask for fewer phases" if n_phases > 1 else "or check the dictionary's columns"


def _check_finite(solution: CompositionSolution) -> None:
    for name in ("coefficient", "coefficient_covariance", "loss", "spread_deg"):
        if not np.all(np.isfinite(getattr(solution, name))):
            fewer = "ask for fewer phases, or " if solution.n_phases > 1 else ""
            raise ConvergenceError(
                f"the compositions of {solution.n_phases} phases ended in {name} that is not "
                f"finite: {fewer}check the dictionary's columns"
            )
