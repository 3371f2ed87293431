# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the phases that the data show is which of those that the user names."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, nnls

from mlatem import settings
from mlatem.factorization.constraints import Constraints, NamedPhases
from mlatem.factorization.covariance import reduced_information
from mlatem.factorization.pooled import (
    Array,
    PooledData,
    gradients,
    information,
    spectral_angle,
)
from mlatem.factorization.scoring import fit
from mlatem.factorization.sparsity import abundances_at

#: Assignments that are fitted, the most likely ones by the quadratic approximation.
_N_FITTED = 3
_ROUNDS = 40
#: Fits that differ by less are equally good: the first, which starts nearest, is taken.
_ALIKE_NATS = 2.0
_FIT_TOLERANCE = 3e-3
_MAX_EXCHANGES = 50
#: Nats against a match for each factor of e by which another phase shows more of an element that
#: the named one is said to hold, and the share of the most from which on it shows none.
_LACKING_NATS = 2.0
_NONE_OF_IT = 1e-3
#: Weights lie between 0 and 1: directions that the counts leave open are not endless.
_RIDGE = 1.0
_SUM_SIGMA = 1e-3
_LEAST_SIGMA = 1e-4
_LEAST_AMOUNT = 1e-3


def matched_order(
    data: PooledData,
    weight: Array,
    named: NamedPhases,
    scale: Array,
    pattern: NDArray[np.int64],
    options: settings.Factorize,
) -> NDArray[np.int64]:
    """Order that brings the phases of a blind answer to the named ones, at the least cost.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
        Found without any prior.
    named : NamedPhases
    scale : ndarray of shape (n_columns,)
        Weights over coefficients.
    pattern : ndarray of shape (n_regions,)
        See `NamedPhases.constraints`.
    options : settings.Factorize

    Returns
    -------
    order : ndarray of shape (n_phases,)
        `weight[order]` has the named phases first.

    Notes
    -----
    The likelihood is taken as quadratic around the blind answer, abundances eliminated, so that
    what an assignment costs is a small non-negative least-squares problem: what mixing the phases
    into each other can mend costs nothing. Each named phase is tried as each phase of the answer
    alone; from the assignment that costs least in sum (Kuhn 1955), pairs are exchanged as long as
    all priors together cost less. The best few of these are then fitted, and with known spectra
    also the assignment by the nearest spectra.
    """
    n_phases = len(weight)
    if n_phases == 1:
        return np.zeros(1, np.int64)
    problem = _Quadratic.around(data, weight, options)
    alone = np.zeros((named.n_named, n_phases))
    for i in range(named.n_named):
        own = named.only(i).constraints(n_phases, scale)
        for k in range(n_phases):
            alone[i, k] = problem.cost(_exchanged(n_phases, i, k), own)
    constraints = named.constraints(n_phases, scale, pattern)
    pairs = problem.counts_elsewhere(constraints)
    pairs[: named.n_named] += _lacking(weight, named.held)
    first = linear_sum_assignment(alone + pairs[: named.n_named])[1]
    start = np.concatenate([first, np.setdiff1d(np.arange(n_phases), first)])
    costs = problem.costs_near(start, constraints, pairs)
    tried: list[tuple[int, ...]] = []
    for order in sorted(costs, key=lambda o: costs[o]):
        if order[: named.n_named] not in [other[: named.n_named] for other in tried]:
            tried.append(order)
    likely = [np.array(order, dtype=np.int64) for order in tried[:_N_FITTED]]
    if named.fixed.any():
        likely.insert(0, _nearest(data, weight, constraints, start))
    if len(likely) == 1:
        return likely[0]
    places = np.arange(n_phases)
    fitted = [
        _fitted_cost(data, weight[order], constraints, options) + pairs[places, order].sum()
        for order in likely
    ]
    return likely[int(np.flatnonzero(np.array(fitted) <= min(fitted) + _ALIKE_NATS)[0])]


