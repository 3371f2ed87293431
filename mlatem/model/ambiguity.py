# SPDX-License-Identifier: GPL-3.0-or-later
"""What the data leave open about the phases, and what decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError

GeometryClass = Literal["PURE", "CORNER", "WEAK", "OPEN"]
#: A reading of the map: phases that occur alone somewhere, or never do. Or, where the other reading
#: tells little, the answer with one phase as far mixed with another one as the counts allow.
Reading = Literal["contiguous", "embedded", "mixed"]


@dataclass(frozen=True)
class Ambiguity:
    """Mixtures of the phases that explain the data as well, and other numbers of phases."""

    geometry_class: GeometryClass
    """How far the geometry settles the answer."""
    alternative: Reading
    """The reading of the map that the alternative answer stands for."""
    is_given: bool
    """Whether the user named the geometry."""
    reason: str
    """What decided, in words."""
    question: str
    """What the user could tell to settle the answer; empty where it is settled."""
    purity: NDArray[np.float64]
    """Shape (n_phases,); share of each phase's counts in regions that it fills nearly alone."""
    n_lacking: NDArray[np.int64]
    """Shape (n_phases,); elements that a phase lacks and each phase around it has."""
    is_alone: NDArray[np.bool_]
    """Shape (n_phases,); taken to occur alone somewhere."""
    mixing_low: NDArray[np.float64]
    """Shape (n_phases, n_phases), not positive; [p, m]: counts of m, for a count of p, that can be
    taken out of p for less than two nats; -1 where the data set no limit."""
    mixing_high: NDArray[np.float64]
    """Shape (n_phases, n_phases), not negative; [p, m]: the same, put into p."""
    alternative_coefficient: NDArray[np.float64]
    """Shape (n_phases, n_columns); the other answer, its phases in the order of the answer's."""
    alternative_scale: NDArray[np.float64]
    """Shape (n_phases, n_columns); counts of each column for a coefficient of one in the other
    answer: its phases absorb in themselves, and so otherwise than those of the answer."""
    fewer_coefficient: NDArray[np.float64]
    """Shape (n_phases - 1, n_columns); the answer with a phase less; empty for one phase."""
    more_coefficient: NDArray[np.float64]
    """Shape (n_phases + 1, n_columns); with a phase more; empty where the data carry none."""
    order_deviance: NDArray[np.float64]
    """Shape (3,); Poisson deviance of the pooled spectra with a phase less, as many, and a phase
    more; NaN where there is no such answer."""

    @property
    def has_two_answers(self) -> bool:
        """Whether the other answer counts as much as the one that is given."""
        return self.geometry_class == "OPEN" and not self.is_given

    def other_columns(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns of the other answer from those of the answer.

        Parameters
        ----------
        columns : ndarray of shape (n_columns, n_energy) or (n_phases, n_columns, n_energy)

        Returns
        -------
        ndarray of shape (n_phases, n_columns, n_energy)
        """
        unit = columns / columns.sum(axis=-1, keepdims=True)
        return np.asarray(unit * self.alternative_scale[:, :, None])

    def other_spectrum(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spectra of the other answer, which add up to one, (n_phases, n_energy).

        From the columns of the answer, as `other_columns`.
        """
        own = self.other_columns(columns)
        other = np.einsum("kj,kje->ke", self.alternative_coefficient, own)
        return np.asarray(other / other.sum(axis=1, keepdims=True))

    def to_variables(self) -> dict[str, tuple[tuple[str, ...], NDArray[Any]]]:
        """The arrays under the names of the labelled form, with their dimensions."""
        return {name: (dimensions, getattr(self, name)) for name, dimensions in _DIMENSIONS.items()}

    def to_attrs(self) -> dict[str, Any]:
        """What is no array, JSON-safe."""
        return {name: getattr(self, name) for name in _WORDS}

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, words: Mapping[str, Any]) -> Ambiguity:
        """The inverse of `to_variables` and `to_attrs`."""
        arrays: dict[str, Any] = {name: dataset[name].values for name in _DIMENSIONS}
        return cls(**arrays, **{name: words[name] for name in _WORDS})

    def validate(self, n_phases: int, n_columns: int) -> None:
        """Check the shapes.

        Raises
        ------
        InputError
        """
        square = (n_phases, n_phases)
        expected = {
            "purity": (n_phases,),
            "n_lacking": (n_phases,),
            "is_alone": (n_phases,),
            "mixing_low": square,
            "mixing_high": square,
            "alternative_coefficient": (n_phases, n_columns),
            "alternative_scale": (n_phases, n_columns),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"ambiguity: {name} has shape {getattr(self, name).shape}, expected {shape}"
                )


_DIMENSIONS = {
    "purity": ("phase",),
    "n_lacking": ("phase",),
    "is_alone": ("phase",),
    "mixing_low": ("phase", "phase_2"),
    "mixing_high": ("phase", "phase_2"),
    "alternative_coefficient": ("phase", "column"),
    "alternative_scale": ("phase", "column"),
    "fewer_coefficient": ("phase_fewer", "column"),
    "more_coefficient": ("phase_more", "column"),
    "order_deviance": ("order",),
}
_WORDS = ("geometry_class", "alternative", "is_given", "reason", "question")
