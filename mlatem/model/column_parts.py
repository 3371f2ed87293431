# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of phases as sums of parts whose intensities are known only roughly."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnParts:
    """Parts of the columns of every phase, and the factors on them, which all phases share.

    A column is the sum of its parts, each times its factor. The logarithm of a factor is known
    beforehand to be zero within its standard deviation, and so are their common errors.
    """

    spectrum: Array
    """Shape (n_phases, n_parts, n_energy)."""
    column: NDArray[np.int64]
    """Shape (n_parts,); the column to which each part belongs. Every column has at least one."""
    factor: NDArray[np.int64]
    """Shape (n_parts,); the factor on each part, -1 where there is none."""
    names: tuple[str, ...] = ()
    """Of the factors: element and sub-shell, "Pt M5"."""
    log_covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """Shape (n_factors, n_factors); of the factors' logarithms before the data were seen."""

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def of_columns(cls, columns: Array) -> ColumnParts:
        """Columns (n_phases, n_columns, n_energy) that are known."""
        every = np.arange(columns.shape[1])
        return cls(columns, every, np.full(len(every), -1))

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.column.max()) + 1

    @property
    def n_factors(self) -> int:
        """Number of factors."""
        return len(self.names)

    def columns(self, log_factor: Array) -> Array:
        """The columns, shape (n_phases, n_columns, n_energy), for logarithms of the factors."""
        return self._joined(self.column, self.n_columns, self._strength(log_factor))

    def changes(self, coefficient: Array, log_factor: Array) -> Array:
        """What the spectra of the phases change by with the logarithm of each factor.

        Parameters
        ----------
        coefficient : ndarray of shape (n_phases, n_columns)
        log_factor : ndarray of shape (n_factors,)

        Returns
        -------
        ndarray of shape (n_phases, n_factors, n_energy)
        """
        strength = self._strength(log_factor) * coefficient[:, self.column]
        return self._joined(self.factor, self.n_factors, np.where(self.factor >= 0, strength, 0.0))

    def validate(self) -> None:
        """Check shapes and indices.

        Raises
        ------
        InputError
        """
        n_parts = self.spectrum.shape[1]
        if not len(self.column) == len(self.factor) == n_parts:
            raise InputError(
                f"{n_parts} parts of columns, but {len(self.column)} columns and "
                f"{len(self.factor)} factors: expected one of each for a part"
            )
        n_factors = len(self.names)
        if self.log_covariance.shape != (n_factors, n_factors) or np.any(self.factor >= n_factors):
            raise InputError(
                f"parts of columns name factor {self.factor.max()}, but {n_factors} names and a "
                f"covariance of shape {self.log_covariance.shape} are given"
            )
        if not np.array_equal(np.unique(self.column), np.arange(self.n_columns)):
            raise InputError("a column has no part: give at least one for each")

    def _strength(self, log_factor: Array) -> Array:
        """Factor on each part, shape (n_parts,)."""
        return np.where(self.factor >= 0, np.exp(np.append(log_factor, 0.0))[self.factor], 1.0)

    def _joined(self, place: NDArray[np.int64], n_places: int, strength: Array) -> Array:
        """Parts times strength, (n_parts,) or (n_phases, n_parts), added up by place."""
        share = np.zeros((*np.broadcast_shapes(strength.shape[:-1]), n_places, len(place)))
        kept = np.flatnonzero(place >= 0)
        share[..., place[kept], kept] = strength[..., kept]
        joined: Array = share @ self.spectrum
        return joined
