# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether elements that a phase lacks speak for its answer, or any one of them may do so alone.

Several elements of the matrix that vanish at once from a particle are no coincidence, provided that
each of them could have said otherwise. An element that is scarce in the matrix cannot: it is next
to nothing in the particle, however much of the matrix is in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.factorization.constraints import Constraints
from mlatem.factorization.geometry import LACKING, PRESENT, Atoms, around
from mlatem.factorization.intervals import composition_leeway
from mlatem.factorization.mixing import LIMIT_NATS
from mlatem.factorization.pooled import Array, PooledData, spectral_angle


def hanging_deg(
    data: PooledData,
    abundance: Array,
    weight: Array,
    atoms: Atoms,
    constraints: Constraints | None = None,
) -> Array:
    """By how much each phase may turn if it has one of the elements that it seems to lack.

    Parameters
    ----------
    data : PooledData
    abundance : ndarray of shape (n_regions, n_phases)
        Of maximum likelihood at the weights.
    weight : ndarray of shape (n_phases, n_columns)
        The sparse answer; rows add up to one.
    atoms : Atoms
    constraints : Constraints, optional
        What is known of the phases: what is told hangs on nothing.

    Returns
    -------
    angle : ndarray of shape (n_phases,)
        Degrees, largest over the elements that a phase lacks and what is around it has; 0 where
        there is none.

    Notes
    -----
    One such weight at a time is freed, all other zeros stay, and all weights that are not zero
    follow (the directions of `composition_leeway`). It is raised until it costs `LIMIT_NATS` by the
    quadratic expansion of the likelihood. If the other elements that vanish tell as much, they hold
    the phase, and it hardly turns.
    """
    leeway = composition_leeway([data], [abundance], weight[None], constraints=constraints)
    lacks = _lacks(atoms.fractions(weight), abundance)
    column = np.flatnonzero(atoms.quantified)
    spectrum = data.spectrum(weight)
    angle = np.zeros(len(weight))
    for direction, variance, best in zip(
        leeway.direction[0], leeway.variance[0], leeway.best[0], strict=True
    ):
        # The freed weight is the only one that moves by exactly one.
        phase, freed = divmod(int(np.argmin(np.abs(direction - 1.0))), weight.shape[1])
        if not np.any(lacks[phase] & (column == freed)):
            continue
        turned = np.maximum(weight + _reach(best, variance) * direction, 0.0)
        turned /= turned.sum(axis=1, keepdims=True)
        between = np.degrees(spectral_angle(spectrum[phase], data.spectrum(turned)[phase]))
        angle[phase] = max(angle[phase], float(between))
    return angle


def has_own_element(fractions: Array, abundance: Array) -> NDArray[np.bool_]:
    """Which phases have an element that nothing around them has, shape (n_phases,).

    Parameters
    ----------
    fractions : ndarray of shape (n_phases, n_elements)
        Atomic fractions.
    abundance : ndarray of shape (n_regions, n_phases)
    """
    is_around = around(abundance)
    elsewhere = ((fractions >= LACKING)[None] & is_around[:, :, None]).any(axis=1)
    return np.asarray(((fractions > PRESENT) & ~elsewhere).any(axis=1))


def _lacks(fractions: Array, abundance: Array) -> NDArray[np.bool_]:
    """Elements that a phase lacks and something around it has, shape (n_phases, n_elements)."""
    elsewhere = ((fractions > PRESENT)[None] & around(abundance)[:, :, None]).any(axis=1)
    lacks: NDArray[np.bool_] = (fractions < LACKING) & elsewhere
    return lacks


def _reach(best: float, variance: float) -> float:
    """The value, not negative, that costs `LIMIT_NATS` more than the best one allowed."""
    if best > 0:
        return float(best + np.sqrt(2 * LIMIT_NATS * variance))
    return float(best + np.sqrt(best**2 + 2 * LIMIT_NATS * variance))