def _nearest(
    data: PooledData, weight: Array, constraints: Constraints, order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The order with each phase of known weights at the blind one of the nearest spectrum.

    A known spectrum can lie far from the blind answer, where the quadratic does not reach.
    """
    known = np.flatnonzero(constraints.fixed)
    spectrum = data.spectrum(weight)
    angle = spectral_angle(data.spectrum(constraints.weight)[known][:, None], spectrum[None])
    nearest = order.copy()
    for place, wanted in zip(known, linear_sum_assignment(angle)[1], strict=True):
        other = int(np.flatnonzero(nearest == wanted)[0])
        nearest[place], nearest[other] = nearest[other], nearest[place]
    return nearest


def _exchanged(n_phases: int, first: int, second: int) -> NDArray[np.int64]:
    order = np.arange(n_phases)
    order[[first, second]] = second, first
    return order


def _lacking(weight: Array, held: NDArray[np.bool_]) -> Array:
    """Cost of the elements that each named phase holds, and each phase has less of than another.

    Shape (n_named, n_phases). Mixing leaves traces of all elements in all phases: presence alone
    tells nothing.
    """
    most = np.maximum(weight.max(axis=0), np.finfo(float).tiny)
    share = np.maximum(weight / most, _NONE_OF_IT)
    cost: Array = _LACKING_NATS * held.astype(float) @ -np.log(share).T
    return cost


def _fitted_cost(
    data: PooledData, weight: Array, constraints: Constraints, options: settings.Factorize
) -> float:
    """Objective of a short fit of maximum likelihood under constraints, nats."""
    weight = constraints.start(weight)
    abundance = abundances_at(data, weight, options, constraints).abundance
    result = fit(
        data,
        abundance,
        weight,
        constraints=constraints,
        max_rounds=_ROUNDS,
        tolerance=_FIT_TOLERANCE,
    )
    return result.loss[-1] + constraints.cost(result.weight)


@dataclass(frozen=True)
class _Quadratic:
    """The likelihood near an answer: half the squared norm of `root @ (weight - best)`, nats."""

    weight: Array
    root: Array
    best: Array
    abundance: Array
    """Shape (n_regions, n_phases); in standard deviations, all else known."""

    @classmethod
    def around(cls, data: PooledData, weight: Array, options: settings.Factorize) -> _Quadratic:
        abundance = abundances_at(data, weight, options).abundance
        model = data.model(abundance, weight)
        reduced, _ = reduced_information(data, abundance, weight)
        reduced = reduced + _RIDGE * np.eye(len(reduced))
        slope = gradients(data, abundance, weight, model)[1].ravel()
        best = weight.ravel() - np.linalg.solve(reduced, slope)
        of_abundance = information(data, abundance, weight, model).abundance
        error = np.diagonal(of_abundance, axis1=1, axis2=2)
        root = np.linalg.cholesky(reduced).T.astype(np.float64)
        return cls(weight, root, best, abundance * np.sqrt(error))

    def counts_elsewhere(self, constraints: Constraints) -> Array:
        """Cost of the counts of each phase where a named one must not be.

        Shape (n_phases, n_phases); [phase of the constraints, phase of the answer].
        """
        absent = np.broadcast_to(~constraints.present, self.abundance.shape)
        cost: Array = 0.5 * absent.T.astype(float) @ self.abundance**2
        return cost

    def costs_near(
        self, order: NDArray[np.int64], constraints: Constraints, pairs: Array
    ) -> dict[tuple[int, ...], float]:
        """Costs of the orders that are met on the way down from one, pair by pair exchanged."""
        n_phases = len(order)
        costs: dict[tuple[int, ...], float] = {}

        def cost(tried: NDArray[np.int64]) -> float:
            key = tuple(tried.tolist())
            if key not in costs:
                beside = float(pairs[np.arange(n_phases), tried].sum())
                costs[key] = self.cost(tried, constraints) + beside
            return costs[key]

        least = cost(order)
        for _ in range(_MAX_EXCHANGES):
            exchanges = combinations(range(n_phases), 2)
            moves = [order[_exchanged(n_phases, *two)] for two in exchanges]
            best = min(moves, key=cost)
            if cost(best) >= least:
                break
            order, least = best, cost(best)
        return costs

    def cost(self, order: NDArray[np.int64], constraints: Constraints) -> float:
        """Least cost in nats where phase `order[i]` of the answer obeys constraints i."""
        n_phases, n_columns = self.weight.shape
        told = constraints.statements
        place = order[told.phase]
        start = self.weight[place]
        below = np.maximum(np.sum(told.denominator * start, axis=1), _LEAST_AMOUNT)
        ratio = np.sum(told.numerator * start, axis=1) / below
        bound = np.clip(ratio, told.low, told.high)
        error = np.maximum(told.sigma, _LEAST_SIGMA) * below
        rows = np.zeros((len(told), n_phases, n_columns))
        line = told.numerator - bound[:, None] * told.denominator
        rows[np.arange(len(told)), place] = line / error[:, None]
        sums = np.repeat(np.eye(n_phases), n_columns, axis=1) / _SUM_SIGMA
        matrix = np.vstack([self.root, rows.reshape(len(told), self.weight.size), sums])
        right = np.concatenate(
            [self.root @ self.best, np.zeros(len(told)), np.full(n_phases, 1.0 / _SUM_SIGMA)]
        )
        known, free = np.zeros_like(self.weight), np.zeros(self.weight.shape, dtype=bool)
        known[order] = np.where(constraints.fixed[:, None], constraints.weight, 0.0)
        free[order] = constraints.free
        left = right - matrix @ known.ravel()
        return float(0.5 * nnls(matrix[:, free.ravel()], left)[1] ** 2)
