# SPDX-License-Identifier: GPL-3.0-or-later
"""The other answer of a factorisation whose counts leave two of them open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model.factorization import Factorization

#: What is said of the first answer alone.
_OF_FIRST = ("decisions", "verdicts", "spread_deg", "n_pixels_not_converged")


def other_answer(factorization: Factorization) -> Factorization:
    """The answer of the other reading of the map, as a factorisation of its own.

    Parameters
    ----------
    factorization : Factorization
        Of class OPEN.

    Returns
    -------
    factorization : Factorization
        Phases in the same order. Standard deviations are NaN: they were not looked for.
        `dominant_counts` are those of the pixels that the phases of the first answer dominate.

    Raises
    ------
    InputError
        If there is one answer only.
    """
    opened, abundance = factorization.ambiguity, factorization.alternative_abundance
    deviance = factorization.alternative_deviance
    if opened is None or abundance is None or deviance is None:
        found = "was not looked for" if opened is None else f"is {opened.geometry_class}"
        given = ", and the geometry was given" if opened is not None and opened.is_given else ""
        raise InputError(
            f"there is no other answer: the class of this one {found}{given}. It is kept where the "
            "class is OPEN: factorize without `geometry` and priors to see both"
        )
    coefficient = opened.alternative_coefficient
    columns = opened.other_columns(factorization.columns)
    total = np.einsum("kj,kje->k", coefficient, columns)
    covariance = factorization.coefficient_covariance
    pixels = factorization.abundance_covariance
    attrs = {k: v for k, v in factorization.attrs.items() if k not in _OF_FIRST}
    return replace(
        factorization,
        coefficient=coefficient / total[:, None],
        coefficient_covariance=np.full_like(covariance, np.nan),
        abundance=abundance,
        abundance_covariance=np.full_like(pixels, np.nan),
        deviance=deviance,
        dominant_abundance=_over_dominated(factorization.abundance, abundance),
        attrs={**attrs, "reading": opened.alternative},
        phase_columns=None if factorization.phase_columns is None else columns,
        leeway=None,
        ambiguity=None,
        abundance_smooth=None,
        alternative_abundance=None,
        alternative_deviance=None,
    )


def _over_dominated(first: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """The other abundances summed over the pixels that each phase dominates in the first."""
    label = np.where(first.sum(axis=2) > 0, first.argmax(axis=2), -1)
    rows = [other[label == phase].sum(axis=0, dtype=np.float64) for phase in range(first.shape[2])]
    return np.array(rows)
