# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of phases beforehand, as arrays: bounds and linear statements on their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mlatem.factorization.pooled import Array

#: Standard deviation of a statement that holds exactly; far below what counts can tell.
EXACT = 1e-5
_TINY = 1e-12
#: Statements are met to this standard deviation at the start; the fit does the rest.
_START_SIGMA = 1e-3
_START_ROUNDS = 4
#: Channels of a known spectrum with less of its largest count weigh no more than these.
_LEAST_COUNTS = 1e-4


@dataclass(frozen=True)
class Statements:
    """Ratios of sums of a phase's coefficients that lie in an interval, give or take.

    Each says ``low <= (numerator @ c) / (denominator @ c) <= high`` within sigma. A ratio does not
    change with the scale of the phase, and where low equals high it is linear:
    ``(numerator - low denominator) @ c = 0``.
    """

    phase: NDArray[np.int64]
    """Shape (n_statements,)."""
    numerator: Array
    """Shape (n_statements, n_columns)."""
    denominator: Array
    """Shape (n_statements, n_columns); not negative."""
    low: Array
    """Shape (n_statements,); may be -inf."""
    high: Array
    """Shape (n_statements,); may be inf."""
    sigma: Array
    """Shape (n_statements,)."""

    @classmethod
    def none(cls, n_columns: int) -> Statements:
        """No statement at all."""
        empty, values = np.zeros((0, n_columns)), np.zeros(0)
        return cls(np.zeros(0, np.int64), empty, empty, values, values, values)

    def __len__(self) -> int:
        return len(self.phase)

    def of(self, chosen: NDArray[np.bool_]) -> Statements:
        """Some of them."""
        return Statements(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def ratios(self, coefficient: Array) -> Array:
        """The ratios at given coefficients (n_phases, n_columns)."""
        rows = coefficient[self.phase]
        below = np.maximum(np.sum(self.denominator * rows, axis=1), _TINY)
        ratio: Array = np.sum(self.numerator * rows, axis=1) / below
        return ratio

    def slopes(self, coefficient: Array) -> Array:
        """Derivatives of the ratios, shape (n_statements, n_columns), each in its own phase."""
        rows = coefficient[self.phase]
        below = np.maximum(np.sum(self.denominator * rows, axis=1), _TINY)
        ratio = self.ratios(coefficient)
        slope: Array = (self.numerator - ratio[:, None] * self.denominator) / below[:, None]
        return slope


@dataclass(frozen=True)
class Constraints:
    """Everything that is known of the phases of one fit, in the order of its phases."""

    allowed: NDArray[np.bool_]
    """Shape (n_phases, n_columns); columns that a phase may hold."""
    told: NDArray[np.bool_]
    """Shape (n_phases, n_columns); weights that a prior speaks of: no sparsity pulls on them."""
    fixed: NDArray[np.bool_]
    """Shape (n_phases,); phases whose weights are known."""
    weight: Array
    """Shape (n_phases, n_columns); of the fixed phases; rows add up to one."""
    present: NDArray[np.bool_]
    """Shape (n_regions, n_phases); regions in which a phase may be."""
    statements: Statements
    """On the weights."""

    @property
    def free(self) -> NDArray[np.bool_]:
        """Weights that are fitted, shape (n_phases, n_columns)."""
        return self.allowed & ~self.fixed[:, None]

    def there(self) -> NDArray[np.bool_]:
        """Weights that are said to be there, not how large they are; (n_phases, n_columns)."""
        amount_told = np.zeros(self.told.shape, dtype=bool)
        np.logical_or.at(amount_told, self.statements.phase, self.statements.numerator != 0)
        there: NDArray[np.bool_] = self.told & self.free & ~amount_told
        return there

    def cost(self, weight: Array) -> float:
        """What the weights lose against the statements, nats."""
        return float(0.5 * np.sum((self._excess(weight) / self.statements.sigma) ** 2))

    def gradient(self, weight: Array) -> Array:
        """Derivative of the cost, shape (n_phases, n_columns)."""
        told = self.statements
        pull = self._excess(weight) / told.sigma**2
        result = np.zeros_like(weight)
        np.add.at(result, told.phase, pull[:, None] * told.slopes(weight))
        return result

    def curvature(self, weight: Array) -> Array:
        """Second derivative of the cost of statements that are exceeded, or hold exactly.

        Shape (n_phases * n_columns, n_phases * n_columns), by Gauss and Newton.
        """
        pulling = (self._excess(weight) != 0) | (self.statements.low == self.statements.high)
        rows = self._rows(weight)[pulling] / self.statements.sigma[pulling, None]
        product: Array = rows.T @ rows
        return product

    def limits(self) -> Array:
        """Rows whose product with the weights is not negative where intervals are kept.

        Shape (n_rows, n_phases * n_columns): two for each interval, one for each end.
        """
        told = self.statements.of(self.statements.low < self.statements.high)
        ends = [
            sign * (told.numerator - end[:, None] * told.denominator)[np.isfinite(end)]
            for sign, end in ((1.0, told.low), (-1.0, told.high))
        ]
        phase = [told.phase[np.isfinite(end)] for end in (told.low, told.high)]
        rows = np.zeros((sum(map(len, phase)), *self.allowed.shape))
        rows[np.arange(len(rows)), np.concatenate(phase)] = np.concatenate(ends)
        return rows.reshape(len(rows), self.allowed.size)

    def overrun(self, weight: Array, step: Array) -> Array:
        """The interval bounds, shape (n_statements,), that a step overruns; NaN where it does not.

        Those that are exceeded already are in `cost`, and not among them.
        """
        told = self.statements
        ahead = told.ratios(weight) + self._rows(weight) @ step.ravel()
        bound = np.clip(ahead, told.low, told.high)
        beyond = (self._excess(weight) == 0) & (bound != ahead) & (told.low < told.high)
        return np.where(beyond, bound, np.nan)

    def at_bounds(self, weight: Array, bound: Array) -> tuple[Array, Array]:
        """Curvature and gradient that end a step at some bounds, NaN for none.

        Shapes (n_phases * n_columns, n_phases * n_columns) and (n_phases * n_columns,).
        """
        chosen, told = np.isfinite(bound), self.statements
        rows = self._rows(weight)[chosen] / told.sigma[chosen, None]
        distance = (told.ratios(weight) - bound)[chosen] / told.sigma[chosen]
        return rows.T @ rows, distance @ rows

    def start(self, weight: Array, *, exact_only: bool = False) -> Array:
        """The nearest weights that agree with what is known; rows add up to one.

        With `exact_only`, statements that leave room are for the fit to weigh.
        """
        result = np.where(self.fixed[:, None], self.weight, np.where(self.allowed, weight, 0.0))
        for phase in np.unique(self.statements.phase).tolist():
            if not self.fixed[phase]:
                chosen = (self.statements.phase == phase) & (
                    (self.statements.sigma <= EXACT) | (not exact_only)
                )
                mine = self.statements.of(chosen)
                result[phase] = _agreeing(result[phase], self.allowed[phase], mine)
        total = result.sum(axis=1, keepdims=True)
        even = self.allowed / self.allowed.sum(axis=1, keepdims=True)
        agreeing: Array = np.where(total > 0, result / np.maximum(total, _TINY), even)
        return agreeing

    def _excess(self, weight: Array) -> Array:
        """How far each ratio lies outside of its interval, with sign."""
        ratio = self.statements.ratios(weight)
        excess: Array = ratio - np.clip(ratio, self.statements.low, self.statements.high)
        return excess

    def _rows(self, weight: Array) -> Array:
        """Derivatives of the ratios, shape (n_statements, n_phases * n_columns)."""
        rows = np.zeros((len(self.statements), *weight.shape))
        rows[np.arange(len(rows)), self.statements.phase] = self.statements.slopes(weight)
        return rows.reshape(len(rows), weight.size)


@dataclass(frozen=True)
class NamedPhases:
    """What is known of named phases, in absolute coefficients and before they are matched."""

    names: tuple[str, ...]
    allowed: NDArray[np.bool_]
    """Shape (n_named, n_columns); as in `Constraints`."""
    told: NDArray[np.bool_]
    """Shape (n_named, n_columns); as in `Constraints`."""
    held: NDArray[np.bool_]
    """Shape (n_named, n_columns); columns that a phase is said to hold, however little. It tells
    phases apart where they are matched, and nothing more."""
    fixed: NDArray[np.bool_]
    """Shape (n_named,)."""
    coefficient: Array
    """Shape (n_named, n_columns); of the fixed phases, on any scale."""
    statements: Statements
    """On the coefficients."""
    spectrum: Array | None = None
    """Shape (n_named, n_energy); of fixed phases that came as spectra, else 0. Where phases get
    columns of their own, it is the spectrum that stays."""
    places: NDArray[np.bool_] | None = None
    """Shape (n_patterns, n_named + 1); where each named phase may be, and the others; see
    `prior_places`. None where nothing is known of places."""

    @property
    def n_named(self) -> int:
        """Number of named phases."""
        return len(self.names)

    def constraints(
        self, n_phases: int, scale: Array, pattern: NDArray[np.int64] | None = None
    ) -> Constraints:
        """For a fit whose first phases are the named ones, in their order.

        Parameters
        ----------
        n_phases : int
        scale : ndarray of shape (n_columns,) or (n_phases, n_columns)
            Weights over coefficients: counts of the columns.
        pattern : ndarray of shape (n_regions,), optional
            Pattern of places of each region; all in the first one without it.
        """
        n_free, n_columns = n_phases - self.n_named, self.allowed.shape[1]
        scale = np.broadcast_to(scale, (n_phases, n_columns))
        weight = np.zeros((n_phases, n_columns))
        weight[: self.n_named] = self.coefficient * scale[: self.n_named]
        total = weight.sum(axis=1, keepdims=True)
        told = self.statements
        of_phase = scale[told.phase]
        places = np.ones((1, self.n_named + 1), bool) if self.places is None else self.places
        columns = np.minimum(np.arange(n_phases), self.n_named)
        pattern = np.zeros(1, np.int64) if pattern is None else pattern
        return Constraints(
            allowed=np.vstack([self.allowed, np.ones((n_free, n_columns), bool)]),
            told=np.vstack([self.told, np.zeros((n_free, n_columns), bool)]),
            fixed=np.concatenate([self.fixed, np.zeros(n_free, bool)]),
            weight=weight / np.maximum(total, _TINY),
            present=places[pattern][:, columns],
            statements=replace(
                told, numerator=told.numerator / of_phase, denominator=told.denominator / of_phase
            ),
        )

    def fitted_to(self, columns: Array) -> NamedPhases:
        """The same spectra in columns of the phases' own, (n_phases, n_columns, n_energy)."""
        if self.spectrum is None:
            return self
        coefficient = self.coefficient.copy()
        for phase in np.flatnonzero(self.spectrum.any(axis=1)):
            wanted = self.spectrum[phase]
            weight = 1.0 / np.sqrt(np.maximum(wanted, _TINY + wanted.max() * _LEAST_COUNTS))
            coefficient[phase] = nnls(columns[phase].T * weight[:, None], wanted * weight)[0]
        return replace(self, coefficient=coefficient)

    def without(self, index: int) -> NamedPhases:
        """The same phases, with nothing known of one of them."""
        others = np.arange(self.n_named) != index
        places = self.places
        if places is not None:
            places = places.copy()
            places[:, index] = True
        return replace(
            self,
            allowed=self.allowed | ~others[:, None],
            told=self.told & others[:, None],
            held=self.held & others[:, None],
            fixed=self.fixed & others,
            statements=self.statements.of(self.statements.phase != index),
            places=places,
        )

    def pattern_of_rows(self, filled: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Pattern of places of each region that holds counts; see `regions.tile_regions`."""
        n_patterns = 1 if self.places is None else len(self.places)
        n_regions = len(filled) // (2 * n_patterns)
        return (np.arange(len(filled)) // max(n_regions, 1) % n_patterns)[filled]

    def only(self, index: int) -> NamedPhases:
        """Nothing known of all phases but one, and of no place."""
        result = replace(self, places=None)
        for other in range(self.n_named):
            if other != index:
                result = result.without(other)
        return result

    def n_statements(self, index: int) -> int:
        """Degrees of freedom that are taken from a phase."""
        if self.fixed[index]:
            return int(self.allowed.shape[1]) - 1
        absent = int(np.count_nonzero(~self.allowed[index]))
        return absent + int(np.count_nonzero(self.statements.phase == index))


def _agreeing(weight: Array, allowed: NDArray[np.bool_], statements: Statements) -> Array:
    """The nearest non-negative weights of one phase that agree with its statements."""
    result: Array = weight / max(weight.sum(), _TINY)
    spread = np.sqrt(np.maximum(result, _START_SIGMA))
    target = result / spread
    for _ in range(_START_ROUNDS):
        own = replace(statements, phase=np.zeros(len(statements), np.int64))
        bound = np.clip(own.ratios(result[None]), own.low, own.high)
        below = np.maximum(own.denominator @ result, _START_SIGMA)
        sigma = np.maximum(own.sigma, _START_SIGMA) * below
        rows = (own.numerator - bound[:, None] * own.denominator) / sigma[:, None]
        matrix = np.vstack([np.diag(1.0 / spread), 1e2 * rows])[:, allowed]
        moved = np.zeros_like(result)
        moved[allowed] = nnls(matrix, np.concatenate([target, np.zeros(len(rows))]))[0]
        result = moved / max(moved.sum(), _TINY)
    return result
