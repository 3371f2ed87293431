# SPDX-License-Identifier: GPL-3.0-or-later
"""Which columns of all elements a spectrum needs: a search by likelihood ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from mlatem.preprocessing.directions_fit import DirectionsFit, fit_directions
from mlatem.preprocessing.line_library import AxisSigma, LineLibrary

Array = NDArray[np.float64]

#: A score below this part of the threshold is not followed up: it ignores some freedom.
_FOLLOWED = 0.3
_FEWEST_TRIALS, _MOST_TRIALS = 2, 10
_MOST_ELEMENTS = 25
#: Start of the search: model error and least significance of a least-squares coefficient.
_ROUGH_ERROR, _ROUGH_SIGNIFICANCE = 0.05, 8.0
#: A replacement has to be better by this much; elements beyond the second are not doubted.
_SWAP_MARGIN, _SWAP_BELOW = 2.0, 2000.0
#: Families may differ from their computed ratio by this factor, and count as seen from so many
#: sigma.
_FAMILY_RATIO, _SEEN, _NOT_SEEN = 3.0, 4.0, 3.0
_HARDNESS = "MLK"


@dataclass(frozen=True)
class Explanation:
    """A set of elements and how well it explains the spectrum."""

    elements: tuple[str, ...]
    fit: DirectionsFit
    directions: Array
    """Shape (n_directions, n_bins); those of the fit."""
    amounts: dict[str, float]
    """Counts of each element on the axis."""

    @property
    def objective(self) -> float:
        """Twice the negative logarithm of the posterior, up to a constant."""
        return self.fit.objective


@dataclass
class Search:
    """A spectrum, what may be in it, and what has been excluded."""

    counts: Array
    """Shape (n_bins,)."""
    library: LineLibrary
    base: tuple[str, ...]
    """Elements that are in every explanation."""
    axis: AxisSigma
    model_error: float
    """Relative error of the expected counts that is left in every channel."""
    extra: Array | None = None
    """Shape (n_extra, n_bins): further columns of the instrument, such as sum peaks."""
    excluded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        lists = [self.library.merged_continuum, *([] if self.extra is None else [self.extra])]
        self._fixed = np.vstack(lists)
        per_channel = smoothed(self.counts / self.library.bin_size)
        self._weight = 1.0 / (1.0 + self.model_error**2 * per_channel)

    def explain(
        self, elements: Iterable[str], near: Explanation | None = None, *, rounds: int = 2
    ) -> Explanation:
        """Fit a set of elements, in rounds because directions scale with the amounts."""
        elements = tuple(elements)
        columns = self._columns(elements)
        if near is None:
            none = np.zeros((0, self.counts.size))
            amount = fit_directions(self.counts, columns, none, weight=self._weight).amount
        else:
            amount = self._start(elements, near)
        model = np.maximum(amount @ columns, 1e-3 * self.counts.mean())
        for _ in range(rounds):
            directions = self._directions(elements, amount, model)
            start = (amount, np.zeros(len(directions)))
            fit = fit_directions(
                self.counts, columns, directions, weight=self._weight, start=start
            )
            amount, model = fit.amount, fit.model
        return Explanation(elements, fit, directions, self._by_element(elements, amount))

    def _columns(self, elements: Sequence[str]) -> Array:
        return np.vstack([self._fixed, *[self.library.columns[e][None] for e in elements]])

    def _by_element(self, elements: Sequence[str], amount: Array) -> dict[str, float]:
        return dict(zip(elements, amount[len(self._fixed) :].tolist(), strict=True))

    def _start(self, elements: Sequence[str], near: Explanation) -> Array:
        new = [e for e in elements if e not in near.amounts]
        first = self._slopes(near, new)[2] if new else np.zeros(0)
        guess = dict(zip(new, np.maximum(first, 1.0).tolist(), strict=True))
        values = [near.amounts.get(e, guess.get(e, 0.0)) for e in elements]
        return np.concatenate([near.fit.amount[: len(self._fixed)], values])

    def _directions(self, elements: Sequence[str], amount: Array, model: Array) -> Array:
        continuum = self.library.merged_continuum
        return self.library.directions(
            self._by_element(elements, amount),
            amount[: len(continuum)] @ continuum,
            self.axis,
            self._weight / model,
        )

    def scores(self, explanation: Explanation) -> dict[str, float]:
        """How many sigma each further element would add, by the slope of the likelihood.

        Notes
        -----
        Rao's score test (C. R. Rao, Proc. Camb. Phil. Soc. 44 (1948) 50) with the information that
        is left after the columns and directions of the explanation.
        """
        names = [
            e
            for e in self.library.names
            if e not in explanation.elements and e not in self.excluded
        ]
        slope, information, _ = self._slopes(explanation, names)
        return dict(zip(names, (slope / np.sqrt(information)).tolist(), strict=True))

    def _slopes(
        self, explanation: Explanation, names: Sequence[str]
    ) -> tuple[Array, Array, Array]:
        """Slope, information that is left, and amount, of columns that are not in the model."""
        fit, columns = explanation.fit, self._columns(explanation.elements)
        kept = np.concatenate([fit.amount > 0, np.ones(len(explanation.directions), dtype=bool)])
        matrix = np.vstack([columns, explanation.directions])[kept]
        candidate = np.array([self.library.columns[e] for e in names])
        precision = self._weight / fit.model
        curvature = fit.curvature[np.ix_(kept, kept)]
        scale = 1.0 / np.sqrt(np.diag(curvature))
        unit = curvature * np.outer(scale, scale) + 1e-9 * np.eye(len(scale))
        cross = (candidate * precision) @ matrix.T * scale
        whole = (candidate**2) @ precision
        explained = np.einsum("ij,ji->i", cross, np.linalg.solve(unit, cross.T))
        information = np.maximum(whole - explained, 1e-6 * whole)
        slope = candidate @ (self._weight * (self.counts / fit.model - 1.0))
        return slope, information, slope / information

    def begin(self) -> Explanation:
        """The elements of a non-negative least-squares fit of all columns."""
        names = self.library.names
        columns = self._columns(names)
        variance = smoothed(self.counts) + 1.0
        weight = 1.0 / np.sqrt(variance * (1.0 + _ROUGH_ERROR**2 * variance))
        scaled = columns * weight
        norm = np.linalg.norm(scaled, axis=1)
        scaled /= norm[:, None]
        root = cholesky(scaled @ scaled.T + 1e-6 * np.eye(len(scaled)))
        right = solve_triangular(root, scaled @ (self.counts * weight), trans="T")
        found = nnls(root, right, maxiter=50 * len(root))[0][len(self._fixed) :]
        order = np.argsort(-found)[:_MOST_ELEMENTS]
        chosen = [names[k] for k in order if found[k] > _ROUGH_SIGNIFICANCE]
        elements = (*self.base, *[e for e in chosen if e not in self.base])
        return self.thin(self.explain(elements), 25.0)

    def thin(self, explanation: Explanation, threshold: float) -> Explanation:
        """Leave out what the curvature says is not significant, the least first."""
        while True:
            first = len(self._fixed)
            sigma = explanation.fit.amount_sigma()[first:]
            wald = {
                e: explanation.fit.amount[first + k] / sigma[k]
                for k, e in enumerate(explanation.elements)
                if e not in self.base
            }
            if not wald or min(wald.values()) ** 2 >= threshold:
                return explanation
            explanation = self.without(explanation, min(wald, key=lambda e: wald[e]))

    def grow(self, explanation: Explanation, threshold: float) -> Explanation:
        """Add the element that explains most, until none explains enough."""
        while len(explanation.elements) < _MOST_ELEMENTS:
            scores = self.scores(explanation)
            order = sorted(scores, key=lambda e: -scores[e])
            best = explanation
            for trial, element in enumerate(order[:_MOST_TRIALS], start=1):
                if scores[element] <= np.sqrt(_FOLLOWED * threshold):
                    break
                more = self.explain((*explanation.elements, element), explanation, rounds=1)
                best = min(best, more, key=lambda e: e.objective)
                if trial >= _FEWEST_TRIALS and _gain(explanation, best) > threshold:
                    break
            if best is not explanation:
                best = self.explain(best.elements, best, rounds=1)
            if _gain(explanation, best) < threshold:
                return explanation
            explanation = best
        return explanation

    def without(self, explanation: Explanation, element: str) -> Explanation:
        """The same elements but one."""
        rest = [e for e in explanation.elements if e != element]
        return self.explain(rest, explanation, rounds=1)

    def ratios(self, explanation: Explanation) -> dict[str, float]:
        """Twice the logarithm of the likelihood ratio of each element of the explanation."""
        return {
            e: self.without(explanation, e).objective - explanation.objective
            for e in explanation.elements
        }

    def prune(self, explanation: Explanation, threshold: float) -> Explanation:
        """Leave out what is not needed beside the others, the least first."""
        while True:
            explanation = self.thin(explanation, threshold / 2)
            ratio = {e: v for e, v in self.ratios(explanation).items() if e not in self.base}
            if not ratio or min(ratio.values()) >= threshold:
                return explanation
            explanation = self.without(explanation, min(ratio, key=lambda e: ratio[e]))

    def swap(self, explanation: Explanation) -> Explanation:
        """Replace elements by others that explain the same better."""
        doubted = [e for e in explanation.elements if e not in self.base]
        for element in doubted:
            less = self.without(explanation, element)
            if less.objective - explanation.objective > _SWAP_BELOW:
                continue
            scores = self.scores(less)
            for other in sorted(scores, key=lambda e: -scores[e])[:_FEWEST_TRIALS]:
                if other == element or scores[other] <= 0:
                    continue
                trial = self.explain((*less.elements, other), less)
                if trial.objective < explanation.objective - _SWAP_MARGIN:
                    explanation = trial
                    break
        return explanation

    def missing_families(self, explanation: Explanation, element: str) -> list[str]:
        """Harder families of an element that should be seen if its softer lines are, and are not.

        A soft family may be absorbed, a hard one may not: Hf by its M lines alone, where its L
        lines are on the axis and absent, is something else.
        """
        families = self.library.shape(element).families
        names = sorted(families, key=_HARDNESS.index)
        if len(names) < 2:
            return []
        others = [e for e in explanation.elements if e != element]
        columns = np.vstack([self._columns(others), *[families[f][None] for f in names]])
        kept = [explanation.amounts[e] for e in others]
        fixed = explanation.fit.amount[: len(self._fixed)]
        amount = np.concatenate([fixed, kept, [explanation.amounts[element]] * len(names)])
        directions = self._directions(others, amount[: -len(names)], explanation.fit.model)
        start = (amount, np.zeros(len(directions)))
        fit = fit_directions(self.counts, columns, directions, weight=self._weight, start=start)
        sigma = fit.amount_sigma()[-len(names) :]
        value = fit.amount[-len(names) :]
        surest = int(np.argmax(value / sigma))
        return [
            names[k]
            for k in range(surest + 1, len(names))
            if value[k] < _SEEN * sigma[k]
            and value[k] + _NOT_SEEN * sigma[k] < value[surest] / _FAMILY_RATIO
        ]


def smoothed(counts: Array, n_channels: int = 7) -> Array:
    """Running mean, same shape."""
    return np.convolve(counts, np.full(n_channels, 1.0 / n_channels), mode="same")


def _gain(before: Explanation, after: Explanation) -> float:
    return before.objective - after.objective
