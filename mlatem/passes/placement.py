# SPDX-License-Identifier: GPL-3.0-or-later
"""From the basis of a map to the plan by which its pixels are pooled: what all tiles share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.factorization.coherence import SIGMA_PX, coherent_axes, region_axes, span_axes
from mlatem.factorization.outliers import OutlierSearch, plan_search
from mlatem.factorization.regions import PoolingPlan, plan_pooling
from mlatem.model import Basis, Dictionary
from mlatem.passes import TileSource, centroids_pass, coherence_pass


@dataclass(frozen=True)
class Placement:
    """Where the regions of a map lie among the scores of its pixels."""

    axes: NDArray[np.float64]
    """Shape (n_axes, n_energy); scores are `axes @ y`."""
    centroids: NDArray[np.float64]
    """Shape (n_halves, n_regions, n_axes)."""
    plan: PoolingPlan
    search: OutlierSearch
    n_coherent: int
    """Axes above the noise that neighbouring pixels share, the mean spectrum one of them."""


def place_regions(
    source: TileSource,
    basis: Basis,
    dictionary: Dictionary,
    options: settings.Factorize,
    *,
    total_counts: float,
) -> Placement:
    """Two passes over a map: the axes that neighbours share, and the centroids of its regions.

    Parameters
    ----------
    source : TileSource
    basis : Basis
        Without rare axes.
    dictionary : Dictionary
    options : settings.Factorize
    total_counts : float
        Of the whole map in the dictionary's window.

    Raises
    ------
    InputError
        If the map has too few counts to be split into halves.
    """
    n_phases = options.n_phases if isinstance(options.n_phases, int) else None
    plan = plan_pooling(total_counts, source.n_pixels, n_phases=n_phases, options=options)
    span = span_axes(basis, dictionary)
    found = coherent_axes(coherence_pass(source, span * basis.weights), span, source.shape)
    whitened, n_hidden = region_axes(basis, found)
    plan = replace(plan, n_wide=n_hidden, wide_px=SIGMA_PX)
    axes = whitened * basis.weights
    centroids = centroids_pass(source, axes, plan)
    search = plan_search(whitened, basis.weights, dictionary, plan, source.shape)
    return Placement(axes, centroids, plan, search, found.n_phases)
