# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement of the answers of several thinnings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mlatem.factorization.pooled import Array, spectral_angle


def matched(reference: Array, spectrum: Array, n_named: int = 0) -> NDArray[np.int64]:
    """Order of the phases of `spectrum` that brings them nearest to those of the reference.

    Parameters
    ----------
    reference, spectrum : ndarray of shape (n_phases, n_energy)
    n_named : int, optional
        The first phases have names, and match already.

    Returns
    -------
    order : ndarray of shape (n_phases,)
        `spectrum[order]` matches the reference: the sum of the angles is least (Kuhn 1955).
    """
    angle = spectral_angle(reference[n_named:, None], spectrum[None, n_named:])
    free = n_named + linear_sum_assignment(angle)[1]
    return np.concatenate([np.arange(n_named), free])


def distance(first: Array, second: Array, n_named: int = 0) -> float:
    """Largest angle between matched phases of two answers, radian."""
    return float(spectral_angle(first, second[matched(first, second, n_named)]).max())


def medoid(spectra: Sequence[Array], n_named: int = 0) -> int:
    """The answer whose distances to all others add up to least; the first of equals."""
    return int(np.argmin([sum(distance(a, b, n_named) for b in spectra) for a in spectra]))


def spread(spectra: Sequence[Array]) -> Array:
    """Largest angle of each phase between any two answers whose phases are matched, radian.

    Parameters
    ----------
    spectra : sequence of ndarray of shape (n_phases, n_energy)

    Returns
    -------
    spread : ndarray of shape (n_phases,)
    """
    stack = np.stack(spectra)
    largest: Array = spectral_angle(stack[:, None], stack[None]).max(axis=(0, 1))
    return largest
