# SPDX-License-Identifier: GPL-3.0-or-later
"""The few axes that hold the signal of a spectrum image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError

_SCHEMA = "mlatem-basis/1"

#: Axes whose eigenvalue lies below so many times the edge may be noise.
CERTAIN_STRENGTH = 2.0


@dataclass(frozen=True)
class Basis:
    """Orthonormal axes in whitened channels, and why each was kept.

    A spectrum y with the total g is whitened to z = y * weights / sqrt(g): its noise then has the
    standard deviation one along every axis but the first, the mean spectrum, where it is one half
    (the score there is sqrt(g)).
    """

    axes: NDArray[np.float64]
    """Shape (rank, n_energy); orthonormal rows, the first is the mean spectrum."""
    weights: NDArray[np.float64]
    """Shape (n_energy,); 0 for channels without counts."""
    eigenvalue: NDArray[np.float64]
    """Shape (rank,); variance of the signal along each axis, summed over pixels, in units of the
    noise variance."""
    edge: NDArray[np.float64]
    """Shape (rank,); what the eigenvalue of pure noise stays below, for the axis's subspace."""
    in_span: NDArray[np.bool_]
    """Shape (rank,); the axis lies in the span of the dictionary (the mean spectrum counts as
    such). Without a dictionary all False."""
    energy: NDArray[np.float64]
    """Shape (n_energy,); keV or eV, or the number of the channel where no axis was given."""
    n_pixels: int
    """Pixels with counts from which the basis was computed."""
    scree_in_span: NDArray[np.float64]
    """All eigenvalues in the dictionary's span without the mean spectrum, decreasing."""
    scree_residual: NDArray[np.float64]
    """The largest eigenvalues outside of it, decreasing; of all channels without a dictionary."""
    edge_in_span: float
    """NaN without a dictionary."""
    edge_residual: float
    n_rare: int = 0
    """How many of the last axes are of elements that only few pixels hold: they were found by
    these pixels, not by the edge."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def is_uncertain(self) -> NDArray[np.bool_]:
        """Shape (rank,); axes so near to the noise edge that they may be noise."""
        near: NDArray[np.bool_] = self.eigenvalue < CERTAIN_STRENGTH * self.edge
        near[self.rank - self.n_rare :] = False
        return near

    def without_rare(self) -> Basis:
        """The axes that stand above the noise edge."""
        common = slice(0, self.rank - self.n_rare)
        arrays = ("axes", "eigenvalue", "edge", "in_span")
        return replace(self, **{name: getattr(self, name)[common] for name in arrays}, n_rare=0)

    @property
    def spectra(self) -> NDArray[np.float64]:
        """The axes as spectra in counts, shape (rank, n_energy); 0 in channels without counts."""
        used = self.weights > 0
        return np.where(used, self.axes / np.where(used, self.weights, 1.0), 0.0)

    @property
    def root_per_score(self) -> NDArray[np.float64]:
        """Shape (rank,); the scores of a pixel times these add up to the root of its counts."""
        sums: NDArray[np.float64] = self.spectra.sum(axis=1)
        return sums

    def validate(self) -> None:
        """Check shapes and that the axes are orthonormal.

        Raises
        ------
        InputError
        """
        n_energy = self.energy.size
        if self.axes.ndim != 2 or self.axes.shape[1] != n_energy or not len(self.axes):
            raise InputError(
                f"basis: axes have shape {self.axes.shape}, expected (at least 1, {n_energy})"
            )
        if self.weights.shape != (n_energy,) or np.any(self.weights < 0):
            raise InputError("basis: expected one weight per channel, not negative")
        for name in ("eigenvalue", "edge", "in_span"):
            if getattr(self, name).shape != (self.rank,):
                raise InputError(f"basis: expected one {name} per axis")
        if not 0 <= self.n_rare < self.rank:
            raise InputError(f"basis: {self.n_rare} of {self.rank} axes are rare")
        if not np.allclose(self.axes @ self.axes.T, np.eye(self.rank), atol=1e-6):
            raise InputError("basis: the axes are not orthonormal")

    def to_dataset(self) -> xr.Dataset:
        """Labelled form, to be saved; score maps may be added with dimensions y, x, axis."""
        return xr.Dataset(
            {
                "axes": (("axis", "energy"), self.axes),
                "weights": (("energy",), self.weights),
                "eigenvalue": (("axis",), self.eigenvalue),
                "edge": (("axis",), self.edge),
                "in_span": (("axis",), self.in_span.astype(np.uint8)),
                "is_uncertain": (("axis",), self.is_uncertain.astype(np.uint8)),
                "root_per_score": (("axis",), self.root_per_score),
                "scree_in_span": (("order_in_span",), self.scree_in_span),
                "scree_residual": (("order_residual",), self.scree_residual),
                "edge_of_scree": (("part",), np.array([self.edge_in_span, self.edge_residual])),
            },
            coords={"energy": ("energy", self.energy)},
            attrs={
                "basis_schema": _SCHEMA,
                "n_pixels": int(self.n_pixels),
                "n_rare": int(self.n_rare),
            },
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Basis:
        """The inverse of `to_dataset`; other variables are ignored.

        Raises
        ------
        InputError
            If the dataset holds no basis.
        """
        if dataset.attrs.get("basis_schema") != _SCHEMA:
            raise InputError(
                f"not a basis (schema {dataset.attrs.get('basis_schema')!r}): "
                "expected what mlatem.denoise wrote"
            )
        names = ("axes", "weights", "eigenvalue", "edge", "scree_in_span", "scree_residual")
        edge_in_span, edge_residual = dataset["edge_of_scree"].values
        return cls(
            **{name: dataset[name].values for name in names},
            in_span=dataset["in_span"].values.astype(bool),
            energy=dataset["energy"].values,
            n_pixels=int(dataset.attrs["n_pixels"]),
            n_rare=int(dataset.attrs.get("n_rare", 0)),
            edge_in_span=float(edge_in_span),
            edge_residual=float(edge_residual),
        )
