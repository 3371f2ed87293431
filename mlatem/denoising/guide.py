# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of the same area, of little noise, that tells where score maps may change.

Nothing of the image enters a map. Its wavelet coefficients sort those of the maps, at the same
place and level, into classes that are shrunk by the variance of each class: less where the image
has an edge, more where it has none, and all alike where the two have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlatem.denoising.wavelets import Classes, Map, Transform, approximation, details

#: Energies of the image's coefficients between classes, in units of its noise.
_BORDERS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
#: Median of the size of a normal variable of unit variance.
_MEDIAN_OF_SIZE = 0.6745
#: Noise of an image, over its contrast, below which rounding would be taken for structure.
_LEAST_NOISE = 1e-3


def noise_of(image: NDArray[np.floating]) -> float:
    """Variance of an image's noise, by the median of mixed second differences.

    Parameters
    ----------
    image : ndarray of shape (ny, nx)
        Finite. In a single row or column differences are those along it.
    """
    rough = image.astype(np.float64)
    for axis in (0, 1):
        if rough.shape[axis] > 1:
            rough = np.diff(rough, axis=axis) / np.sqrt(2.0)
    sigma = float(np.median(np.abs(rough - np.median(rough)))) / _MEDIAN_OF_SIZE
    least = _LEAST_NOISE * float(image.std(dtype=np.float64))
    return max(sigma**2, least**2, float(np.finfo(np.float32).tiny))


def guide_classes(
    block: Map, margin: int, noise: float, transform: Transform, margins: Sequence[int]
) -> Classes:
    """Classes of the places of a block by the energy of the image's details there.

    Parameters
    ----------
    block : ndarray of shape (ny, nx), float32
        The image on a block of the map and a margin.
    margin : int
        Pixels around the block, enough for the details that are wanted.
    noise : float
        Variance of the image's noise.
    transform : Transform
        Of the map.
    margins : sequence of int
        Pixels around the block in which details of each level are wanted.
    """
    of_level = []
    for level in range(1, transform.n_levels + 1):
        spare = margin - transform.reach_to(level) - margins[level - 1]
        inner = transform.cut(block, spare)
        energies = [np.square(detail) for detail in details(inner, level, transform)]
        unit = np.float32(noise) * transform.noise_scale(level) * len(energies)
        of_level.append(np.digitize(sum(energies) / unit, _BORDERS).astype(np.uint8))
        block = approximation(block, level, transform)
    return Classes(len(_BORDERS) + 1, tuple(of_level))
