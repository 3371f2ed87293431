# SPDX-License-Identifier: GPL-3.0-or-later
"""How far phases may be mixed into each other before the counts notice.

A phase p that is replaced by p + c m explains the data as well, where the phase m is everywhere
that p is: its abundance gives way. What limits c is that nothing is negative: elements that p lacks
when m is taken out, places without m when it is put in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.pooled import Array, PooledData, spectral_angle, weighted_columns

#: A mixture that costs less than this is not told from the answer, nats: two standard deviations.
LIMIT_NATS = 2.0
#: Channels are summed to about this many: far finer than the lines, and enough for a profile.
_MAX_CHANNELS = 256
_FIRST_STEP = 0.02
#: Beyond this the phase has become the other one.
_LARGEST = 1.0
_MAX_STEPS = 12
_REFINEMENTS = 8
_CLOSE_ENOUGH_NATS = 0.2
_NEWTON_ROUNDS = 12
_NEWTON_TOLERANCE_NATS = 1e-3
_HALVINGS = 6


@dataclass(frozen=True)
class MixingIntervals:
    """Share of another phase in a phase that costs less than `LIMIT_NATS`, pair by pair."""

    low: NDArray[np.float64]
    """Shape (n_phases, n_phases), not positive; [p, m]: so much of m can be taken out of p."""
    high: NDArray[np.float64]
    """Shape (n_phases, n_phases), not negative; [p, m]: so much of m can be put into p."""


def mixing_intervals(
    data: PooledData, weight: Array, abundance: Array, constraints: Constraints | None = None
) -> MixingIntervals:
    """Intervals of mixing of every ordered pair of phases.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
        The answer; rows add up to one.
    abundance : ndarray of shape (n_regions, n_phases)
        Near those of maximum likelihood at these weights: a start.
    constraints : Constraints, optional
        What is known of the phases: mixtures that contradict it cost more.

    Returns
    -------
    MixingIntervals
        Of c in `mixed(weight, p, m, c)`, in counts of m for a count of p. An end that reaches
        plus or minus one is not bounded by the data.

    Notes
    -----
    The cost of a mixture is that of its profile likelihood: the abundances of all phases in all
    regions are fitted anew, the spectra of the other phases stay. Two nats are two standard
    deviations of a single parameter (Wilks 1938, Ann. Math. Statist. 9, 60).
    """
    n_phases = len(weight)
    profile = _Profile(_coarse(data), weight, abundance, constraints)
    low, high = np.zeros((n_phases, n_phases)), np.zeros((n_phases, n_phases))
    for phase in range(n_phases):
        for other in range(n_phases):
            if phase != other:
                low[phase, other] = -profile.reach(phase, other, -1.0)
                high[phase, other] = profile.reach(phase, other, 1.0)
    return MixingIntervals(low, high)


def mixed(weight: Array, phase: int, other: int, amount: float) -> Array:
    """Weights of a phase with so much of another one in it, shape (n_columns,).

    Parameters
    ----------
    weight : ndarray of shape (n_phases, n_columns)
        Shares of the counts of each phase; rows add up to one.
    phase, other : int
    amount : float
        Counts of the other phase for a count of the phase; negative takes it out, as far as there
        is any.
    """
    mixture: Array = np.maximum(weight[phase] + amount * weight[other], 0.0)
    total = mixture.sum()
    unit: Array = mixture / total if total > 0 else weight[phase]
    return unit


def mixing_turns_deg(data: PooledData, weight: Array, intervals: MixingIntervals) -> Array:
    """By how much each phase may turn within its intervals, shape (n_phases,), degrees.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
    intervals : MixingIntervals
        Of these weights.
    """
    turned = np.zeros(len(weight))
    for phase, _, angle in _mixtures(data, weight, intervals):
        turned[phase] = max(turned[phase], angle)
    return turned


def farthest_mixture(
    data: PooledData, weight: Array, intervals: MixingIntervals, phase: int
) -> Array:
    """The answer with one phase at that end of its intervals that turns it most.

    Parameters
    ----------
    data : PooledData
    weight : ndarray of shape (n_phases, n_columns)
    intervals : MixingIntervals
        Of these weights.
    phase : int

    Returns
    -------
    weight : ndarray of shape (n_phases, n_columns)
        All other phases as they were.
    """
    own = [m for m in _mixtures(data, weight, intervals) if m[0] == phase]
    return weight if not own else max(own, key=lambda mixture: mixture[2])[1]


def _mixtures(
    data: PooledData, weight: Array, intervals: MixingIntervals
) -> Iterator[tuple[int, Array, float]]:
    """Phase, weights and turn in degrees of the ends of all intervals."""
    spectrum = data.spectrum(weight)
    for phase, other in zip(*np.nonzero(~np.eye(len(weight), dtype=bool)), strict=True):
        for amount in (intervals.low[phase, other], intervals.high[phase, other]):
            mixture = weight.copy()
            mixture[phase] = mixed(weight, phase, other, amount)
            angle = spectral_angle(spectrum[phase], data.spectrum(mixture)[phase])
            yield int(phase), mixture, float(np.degrees(angle))


class _Profile:
    """Likelihood of mixtures with the abundances fitted."""

    def __init__(
        self, data: PooledData, weight: Array, abundance: Array, constraints: Constraints | None
    ) -> None:
        self.data, self.weight, self.constraints = data, weight, constraints
        self.spectrum = data.spectrum(weight)
        self.abundance, self.least = fitted_abundances(data, self.spectrum, abundance)

    def cost(self, phase: int, other: int, amount: float) -> float:
        """Rise of the negative log-likelihood, nats."""
        weight = self.weight.copy()
        weight[phase] = mixed(self.weight, phase, other, amount)
        against = self._against_priors(weight, phase)
        if not np.isfinite(against):
            return against
        spectrum = self.spectrum.copy()
        spectrum[phase] = weighted_columns(weight, self.data.columns)[phase]
        start = self.abundance.copy()
        start[:, phase] *= max(1.0 + amount, 1e-3)
        start[:, other] = np.maximum(start[:, other] - amount * self.abundance[:, phase], 0.0)
        return fitted_abundances(self.data, spectrum, start)[1] - self.least + against

    def _against_priors(self, weight: Array, phase: int) -> float:
        """What weights with another mixture for a phase lose against what is known of it, nats."""
        known = self.constraints
        if known is None:
            return 0.0
        if known.fixed[phase] or np.any(weight[phase, ~known.allowed[phase]] > 0):
            return np.inf
        return known.cost(weight) - known.cost(self.weight)

    def reach(self, phase: int, other: int, sign: float) -> float:
        """The largest amount that costs less than the limit, at most one."""
        inside, step = 0.0, _FIRST_STEP
        for _ in range(_MAX_STEPS):
            cost = self.cost(phase, other, sign * step)
            if cost > LIMIT_NATS:
                return self._between(phase, other, sign, inside, step, cost)
            inside = step
            if step >= _LARGEST:
                break
            # Beyond the edge of what is free, the cost grows like a parabola.
            factor = np.sqrt(LIMIT_NATS / cost) if cost > 0 else 3.0
            step = min(step * float(np.clip(1.1 * factor, 1.5, 3.0)), _LARGEST)
        return inside

    def _between(
        self, phase: int, other: int, sign: float, inside: float, outside: float, cost: float
    ) -> float:
        """The amount that costs the limit, between one that costs less and one that costs more."""
        for _ in range(_REFINEMENTS):
            gap = outside - inside
            guess = outside * float(np.sqrt(LIMIT_NATS / cost))
            amount = float(np.clip(guess, inside + 0.1 * gap, outside - 0.1 * gap))
            found = self.cost(phase, other, sign * amount)
            if found > LIMIT_NATS:
                outside, cost = amount, found
            else:
                inside = amount
                if LIMIT_NATS - found < _CLOSE_ENOUGH_NATS:
                    break
        return inside


def fitted_abundances(data: PooledData, spectrum: Array, start: Array) -> tuple[Array, float]:
    """Abundances of maximum likelihood for spectra that are fixed, and the loss there.

    Parameters
    ----------
    data : PooledData
    spectrum : ndarray of shape (n_phases, n_energy)
    start : ndarray of shape (n_regions, n_phases)

    Returns
    -------
    abundance : ndarray of shape (n_regions, n_phases)
    loss : float
        Negative log-likelihood, nats.

    Notes
    -----
    A convex problem in each region, solved in all at once: projected Newton steps with the expected
    information (Bertsekas 1982, SIAM J. Control Optim. 20, 221), halved where the loss would rise.
    """
    n_phases = len(spectrum)
    products = (spectrum[:, None] * spectrum[None]).reshape(n_phases**2, -1)
    abundance = np.maximum(start, 1e-9 * data.totals[:, None])
    model = _model(abundance, spectrum)
    loss = _losses(data, model)
    for _ in range(_NEWTON_ROUNDS):
        gradient = (1.0 - data.counts / model) @ spectrum.T
        curvature = ((1.0 / model) @ products.T).reshape(-1, n_phases, n_phases)
        step = _newton_step(abundance, gradient, curvature, data.totals)
        trial, length = abundance, 1.0
        better = np.zeros(len(loss), dtype=bool)
        new_loss, new_model = loss, model
        for _ in range(_HALVINGS):
            trial = np.where(better[:, None], trial, np.maximum(abundance + length * step, 0.0))
            new_model = _model(trial, spectrum)
            new_loss = _losses(data, new_model)
            better = new_loss <= loss + 1e-9
            if better.all():
                break
            length *= 0.5
        gained = float(np.sum(np.where(better, loss - new_loss, 0.0)))
        abundance = np.where(better[:, None], trial, abundance)
        model = np.where(better[:, None], new_model, model)
        loss = np.where(better, new_loss, loss)
        if gained < _NEWTON_TOLERANCE_NATS:
            break
    return abundance, float(loss.sum())


def _newton_step(abundance: Array, gradient: Array, curvature: Array, totals: Array) -> Array:
    """Step of the values that are free; those at zero that the gradient pushes down stay."""
    held = (abundance <= 1e-6 * totals[:, None]) & (gradient > 0)
    free = ~held
    matrix = np.where(free[:, :, None] & free[:, None, :], curvature, 0.0)
    index = np.arange(abundance.shape[1])
    diagonal = matrix[:, index, index]
    matrix[:, index, index] = np.where(free, diagonal * (1 + 1e-9) + 1e-12, 1.0)
    solved: Array = np.linalg.solve(matrix, np.where(free, gradient, 0.0)[:, :, None])[:, :, 0]
    return np.where(free, -solved, -abundance)


def _model(abundance: Array, spectrum: Array) -> Array:
    expected: Array = abundance @ spectrum + 1e-9
    return expected


def _losses(data: PooledData, model: Array) -> Array:
    losses: Array = np.sum(model - data.counts * np.log(model), axis=1)
    return losses


def _coarse(data: PooledData) -> PooledData:
    """The same with neighbouring channels summed."""
    n_energy = data.counts.shape[1]
    width = -(-n_energy // _MAX_CHANNELS)
    if width == 1:
        return data
    starts = np.arange(0, n_energy, width)
    return PooledData(
        np.add.reduceat(data.counts, starts, axis=1),
        data.n_pixels,
        np.add.reduceat(data.columns, starts, axis=-1),
    )
