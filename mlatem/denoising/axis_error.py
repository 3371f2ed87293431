# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the energy axis and the resolution, from scores outside the dictionary's span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlatem.denoising.residuals import derivatives
from mlatem.model import Basis, Dictionary

Cause = Literal["offset", "gain", "width"]

#: Another cause than an offset has to explain so much more.
_MARGIN = 1.05


@dataclass(frozen=True)
class AxisError:
    """The one error of the energy axis or the lines that explains most."""

    cause: Cause
    value: float
    """To add to the dictionary's energies, in their unit; relative, for "gain"; variance to add to
    its lines, in squared units of energy, for "width"."""
    sigma: float
    """Standard deviation by the noise alone."""


def axis_error(
    n_pixels: int,
    moment: NDArray[np.float64],
    basis: Basis,
    dictionary: Dictionary,
    axes: Sequence[int],
) -> AxisError:
    """Error of the axis or the resolution of which some axes outside the span speak.

    Parameters
    ----------
    n_pixels : int
        That are not masked.
    moment : ndarray of shape (rank, rank)
        Sum over them of the products of raw scores.
    basis : Basis
    dictionary : Dictionary
    axes : sequence of int
        Axes outside of the span that look like a wrong energy axis, at least one.

    Notes
    -----
    A small error p of the axis adds p * sum over j of t_j d_j to a whitened spectrum with the
    scores t_j in the span, d_j the derivatives of those axes (`residuals.derivatives`). The score
    on axis r outside is then p * sum over j of t_j (u_r . d_j). Its least squares need no more than
    the second moments of the scores, less the noise, which is one (a quarter for the first axis).

    Errors that come together are taken for the one that explains most: they hardly differ in what
    they leave outside the span.
    """
    inside = np.flatnonzero(basis.in_span)
    noise = np.ones(inside.size)
    noise[inside == 0] = 0.25
    of_inside = moment[np.ix_(inside, inside)] - np.diag(noise) * n_pixels
    causes = get_args(Cause)
    information, right = np.zeros(len(causes)), np.zeros(len(causes))
    for axis in axes:
        with_inside = moment[inside, axis]
        for i, shapes in enumerate(derivatives(basis, dictionary)):
            design = shapes @ basis.axes[axis]
            information[i] += design @ of_inside @ design
            right[i] += design @ with_inside
    information = np.maximum(information, np.finfo(float).tiny)
    gain = right**2 / information
    gain[0] *= _MARGIN
    best = int(np.argmax(gain))
    return AxisError(
        causes[best], float(right[best] / information[best]), float(information[best] ** -0.5)
    )
