# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns by sub-shell on any energy axis, and how they change with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary
from mlatem.preprocessing.shells import Shells

Array = NDArray[np.float64]

#: Builds the dictionary, split by sub-shell, on an energy axis (keV) for a detector's noise (FWHM,
#: eV) and Fano factor.
Builder = Callable[[Array, float, float], Dictionary]

#: Offset (keV), gain, noise (eV) and Fano factor.
N_AXIS = 4
_STEP = np.array([2e-4, 2e-5, 0.5, 1e-3])
#: Slopes serve again where the axis has moved by no more than this, a hundredth of a line's width.
_SAME_SLOPES = np.array([5e-4, 5e-5, 1.0, 2e-3])
_CACHED = 32


@dataclass
class SplitColumns:
    """The columns of a dictionary by offset (keV), gain, noise (eV) and Fano factor."""

    energy: Array
    """Shape (n_energy,); centres of the channels as the file has them, keV."""
    build: Builder
    shells: Shells
    _kept: dict[bytes, Array] = field(default_factory=dict)
    _slopes: tuple[Array, Array] | None = None

    def at(self, axis: Array) -> Array:
        """Columns at `axis`, shape (4,); of shape (n_columns, n_energy)."""
        key = axis.tobytes()
        if key not in self._kept:
            if len(self._kept) > _CACHED:
                self._kept.clear()
            offset, gain, noise, fano = axis.tolist()
            split = self.build(self.energy * (1.0 + gain) + offset, noise, fano)
            self._kept[key] = self.shells.aligned(split)
        return self._kept[key]

    def slopes(self, axis: Array, free: NDArray[np.bool_]) -> Array:
        """Change of the columns with the parameters that are free.

        Parameters
        ----------
        axis : ndarray of shape (4,)
        free : ndarray of shape (4,)
            The same in every call.

        Returns
        -------
        ndarray of shape (n_free, n_columns, n_energy)
            At `axis` or very near to it.
        """
        if self._slopes is None or np.any(np.abs(axis - self._slopes[0]) > _SAME_SLOPES):
            here = self.at(axis)
            steps = np.diag(_STEP)[free]
            change = [(self.at(axis + step) - here) / step.sum() for step in steps]
            self._slopes = axis.copy(), np.array(change).reshape(-1, *here.shape)
        return self._slopes[1]
