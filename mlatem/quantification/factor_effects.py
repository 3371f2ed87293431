# SPDX-License-Identifier: GPL-3.0-or-later
"""What errors of line intensities do to the amounts that a fit finds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Calibration, Dictionary, Estimate, Factorization
from mlatem.physics.calibrated_factors import calibrated_family_factors
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.settings import Edxs

Array = NDArray[np.float64]

#: Families that make up less of an amount than this are not named.
_NAMED_SHARE = 0.005
#: Directions of the scaled information below this part of the largest are rounding errors.
_RESOLUTION = 1e-12


@dataclass(frozen=True)
class FactorEffects:
    """How the amounts of phases hang on the intensities of families of lines."""

    families: tuple[str, ...]
    """Element and family, "Fe K"."""
    response: Array
    """Shape (n_phases, n_columns, n_families); relative change of a coefficient for a relative
    change of a family's intensity."""
    covariance: Array
    """Shape (n_families, n_families); of the relative errors of the intensities."""
    sources: tuple[str, ...]
    """Where the intensities come from, for people."""

    def causes(self) -> Array:
        """Relative changes of the coefficients for one sigma of independent causes.

        Returns
        -------
        causes : ndarray of shape (n_phases, n_columns, n_families)
        """
        values, vectors = np.linalg.eigh(self.covariance)
        causes: Array = self.response @ (vectors * np.sqrt(np.maximum(values, 0.0)))
        return causes

    def lines(self, phase: int, column: int, element: str) -> str:
        """The families that give an amount, with their shares in it, "K 93 %, L 7 %"."""
        share = self._shares(phase, column, element)
        named = {name: s for name, s in share.items() if abs(s) >= _NAMED_SHARE}
        if len(named) <= 1:
            return ", ".join(name.split()[1] for name in (named or share))
        ordered = sorted(named.items(), key=lambda item: -item[1])
        return ", ".join(f"{name.split()[1]} {100 * s:.0f} %" for name, s in ordered)

    def source(self, phase: int, column: int, element: str) -> str:
        """Where the intensities come from that give an amount."""
        share = self._shares(phase, column, element)
        used = [name for name, s in share.items() if abs(s) >= _NAMED_SHARE] or list(share)
        found = {name: self.sources[self.families.index(name)] for name in used}
        if len(set(found.values())) == 1:
            return next(iter(found.values()))
        return "; ".join(f"{name.split()[1]}: {source}" for name, source in found.items())

    def _shares(self, phase: int, column: int, element: str) -> dict[str, float]:
        return {
            name: float(-self.response[phase, column, place])
            for place, name in enumerate(self.families)
            if name.split()[0] == element
        }


def factor_effects(
    factorization: Factorization, calibration: Calibration, edxs: Edxs
) -> FactorEffects:
    """How the coefficients of every phase hang on the intensities of lines.

    Parameters
    ----------
    factorization : Factorization
        Found with the dictionary of the calibration.
    calibration : Calibration
    edxs : settings.Edxs

    Notes
    -----
    An element is measured by all its lines in the window. Where a family f is brighter than its
    part of the column by a relative error e, the fit with weights 1 / mu (Poisson) finds amounts
    that are off by ``F^-1 D W (c d_f) e``, with the columns D, their Fisher information
    ``F = D W D^T`` and the family's counts ``c d_f``: the more a family weighs in the fit, the more
    its error counts. Columns at zero stay there. The responses of the families of an element add
    up to -1: when all its lines are brighter than thought, there is less of it.
    """
    dictionary = factorization.dictionary
    split = dictionary_on_axis(dictionary.energy, calibration, edxs, split="family")
    places = [place for place, kind in enumerate(split.kinds) if kind == "line"]
    families = tuple(split.names[place] for place in places)
    known = calibrated_family_factors(families, _as_in(factorization, calibration), edxs.detector)
    index = [known.families.index(name) for name in families]
    response = np.stack(
        [
            _response(
                factorization.coefficient[phase],
                factorization.dictionary_of(phase),
                dictionary,
                split.columns[places],
                families,
            )
            for phase in range(factorization.n_phases)
        ]
    )
    return FactorEffects(
        families,
        response,
        known.covariance[np.ix_(index, index)],
        tuple(known.sources[place] for place in index),
    )


def _as_in(factorization: Factorization, calibration: Calibration) -> Calibration:
    """The calibration with the line factors that were fitted with the phases.

    Their errors from counts are in the covariance of the coefficients: what is left is that of the
    tables.
    """
    fitted = {
        name: Estimate(value, of_tables, "file")
        for name, (value, _, of_tables) in factorization.line_factors.items()
    }
    return replace(calibration, line_factors={**calibration.line_factors, **fitted})


def _response(
    coefficient: Array,
    dictionary: Dictionary,
    mean: Dictionary,
    family_columns: Array,
    families: tuple[str, ...],
) -> Array:
    """Relative change of the coefficients of one phase, shape (n_columns, n_families).

    The families are those of the specimen's mean composition; they are absorbed in the phase as
    its own columns are, channel by channel.
    """
    result = np.zeros((len(coefficient), len(families)))
    active = np.flatnonzero(coefficient > 0)
    expected = coefficient @ dictionary.columns
    reached = expected > 0
    weighted = dictionary.columns[active][:, reached] / np.sqrt(expected[reached])
    norm = np.linalg.norm(weighted, axis=1)
    unit = weighted / norm[:, None]
    inverse = np.linalg.pinv(unit @ unit.T, rcond=_RESOLUTION, hermitian=True)
    for place, name in enumerate(families):
        element = name.split()[0]
        for column in active:
            if dictionary.elements[column] != element or not dictionary.quantified[column]:
                continue
            own, common = dictionary.columns[column], mean.columns[column]
            absorbed = np.divide(own, common, out=np.zeros_like(own), where=common > 0)
            counts = coefficient[column] * family_columns[place] * absorbed
            seen = counts[reached] / np.sqrt(expected[reached])
            change = (inverse @ (unit @ seen)) / norm
            result[active, place] -= change / coefficient[active]
    return result
