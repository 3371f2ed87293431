# SPDX-License-Identifier: GPL-3.0-or-later
"""The dictionary: physical columns of which spectra are non-negative combinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem.elements import check_symbols
from mlatem.errors import InputError

Kind = Literal["line", "background", "system", "edge"]

#: Kinds of columns whose coefficients are amounts of an element in the specimen.
QUANTIFIED_KINDS = ("line", "edge")


@dataclass(frozen=True)
class Dictionary:
    """Non-negative spectral columns with their meaning.

    Columns of kind "line" and "edge" are absolute: their coefficient is proportional to the number
    of atoms, with the same factor for all elements, so that the atomic fractions of a spectrum are
    its coefficients divided by their sum. "system" columns are lines of the instrument (grid,
    collimator), fitted and left out of the composition. "background" columns are the continuum.
    """

    columns: NDArray[np.float64]
    """Shape (n_columns, n_energy); expected counts per channel for a coefficient of one."""
    energy: NDArray[np.float64]
    """Shape (n_energy,); centres of the channels, keV for EDXS, eV for EELS."""
    names: tuple[str, ...]
    """One per column, unique, for example "Fe", "continuum 2"."""
    kinds: tuple[Kind, ...]
    elements: tuple[str, ...]
    """Chemical symbol per column; "" for a background."""
    factor_sigma: NDArray[np.float64]
    """Shape (n_columns,); relative standard uncertainty of a column's absolute intensity."""
    first_channel: int = 0
    """Channel of the spectrum image at which the energy axis of the columns starts."""

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def from_arrays(
        cls,
        columns: ArrayLike,
        energy: ArrayLike,
        names: Sequence[str],
        kinds: Sequence[str],
        elements: Sequence[str | None],
        factor_sigma: ArrayLike | None = None,
    ) -> Dictionary:
        """A dictionary of one's own columns.

        Parameters
        ----------
        columns : array-like of shape (n_columns, n_energy)
        energy : array-like of shape (n_energy,)
        names : sequence of str
        kinds : sequence of {"line", "background", "system", "edge"}
        elements : sequence of str or None
            None or "" for columns that belong to no element.
        factor_sigma : array-like of shape (n_columns,), optional
            Relative standard uncertainty of each column's intensity; 0 if not given.

        Raises
        ------
        InputError
            If a column is zero, a duplicate, negative or not finite, or the lengths differ.
        """
        matrix = np.asarray(columns, dtype=np.float64)
        sigma = np.zeros(len(matrix)) if factor_sigma is None else np.asarray(factor_sigma, float)
        return cls(
            columns=matrix,
            energy=np.asarray(energy, dtype=np.float64),
            names=tuple(names),
            kinds=cast(tuple[Kind, ...], tuple(kinds)),
            elements=tuple(e or "" for e in elements),
            factor_sigma=sigma,
        )

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def channels(self) -> slice:
        """Channels of the spectrum image that the columns describe."""
        return slice(self.first_channel, self.first_channel + self.energy.size)

    @property
    def quantified(self) -> NDArray[np.bool_]:
        """Mask of the columns whose coefficients make up the composition."""
        return np.array([kind in QUANTIFIED_KINDS for kind in self.kinds])

    def validate(self) -> None:
        """Check shapes, signs and meaning.

        Raises
        ------
        InputError
            Naming the column and the mend.
        """
        if self.columns.ndim != 2 or self.columns.shape[1] != self.energy.size:
            raise InputError(
                f"dictionary columns have shape {self.columns.shape}, expected "
                f"(n_columns, {self.energy.size}) to match the energy axis"
            )
        if self.first_channel < 0:
            raise InputError(
                f"dictionary starts at channel {self.first_channel}, expected 0 or more"
            )
        n_columns = len(self.columns)
        if not self.columns.size:
            raise InputError(
                f"dictionary of {n_columns} columns on {self.energy.size} channels is empty: name "
                "at least one element, and widen the fitted window"
            )
        for label in ("names", "kinds", "elements", "factor_sigma"):
            if len(getattr(self, label)) != n_columns:
                raise InputError(
                    f"dictionary has {n_columns} columns but {len(getattr(self, label))} {label}"
                )
        if len(set(self.names)) != n_columns:
            raise InputError("dictionary column names must be unique: rename the repeated ones")
        self._check_meaning()
        self._check_values()
        self._check_distinct()

    def _check_meaning(self) -> None:
        kinds = get_args(Kind)
        for name, kind, element in zip(self.names, self.kinds, self.elements, strict=True):
            if kind not in kinds:
                raise InputError(
                    f"column {name!r} has kind {kind!r}, expected one of {', '.join(kinds)}"
                )
            if kind in QUANTIFIED_KINDS and not element:
                raise InputError(f"column {name!r} is a {kind} and needs its element")
            if element:
                check_symbols([element])

    def _check_values(self) -> None:
        for name, column in zip(self.names, self.columns, strict=True):
            if not np.all(np.isfinite(column)) or np.any(column < 0):
                raise InputError(
                    f"column {name!r} holds NaN, infinite or negative values: expected counts per "
                    "channel, finite and not negative"
                )
        if not np.all(np.isfinite(self.factor_sigma)) or np.any(self.factor_sigma < 0):
            raise InputError(
                "factor_sigma must be finite and not negative: 0 where it is not known"
            )

    def _check_distinct(self) -> None:
        norms = np.linalg.norm(self.columns, axis=1)
        for name, norm in zip(self.names, norms, strict=True):
            if norm == 0:
                raise InputError(
                    f"column {name!r} is zero on this energy axis: leave it out or widen the axis"
                )
        unit = self.columns / norms[:, None]
        cosine = np.triu(unit @ unit.T, k=1)
        first, second = np.unravel_index(np.argmax(cosine), cosine.shape)
        if cosine[first, second] > 1 - 1e-12:
            raise InputError(
                f"columns {self.names[first]!r} and {self.names[second]!r} have the same shape: "
                "leave one out"
            )
