# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with sharp borders from noisy ones, by total variation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_N_STEPS = 100
#: Largest step with which the iteration converges in two dimensions.
_STEP = 0.25


def smooth(image: NDArray[np.floating], weight: float) -> NDArray[np.float32]:
    """The map u that minimises |u - image|^2 / 2 + weight * sum |grad u|.

    Parameters
    ----------
    image : ndarray of shape (ny, nx)
        Without gaps.
    weight : float
        0 or more, in units of the image.

    Returns
    -------
    smoothed : ndarray of shape (ny, nx), float32

    Notes
    -----
    Projection onto the dual ball (Chambolle 2005, EMMCVPR, Lecture Notes in Computer Science 3757,
    136, equation 9, a projected gradient), a fixed number of steps.
    """
    noisy = image.astype(np.float32)
    if weight <= 0:
        return noisy
    dual = np.zeros((2, *noisy.shape), dtype=np.float32)
    for _ in range(_N_STEPS):
        dual += np.float32(_STEP / weight) * _gradient(noisy + weight * _divergence(dual))
        dual /= np.maximum(1.0, np.sqrt(np.sum(dual**2, axis=0)))
    return np.asarray(noisy + weight * _divergence(dual), dtype=np.float32)


def _gradient(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Differences to the next row and column; 0 beyond the ends."""
    gradient = np.zeros((2, *image.shape), dtype=np.float32)
    gradient[0, :-1] = image[1:] - image[:-1]
    gradient[1, :, :-1] = image[:, 1:] - image[:, :-1]
    return gradient


def _divergence(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Minus the adjoint of the gradient."""
    divergence: NDArray[np.float32] = field[0] + field[1]
    divergence[1:] -= field[0, :-1]
    divergence[:, 1:] -= field[1, :, :-1]
    return divergence
