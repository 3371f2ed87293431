# SPDX-License-Identifier: GPL-3.0-or-later
"""Which columns of all elements a spectrum needs: a search by likelihood ratios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from mlatem.preprocessing.directions_fit import DirectionsFit, fit_directions
from mlatem.preprocessing.line_library import N_COMMON, LineLibrary

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
#: Directions that change the spectrum by less than this part of its noise are left out, unless
#: they have moved by so many sigma.
_LEAST_CHANGE, _MOVED = 0.1, 1e-2
#: Rounds of a fit end where the objective changes by less.
_SAME_OBJECTIVE = 0.5


@dataclass(frozen=True)
class Explanation:
    """A set of elements and how well it explains the spectrum."""

    elements: tuple[str, ...]
    fit: DirectionsFit
    columns: Array
    """Shape (n_fixed + n_elements, n_bins); with the deviations that were found."""
    directions: Array
    """Shape (n_directions, n_bins); those of the fit."""
    deviations: dict[str, Array]
    """In sigma, of each element's own directions, then of its absorption; of all under ""."""

    @property
    def objective(self) -> float:
        """Twice the negative logarithm of the posterior, up to a constant."""
        return self.fit.objective

    @property
    def n_fixed(self) -> int:
        """Columns of continuum and instrument, which come first."""
        return len(self.columns) - len(self.elements)

    @property
    def amounts(self) -> dict[str, float]:
        """Scale of each element's column."""
        return dict(zip(self.elements, self.fit.amount[self.n_fixed :].tolist(), strict=True))

    @property
    def counts(self) -> dict[str, float]:
        """Counts of each element on the axis."""
        area = self.columns[self.n_fixed :].sum(axis=1)
        counts = np.maximum(self.fit.amount[self.n_fixed :] * area, 0.0)
        return dict(zip(self.elements, counts.tolist(), strict=True))


