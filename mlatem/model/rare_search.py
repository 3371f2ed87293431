# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a search for rare phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError

_SCHEMA = "mlatem-rare/1"


@dataclass(frozen=True)
class RareSearch:
    """Places of a map whose spectra the phases do not explain, and what exceeds there."""

    excess: NDArray[np.float32]
    """Shape (ny, nx); highest test of the pixel over what chance reaches anywhere in the map in
    few maps of a hundred: above 1 stands out. NaN in pixels that are left out."""
    candidate: NDArray[np.int32]
    """Shape (ny, nx); number of the candidate, from 1; 0 elsewhere."""
    counts: NDArray[np.float64]
    """Shape (n_candidates, n_energy); measured."""
    expected: NDArray[np.float64]
    """Shape (n_candidates, n_energy); what the known phases explain."""
    element_score: NDArray[np.float64]
    """Shape (n_candidates, n_elements); excess of each element, standard deviations."""
    atomic_percent_region: NDArray[np.float64]
    """Shape (n_candidates, n_elements); of everything in the candidate's pixels."""
    atomic_percent_excess: NDArray[np.float64]
    """Shape (n_candidates, n_elements); after as much of the known phases was taken out as the
    counts of each element allow. The phase lies between the two."""
    elements: tuple[str, ...]
    energy: NDArray[np.float64]
    """Shape (n_energy,); keV."""
    y_nm: NDArray[np.float64]
    x_nm: NDArray[np.float64]
    false_alarm: float
    """Chance that a map without rare phases gives any candidate."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def n_candidates(self) -> int:
        """Number of candidates."""
        return len(self.counts)

    @property
    def n_pixels(self) -> NDArray[np.int64]:
        """Shape (n_candidates,); pixels of every candidate."""
        return np.bincount(self.candidate.ravel(), minlength=self.n_candidates + 1)[1:]

    @property
    def score(self) -> NDArray[np.float64]:
        """Shape (n_candidates,); highest `excess` in every candidate."""
        return np.array(
            [self.excess[self.candidate == i + 1].max() for i in range(self.n_candidates)],
            dtype=np.float64,
        )

    def excess_elements(self, candidate: int, least: float = 4.0) -> tuple[str, ...]:
        """Elements that exceed by at least so many standard deviations, the surest first.

        Parameters
        ----------
        candidate : int
            From 0.
        least : float, optional
        """
        score = self.element_score[candidate]
        order = np.argsort(-score)
        return tuple(self.elements[j] for j in order if score[j] >= least)

    def validate(self) -> None:
        """Check shapes and labels.

        Raises
        ------
        InputError
        """
        shape = self.y_nm.size, self.x_nm.size
        of_elements = self.n_candidates, len(self.elements)
        expected = {
            "excess": shape,
            "candidate": shape,
            "counts": (self.n_candidates, self.energy.size),
            "expected": (self.n_candidates, self.energy.size),
            "element_score": of_elements,
            "atomic_percent_region": of_elements,
            "atomic_percent_excess": of_elements,
        }
        for name, wanted in expected.items():
            if getattr(self, name).shape != wanted:
                raise InputError(
                    f"rare phases: {name} has shape {getattr(self, name).shape}, expected {wanted}"
                )
        if np.any(self.candidate < 0) or np.any(self.n_pixels == 0):
            raise InputError("rare phases: a candidate has no pixel, or a pixel a negative number")

    def to_dataset(self) -> xr.Dataset:
        """Labelled form."""
        return xr.Dataset(
            {
                "excess": (("y", "x"), self.excess),
                "candidate_map": (("y", "x"), self.candidate),
                "counts": (("candidate", "energy"), self.counts),
                "expected": (("candidate", "energy"), self.expected),
                "element_score": (("candidate", "element"), self.element_score),
                "atomic_percent_region": (("candidate", "element"), self.atomic_percent_region),
                "atomic_percent_excess": (("candidate", "element"), self.atomic_percent_excess),
                "n_pixels": (("candidate",), self.n_pixels),
            },
            coords={
                "y": ("y", self.y_nm, {"units": "nm"}),
                "x": ("x", self.x_nm, {"units": "nm"}),
                "energy": ("energy", self.energy, {"units": "keV"}),
                "candidate": ("candidate", np.arange(1, self.n_candidates + 1)),
                "element": ("element", list(self.elements)),
            },
            attrs={"schema": _SCHEMA, "false_alarm": self.false_alarm},
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> RareSearch:
        """The inverse of `to_dataset`.

        Raises
        ------
        InputError
            If the dataset is not a search for rare phases.
        """
        if dataset.attrs.get("schema") != _SCHEMA:
            raise InputError(
                f"not a search for rare phases (schema {dataset.attrs.get('schema')!r}): expected "
                "what mlatem.find_rare_phases returned"
            )
        names = (
            "excess",
            "counts",
            "expected",
            "element_score",
            "atomic_percent_region",
            "atomic_percent_excess",
        )
        return cls(
            **{name: dataset[name].values for name in names},
            candidate=dataset["candidate_map"].values,
            elements=tuple(str(element) for element in dataset["element"].values),
            energy=dataset["energy"].values,
            y_nm=dataset["y"].values,
            x_nm=dataset["x"].values,
            false_alarm=float(dataset.attrs["false_alarm"]),
        )
