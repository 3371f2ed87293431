# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of the central solve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.pooled import weighted_columns
from mlatem.model import Ambiguity, Dictionary, Leeway


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
    n_coherent: int = 0
    """Axes above the noise that neighbouring pixels share, by which regions were placed; 0 where
    they were not looked for."""
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

    def other_spectrum(self, dictionary: Dictionary) -> NDArray[np.float64] | None:
        """Spectra of the other answer, shape (n_phases, n_energy); None unless both count."""
        if self.ambiguity is None or not self.ambiguity.has_two_answers:
            return None
        own = dictionary.columns if self.phase_columns is None else self.phase_columns
        return self.ambiguity.other_spectrum(own)