@dataclass
class Search:
    """A spectrum, what may be in it, and what has been excluded."""

    counts: Array
    """Shape (n_bins,)."""
    library: LineLibrary
    base: tuple[str, ...]
    """Elements that are in every explanation."""
    model_error: float
    """Relative error of the expected counts that is left in every channel."""
    extra: Array | None = None
    """Shape (n_extra, n_bins): further columns of the instrument, such as sum peaks."""
    excluded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        per_channel = smoothed(self.counts / self.library.bin_size)
        self._weight = 1.0 / (1.0 + self.model_error**2 * per_channel)

    def explain(
        self, elements: Iterable[str], near: Explanation | None = None, *, rounds: int = 2
    ) -> Explanation:
        """Fit a set of elements, in rounds because directions scale with the amounts."""
        elements = tuple(elements)
        deviations = {"": np.zeros(N_COMMON)} if near is None else dict(near.deviations)
        for element in elements:
            if element not in deviations:
                n_own = len(self.library.shape(element).directions) - N_COMMON
                deviations[element] = np.zeros(n_own + 1)
        columns = self.columns(elements, deviations)
        if near is None:
            none = np.zeros((0, self.counts.size))
            amount = fit_directions(self.counts, columns, none, weight=self._weight).amount
        else:
            amount = self._start(elements, near)
        before = np.inf
        for _ in range(rounds):
            directions, keys = self._directions(elements, amount, columns, deviations)
            center = np.array([deviations[name][k] for name, k in keys])
            fit = fit_directions(
                self.counts,
                columns,
                directions,
                weight=self._weight,
                center=center,
                start=(amount, center),
            )
            amount = fit.amount
            deviations = _updated(deviations, keys, fit.deviation)
            columns = self.columns(elements, deviations)
            if abs(before - fit.objective) < _SAME_OBJECTIVE:
                break
            before = fit.objective
        return Explanation(elements, fit, columns, directions, deviations)

    def columns(
        self, elements: Sequence[str], deviations: Mapping[str, Array] | None = None
    ) -> Array:
        """Continuum, `extra` and elements, deformed by deviations; shape (n_columns, n_bins)."""
        known = deviations or {}
        continuum = self.library.merged_continuum
        absorbed = sum(
            (known[e][-1] * self.library.merged_absorption[e] for e in elements if e in known),
            np.zeros(self.counts.size),
        )
        parts = [continuum * np.exp(-np.clip(absorbed, -2.0, 2.0))]
        if self.extra is not None:
            parts.append(self.extra)
        for element in elements:
            column = self.library.columns[element]
            if element in known:
                own = np.concatenate([known[""], known[element][:-1]])
                column = column + own @ self.library.shape(element).directions
            parts.append(column[None])
        return np.vstack(parts)

    def _start(self, elements: Sequence[str], near: Explanation) -> Array:
        known = near.amounts
        new = [e for e in elements if e not in known]
        first = self._slopes(near, new)[2] if new else np.zeros(0)
        guess = dict(zip(new, np.maximum(first, 1.0).tolist(), strict=True))
        values = [known.get(e, guess.get(e, 0.0)) for e in elements]
        return np.concatenate([near.fit.amount[: near.n_fixed], values])

    def _directions(
        self,
        elements: Sequence[str],
        amount: Array,
        columns: Array,
        deviations: Mapping[str, Array],
    ) -> tuple[Array, list[tuple[str, int]]]:
        """Changes of the expected counts by one sigma, and whose they are.

        What stays far below the noise is left out, unless it has moved already.
        """
        model = np.maximum(amount @ columns, 1e-3 * self.counts.mean())
        n_continuum = len(self.library.merged_continuum)
        smooth = amount[:n_continuum] @ columns[:n_continuum]
        n_fixed = len(columns) - len(elements)
        common = np.zeros((N_COMMON, self.counts.size))
        rows, keys = [], []
        for element, scale in zip(elements, amount[n_fixed:].tolist(), strict=True):
            if scale > 0:
                shape = self.library.shape(element).directions
                common += scale * shape[:N_COMMON]
                rows += [scale * shape[N_COMMON:]]
                rows += [-(self.library.merged_absorption[element] * smooth)[None]]
                keys += [(element, k) for k in range(len(shape) - N_COMMON + 1)]
        stacked = np.vstack([common, *rows])
        keys = [("", k) for k in range(N_COMMON)] + keys
        moved = np.array([abs(deviations[name][k]) > _MOVED for name, k in keys])
        kept = moved | ((stacked**2) @ (self._weight / model) > _LEAST_CHANGE)
        kept[:N_COMMON] = True
        return stacked[kept], [key for key, keep in zip(keys, kept, strict=True) if keep]

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

    def _slopes(self, explanation: Explanation, names: Sequence[str]) -> tuple[Array, Array, Array]:
        """Slope, information that is left, and amount, of columns that are not in the model."""
        fit, columns = explanation.fit, explanation.columns
        kept = np.concatenate([fit.amount > 0, np.ones(len(explanation.directions), dtype=bool)])
        matrix = np.vstack([columns, explanation.directions])[kept]
        candidate = np.array([self.library.columns[e] for e in names])
        precision = self._weight / fit.model
        # Not that of the fit: the columns have been deformed since by what it found.
        curvature = (matrix * precision) @ matrix.T
        prior = np.concatenate([np.zeros(len(columns)), np.ones(len(explanation.directions))])
        curvature += np.diag(prior[kept])
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
        columns = self.columns(names)
        variance = smoothed(self.counts) + 1.0
        weight = 1.0 / np.sqrt(variance * (1.0 + _ROUGH_ERROR**2 * variance))
        scaled = columns * weight
        norm = np.linalg.norm(scaled, axis=1)
        scaled /= norm[:, None]
        root = cholesky(scaled @ scaled.T + 1e-6 * np.eye(len(scaled)))
        right = solve_triangular(root, scaled @ (self.counts * weight), trans="T")
        found = nnls(root, right, maxiter=50 * len(root))[0][-len(names) :]
        order = np.argsort(-found)[:_MOST_ELEMENTS]
        chosen = [names[k] for k in order if found[k] > _ROUGH_SIGNIFICANCE]
        elements = (*self.base, *[e for e in chosen if e not in self.base])
        return self.thin(self.explain(elements), 25.0)

    def thin(self, explanation: Explanation, threshold: float) -> Explanation:
        """Leave out what the curvature says is not significant, the least first."""
        while True:
            first = explanation.n_fixed
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
        amounts = explanation.amounts
        fixed = explanation.fit.amount[: explanation.n_fixed]
        amount = np.concatenate([fixed, [amounts[e] for e in others]])
        columns = self.columns(others, explanation.deviations)
        directions, keys = self._directions(others, amount, columns, explanation.deviations)
        center = np.array([explanation.deviations[name][k] for name, k in keys])
        fit = fit_directions(
            self.counts,
            np.vstack([columns, *[families[f][None] for f in names]]),
            directions,
            weight=self._weight,
            center=center,
            start=(np.append(amount, [amounts[element]] * len(names)), center),
        )
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


def _updated(
    deviations: Mapping[str, Array], keys: Sequence[tuple[str, int]], values: Array
) -> dict[str, Array]:
    new = {name: old.copy() for name, old in deviations.items()}
    for (name, k), value in zip(keys, values.tolist(), strict=True):
        new[name][k] = value
    return new


def _gain(before: Explanation, after: Explanation) -> float:
    return before.objective - after.objective
