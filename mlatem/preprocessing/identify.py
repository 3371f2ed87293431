# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of a spectrum, by likelihood ratios under what is not known of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from mlatem.preprocessing.directions_fit import DirectionsFit, fit_directions
from mlatem.preprocessing.line_library import AxisPrior, LineLibrary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    elements: tuple[str, ...]
    fit: DirectionsFit
    directions: Array
    amounts: dict[str, float]

    @property
    def objective(self):
        return self.fit.objective


class Search:
    def __init__(self, counts, library, base, weight, axis, extra=None):
        self.counts, self.library, self.weight, self.axis = counts, library, weight, axis
        self.base = tuple(base)
        self.fixed = library.continuum if extra is None else np.vstack([library.continuum, extra])
        self.n_fits = 0
        self.banned = {}

    def fit(self, elements, start=None, rounds=2):
        elements = tuple(elements)
        lib = self.library
        columns = np.vstack([self.fixed, *[lib.columns[e][None] for e in elements]])
        n_fixed = len(self.fixed)
        amount = None
        if start is not None:
            known = start.amounts
            new = 1e-3 * self.counts.sum()
            amount = np.concatenate([start.fit.amount[:n_fixed], [known.get(e, new) for e in elements]])
            model = np.maximum(amount @ columns, 1e-3 * self.counts.mean())
        directions = np.zeros((0, lib.energy.size))
        if amount is None:
            fit = fit_directions(self.counts, columns, directions, weight=self.weight)
            amount, model = fit.amount, fit.model
            self.n_fits += 1
        for _ in range(rounds):
            amounts = dict(zip(elements, amount[n_fixed:].tolist(), strict=True))
            directions = lib.directions(
                amounts, self.axis, self.weight / model, amount[: len(lib.continuum)] @ lib.continuum
            )
            fit = fit_directions(self.counts, columns, directions, weight=self.weight,
                                 start=(amount, np.zeros(len(directions))))
            self.n_fits += 1
            amount, model = fit.amount, fit.model
        amounts = dict(zip(elements, amount[n_fixed:].tolist(), strict=True))
        return Model(elements, fit, directions, amounts)

    def scores(self, model):
        """One-sided score statistic of every element not in the model."""
        lib = self.library
        names = [e for e in lib.names if e not in model.elements]
        candidate = np.array([lib.columns[e] for e in names])
        columns = np.vstack([self.fixed, *[lib.columns[e][None] for e in model.elements]])
        active = model.fit.amount > 0
        matrix = np.vstack([columns, model.directions])
        keep = np.concatenate([active, np.ones(len(model.directions), bool)])
        matrix = matrix[keep]
        mu, u = model.fit.model, self.weight
        curv = (matrix * (u / mu)) @ matrix.T
        n_free = int(active.sum())
        curv[np.arange(n_free, len(curv)), np.arange(n_free, len(curv))] += 1.0
        cross = (candidate * (u / mu)) @ matrix.T
        info = (candidate**2) @ (u / mu)
        scale = 1 / np.sqrt(np.diag(curv))
        unit = curv * np.outer(scale, scale) + 1e-9 * np.eye(len(curv))
        left = info - np.einsum("ij,ji->i", cross * scale, np.linalg.solve(unit, (cross * scale).T))
        left = np.maximum(left, 1e-6 * info)
        b = candidate @ (u * (self.counts / mu - 1))
        return dict(zip(names, (b / np.sqrt(left)).tolist(), strict=True))

    def begin(self, least_z=8.0, most=24):
        """Elements of a non-negative least-squares fit of all columns."""
        lib = self.library
        names = lib.names
        columns = np.vstack([self.fixed, *[lib.columns[e][None] for e in names]])
        smooth = np.convolve(self.counts, np.ones(7) / 7, mode="same") + 1.0
        root_weight = np.sqrt(1.0 / (smooth * (1.0 + 0.05**2 * smooth)))
        scaled = columns * root_weight
        norm = np.linalg.norm(scaled, axis=1)
        scaled = scaled / norm[:, None]
        gram = scaled @ scaled.T + 1e-6 * np.eye(len(scaled))
        root = cholesky(gram)
        right = solve_triangular(root, scaled @ (self.counts * root_weight), trans="T")
        amount = nnls(root, right, maxiter=50 * len(gram))[0]
        z = dict(zip(names, amount[len(self.fixed):].tolist(), strict=True))
        found = [e for e in sorted(z, key=z.get, reverse=True) if z[e] > least_z][:most]
        model = self.fit([*self.base, *[e for e in found if e not in self.base]])
        return self.thin(model, 25.0)

    def thin(self, model, threshold):
        """Leave out what the curvature says is not significant, the least first."""
        while True:
            n = len(self.fixed)
            sigma = np.sqrt(np.diag(model.fit.inverse))[n : n + len(model.elements)]
            wald = {
                e: model.fit.amount[n + k] / sigma[k]
                for k, e in enumerate(model.elements)
                if e not in self.base
            }
            if not wald:
                return model
            worst = min(wald, key=wald.get)
            if wald[worst] ** 2 >= threshold:
                return model
            model = self.without(model, worst)

    def grow(self, model, threshold, n_try=3, most=25):
        while len(model.elements) < most:
            z = self.scores(model)
            order = [e for e in sorted(z, key=z.get, reverse=True) if e not in self.banned and z[e] > 0 and z[e] ** 2 > 0.3 * threshold]
            best = None
            for k, e in enumerate(order[:12]):
                trial = self.fit((*model.elements, e), model)
                if best is None or trial.objective < best.objective:
                    best = trial
                if k + 1 >= n_try and model.objective - best.objective > threshold:
                    break
            if best is None or model.objective - best.objective < threshold:
                return model
            model = best
        return model

    def without(self, model, element):
        return self.fit([e for e in model.elements if e != element], model)

    def ratios(self, model):
        return {e: self.without(model, e).objective - model.objective for e in model.elements if e not in self.base}

    def prune(self, model, threshold):
        while True:
            ratio = self.ratios(model)
            if not ratio:
                return model, ratio
            worst = min(ratio, key=ratio.get)
            if ratio[worst] >= threshold:
                return model, ratio
            model = self.without(model, worst)

    def implausible(self, model, element, ratio=3.0, z=3.0):
        """Families of lines that an element should show and does not."""
        lib = self.library
        families = lib.families_of(element)
        if len(families) < 2:
            return []
        others = [e for e in model.elements if e != element]
        amounts = {e: model.amounts[e] for e in others}
        continuum = model.fit.amount[: len(lib.continuum)] @ lib.continuum
        directions = lib.directions(amounts, self.axis, self.weight / model.fit.model, continuum)
        names = list(families)
        columns = np.vstack([self.fixed, *[lib.columns[e][None] for e in others], *[families[f][None] for f in names]])
        n = len(columns) - len(names)
        start = np.concatenate([model.fit.amount[: len(self.fixed)], [amounts[e] for e in others], np.full(len(names), model.amounts[element])])
        fit = fit_directions(self.counts, columns, directions, weight=self.weight, start=(start, np.zeros(len(directions))))
        sigma = np.sqrt(np.diag(fit.inverse))[n : n + len(names)]
        amount = fit.amount[n:]
        best = int(np.argmax(amount / sigma))
        bad = []
        for k, f in enumerate(names):
            if k == best:
                continue
            harder = "MLK".index(f) > "MLK".index(names[best])
            seen = amount[k] > 4.0 * sigma[k]
            if harder and not seen and amount[k] + z * sigma[k] < amount[best] / ratio:
                bad.append(f)
        return bad

    def swap(self, model, below=2000.0, n_try=3, margin=2.0):
        """Replace an element by one that explains the same better."""
        changed = True
        tried = set()
        while changed:
            changed = False
            for e in model.elements:
                if e in self.base or (e in tried):
                    continue
                tried.add(e)
                less = self.without(model, e)
                if less.objective - model.objective > below:
                    continue
                z = self.scores(less)
                for other in sorted(z, key=z.get, reverse=True)[:n_try]:
                    if other == e or z[other] <= 0 or other in self.banned:
                        continue
                    trial = self.fit((*less.elements, other), less)
                    if trial.objective < model.objective - margin:
                        model, changed = trial, True
                        break
                if changed:
                    break
        return model
