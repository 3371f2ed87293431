# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of phases, carried through the fits of all thinnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.factorization import alignment
from mlatem.factorization.constraints import Constraints, NamedPhases
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.prior_matching import matched_order
from mlatem.model import Dictionary, RegionStatistics


@dataclass(frozen=True)
class Known:
    """Priors of the phases, and the patterns of places of one thinning's regions."""

    named: NamedPhases | None
    pattern: NDArray[np.int64]
    """Shape (n_regions,); of the regions with counts."""
    n_phases: int

    @classmethod
    def of(cls, regions: RegionStatistics, named: NamedPhases | None, n_phases: int) -> Known:
        """What is known in a fit of `n_phases` phases to some regions.

        Raises
        ------
        InputError
            If more phases have names.
        """
        if named is None:
            return cls(None, np.zeros(0, np.int64), n_phases)
        if named.n_named > n_phases:
            raise InputError(
                f"priors name {named.n_named} phases ({', '.join(named.names)}), but n_phases is "
                f"{n_phases}: raise n_phases, or leave phases out of the priors"
            )
        return cls(named, named.pattern_of_rows(regions.counts.sum(axis=1) > 0), n_phases)

    @property
    def n_named(self) -> int:
        """Number of named phases; they come first in every fit."""
        return 0 if self.named is None else self.named.n_named

    def constraints(self, columns: Array) -> Constraints | None:
        """For columns of any scale, shared by the phases or their own; None without priors."""
        named = self.fitted_to(columns)
        if named is None:
            return None
        return named.constraints(self.n_phases, columns.sum(axis=-1), self.pattern)

    def fitted_to(self, columns: Array) -> NamedPhases | None:
        """Priors on the coefficients of these columns."""
        if self.named is None or columns.ndim == 2:
            return self.named
        return self.named.fitted_to(columns)


def matched_starts(
    starts: Sequence[Array],
    thinnings: Sequence[PooledData],
    known: Sequence[Known],
    dictionary: Dictionary,
    options: settings.Factorize,
) -> list[Array]:
    """Starts of all thinnings, the named phases first and agreeing with what is known of them.

    Parameters
    ----------
    starts : sequence of ndarray of shape (n_phases, n_columns)
        Weights found without priors.
    thinnings : sequence of PooledData
    known : sequence of Known
    dictionary : Dictionary
    options : settings.Factorize

    Notes
    -----
    Names are matched in the most central of the starts, and the others follow it.
    """
    spectra = [data.spectrum(start) for data, start in zip(thinnings, starts, strict=True)]
    central = alignment.medoid(spectra)
    named, pattern = known[central].named, known[central].pattern
    constraints = known[central].constraints(dictionary.columns)
    if named is None or constraints is None:
        return list(starts)
    scale = dictionary.columns.sum(axis=-1)
    order = matched_order(thinnings[central], starts[central], named, scale, pattern, options)
    matches = [alignment.matched(spectra[central][order], spectrum) for spectrum in spectra]
    return [constraints.start(start[m]) for start, m in zip(starts, matches, strict=True)]
